//! Every operation with the fields and the JSON types of its answer (DCDN OpenAPI 2018-01-15,
//! sections 2.2 to 2.6 of the specification), and the same content as XML.

use serde_json::{Value, json};

use super::{BPS, CODES, Site, TRAFFIC, function, websocket_on};
use crate::harness::dcdn::{SCHEMES, Scheme, Way};
use crate::harness::shape::{assert_shape, leaves, xml_leaves};
use crate::harness::{Authority, Dcdn};

/// An operation, its parameters, and the shape of what it answers.
struct Operation {
    action: &'static str,
    params: Vec<(&'static str, String)>,
    shape: Value,
}

fn op(action: &'static str, params: &[(&'static str, &str)], mut shape: Value) -> Operation {
    shape["RequestId"] = json!("id");
    let params = params.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    Operation { action, params, shape }
}

fn bare(action: &'static str, params: &[(&'static str, &str)]) -> Operation {
    op(action, params, json!({}))
}

impl Operation {
    fn params(&self) -> Vec<(&str, &str)> {
        self.params.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn check(&self, dcdn: &Dcdn) {
        let answer = dcdn.call(self.action, &self.params()).send();
        assert_eq!(answer.status, 200, "{}: {}", self.action, answer.text());
        assert_shape(self.action, &answer.json(), &self.shape);
        let content_type = answer.head.field("content-type");
        assert_eq!(content_type, Some("application/json;charset=utf-8"), "{}", self.action);
    }
}

/// Statistics, 2.2.
fn statistics() -> Vec<Operation> {
    let slots = |list: &str, value: Value| {
        json!({ "DomainName": "=a.test", "StartTime": "time", "EndTime": "time",
                "DataInterval": "=300", list: { "DataModule": ["+", value] } })
    };
    let name = [("DomainName", "a.test")];
    vec![
        op(
            TRAFFIC,
            &name,
            slots(
                "TrafficDataPerInterval",
                json!({ "TimeStamp": "time", "WebsocketTraffic": "num" }),
            ),
        ),
        op(
            BPS,
            &name,
            slots("BpsDataPerInterval", json!({ "TimeStamp": "time", "WebsocketBps": "num" })),
        ),
        op(
            CODES,
            &name,
            slots(
                "HttpCodeDataPerInterval",
                json!({ "TimeStamp": "time", "WebsocketHttpCode": { "HttpCodeDataModule":
                    [{ "Code": "int", "Count": "num", "Proportion": "num" }] } }),
            ),
        ),
        op(
            "DescribeDcdnDomainBpsDataByLayer",
            &[name[0], ("Layer", "https")],
            json!({ "DataInterval": "=300", "BpsDataInterval": { "DataModule": ["+", {
                "TimeStamp": "time", "Value": "str", "TrafficValue": "str",
                "DynamicValue": "str", "DynamicTrafficValue": "str", "StaticValue": "str",
                "StaticTrafficValue": "str" }] } }),
        ),
    ]
}

/// Functions of domains, 2.3.
fn configurations() -> Vec<Operation> {
    let names = ("DomainNames", "a.test");
    let config = json!({ "ConfigId": "str", "FunctionName": "=websocket", "Status": "=success",
        "ParentId?": "str",
        "FunctionArgs": { "FunctionArg": ["+", { "ArgName": "str", "ArgValue": "str" }] } });
    let row = json!({ "DomainName": "str", "DomainId": "int", "Cname": "str", "DomainStatus": "str",
        "SslProtocol": "str", "GmtCreated": "time", "GmtModified": "time", "Description": "str",
        "Sandbox": "=normal", "ResourceGroupId": "str", "Scene?": "str", "FunctionType?": "str",
        "Sources": { "Source": ["+", source(false)] } });
    let on = websocket_on(&[]);
    let model = json!({ "ConfigId": "int", "DomainName": "=a.test", "FunctionName": "=websocket" });
    vec![
        op(
            "BatchSetDcdnDomainConfigs",
            &[names, ("Functions", &on)],
            json!({ "DomainConfigList": { "DomainConfigModel": ["+", model] } }),
        ),
        op(
            "DescribeDcdnDomainConfigs",
            &[("DomainName", "a.test"), ("FunctionNames", "websocket")],
            json!({ "DomainConfigs": { "DomainConfig": ["+", config] } }),
        ),
        op(
            "DescribeDcdnUserDomainsByFunc",
            &[("FuncId", "46"), ("FuncFilter", "config")],
            json!({ "PageNumber": "int", "PageSize": "int", "TotalCount": "int",
                    "Domains": { "PageData": [row] } }),
        ),
        bare("BatchDeleteDcdnDomainConfigs", &[names, ("FunctionNames", "websocket")]),
    ]
}

fn source(with_state: bool) -> Value {
    let mut source = json!({ "Type": "=ipaddr", "Content": "=127.0.0.1", "Port": "int",
        "Priority": "=20", "Weight": "str" });
    if with_state {
        source["Enabled"] = json!("=online");
    }
    source
}

/// Domains, 2.4.
fn domains(sources: &str) -> Vec<Operation> {
    let name = ("DomainName", "new.test");
    let row = json!({ "DomainName": "str", "DomainId": "int", "Cname": "str",
        "DomainStatus": "str", "SSLProtocol": "=off", "GmtCreated": "time",
        "GmtModified": "time", "Description": "str", "Sandbox": "=normal",
        "ResourceGroupId": "str", "Scene?": "str", "FunctionType?": "str",
        "Sources": { "Source": ["+", source(false)] } });
    let detail = json!({ "DomainName": "=new.test", "Cname": "str", "DomainStatus": "str",
        "GmtCreated": "time", "GmtModified": "time", "Scope": "=domestic", "SSLProtocol": "=off",
        "SSLPub?": "str", "Description": "str", "ResourceGroupId": "str", "Scene?": "str",
        "FunctionType?": "str", "Sources": { "Source": ["+", source(true)] } });
    let tag = json!({ "ResourceId": "=new.test", "Tag": ["+", { "Key": "=k", "Value": "=v" }] });
    let resource = [("ResourceType", "DOMAIN"), ("ResourceId.1", "new.test")];
    vec![
        bare("AddDcdnDomain", &[name, ("Sources", sources)]),
        bare("UpdateDcdnDomain", &[name, ("Sources", sources)]),
        op("DescribeDcdnDomainDetail", &[name], json!({ "DomainDetail": detail })),
        op(
            "DescribeDcdnUserDomains",
            &[("DomainName", "new.test")],
            json!({ "PageNumber": "int", "PageSize": "int", "TotalCount": "int",
                    "Domains": { "PageData": ["+", row] } }),
        ),
        op(
            "DescribeDcdnDomainCname",
            &[name],
            json!({ "CnameDatas": { "Data":
                ["+", { "Domain": "=new.test", "Cname": "str", "Status": "int" }] } }),
        ),
        op(
            "DescribeDcdnDomainsBySource",
            &[("Sources", "127.0.0.1")],
            json!({ "DomainInfo": ["+", "any"] }),
        ),
        bare(
            "ModifyDCdnDomainSchdmByProperty",
            &[name, ("Property", "{\"coverage\":\"overseas\"}")],
        ),
        bare(
            "TagDcdnResources",
            &[&resource[..], &[("Tag.1.Key", "k"), ("Tag.1.Value", "v")]].concat(),
        ),
        op("DescribeDcdnTagResources", &resource, json!({ "TagResources": ["+", tag] })),
        bare("UntagDcdnResources", &[&resource[..], &[("TagKey.1", "k")]].concat()),
        bare("StopDcdnDomain", &[name]),
        bare("StartDcdnDomain", &[name]),
        bare("BatchStopDcdnDomain", &[("DomainNames", "new.test")]),
        bare("BatchStartDcdnDomain", &[("DomainNames", "new.test")]),
        bare("DeleteDcdnDomain", &[name]),
    ]
}

/// Certificates, 2.5.
fn certificates(pub_pem: &str, pri_pem: &str) -> Vec<Operation> {
    let name = ("DomainName", "a.test");
    let info = json!({ "DomainName": "=a.test", "CertDomainName": "str", "CertName": "=one",
        "CertType": "str", "CertId?": "str", "CertRegion?": "str", "CertOrg": "str",
        "CertLife": "str", "CertExpireTime": "str", "SSLProtocol": "=on", "SSLPub": "str",
        "Status": "=success" });
    let upload = [
        name,
        ("SSLProtocol", "on"),
        ("CertType", "upload"),
        ("CertName", "one"),
        ("SSLPub", pub_pem),
        ("SSLPri", pri_pem),
    ];
    vec![
        bare("SetDcdnDomainSSLCertificate", &upload),
        bare(
            "SetDcdnDomainCertificate",
            &[
                name,
                ("ServerCertificateStatus", "on"),
                ("SSLProtocol", "on"),
                ("CertType", "upload"),
                ("CertName", "one"),
                ("ForceSet", "1"),
                ("SSLPub", pub_pem),
                ("SSLPri", pri_pem),
            ],
        ),
        op(
            "DescribeDcdnDomainCertificateInfo",
            &[name],
            json!({ "CertInfos": { "CertInfo": ["+", info] } }),
        ),
        op(
            "DescribeDcdnHttpsDomainList",
            &[],
            json!({ "TotalCount": "int", "CertInfos": { "CertInfo": ["+", {
                "DomainName": "=a.test", "CertName": "str", "CertCommonName": "str",
                "CertStartTime": "str", "CertExpireTime": "str", "CertUpdateTime?": "str",
                "CertType": "str", "CertStatus": "=ok" }] } }),
        ),
    ]
}

/// The rest of 2.5, when a.test has its certificate.
fn more_of_certificates() -> Vec<Operation> {
    let name = ("DomainName", "a.test");
    vec![
        op(
            "DescribeDcdnCertificateList",
            &[],
            json!({ "CertificateListModel": { "Count": "int", "CertList": { "Cert": ["+", {
                "CertName": "=one", "CertId": "int", "Common": "str", "Fingerprint": "str",
                "Issuer": "str", "LastTime": "int" }] } } }),
        ),
        op(
            "DescribeDcdnCertificateDetail",
            &[("CertName", "one")],
            json!({ "CertName": "=one", "CertId": "int", "Cert": "str", "Key": "=" }),
        ),
        op(
            "DescribeDcdnUserCertificateExpireCount",
            &[],
            json!({ "ExpiredCount": "int", "ExpireWithin30DaysCount": "int" }),
        ),
        op(
            "CreateDcdnCertificateSigningRequest",
            &[("CommonName", "a.test")],
            json!({ "CommonName": "=a.test", "Csr": "str", "PubMd5": "str" }),
        ),
        op(
            "DescribeDcdnSMCertificateList",
            &[name],
            json!({ "CertificateListModel": { "Count": "int", "CertList": ["any"] } }),
        ),
    ]
}

/// Service, plan and usage, 2.6.
fn service(start: &str, end: &str) -> Vec<Operation> {
    let times = [("StartTime", start), ("EndTime", end)];
    let lock = json!({ "LockReason": [{ "LockReason": "str" }] });
    let usage = json!({ "TimeStamp": "time", "PeakTime": "str", "Value": "str",
        "SpecialValue": "str" });
    let bill_type = json!({ "BillType": "=hour_flow", "BillingCycle": "str",
        "Dimension": "str", "Product": "=dcdn", "StartTime": "time", "EndTime": "time" });
    let bill = json!({ "BillTime": "time", "BillType": "str", "Dimension": "str",
        "BillingData": { "BillingDataItem": [{ "CdnRegion": "str", "ChargeType?": "str",
            "Bandwidth?": "num", "Flow?": "num", "Count?": "num" }] } });
    vec![
        bare(
            "OpenDcdnService",
            &[("BillType", "PayByTraffic"), ("WebsocketBillType", "websockettraffic")],
        ),
        op(
            "DescribeDcdnService",
            &[],
            json!({ "InstanceId": "str", "OpeningTime": "time",
                "InternetChargeType": "=PayByTraffic", "ChangingChargeType": "str",
                "ChangingAffectTime": "str", "WebsocketType": "=websockettraffic",
                "WebsocketChangingType?": "str", "WebsocketChangingTime?": "str",
                "OperationLocks": lock }),
        ),
        op(
            "DescribeUserDcdnStatus",
            &[],
            json!({ "Enabled": "bool", "OnService": "bool", "InDebt": "bool",
                    "InDebtOverdue": "bool" }),
        ),
        op(
            "DescribeDcdnUserBillType",
            &times,
            json!({ "BillTypeData": { "BillTypeDataItem": ["+", bill_type] } }),
        ),
        op(
            "DescribeDcdnUserBillHistory",
            &times,
            json!({ "BillHistoryData": { "BillHistoryDataItem": [bill] } }),
        ),
        op(
            "DescribeDcdnDomainUsageData",
            &[&times[..], &[("Field", "traf")]].concat(),
            json!({ "DomainName?": "str", "StartTime": "time", "EndTime": "time", "Type?": "str",
                    "Area?": "str", "DataInterval": "str",
                    "UsageDataPerInterval": { "DataModule": [usage] } }),
        ),
        op(
            "DescribeDcdnDomainMultiUsageData",
            &[],
            json!({ "StartTime": "time", "EndTime": "time",
                "TrafficPerInterval": { "TrafficDataModule": [{ "Area": "str", "Bps": "num",
                    "Domain": "str", "TimeStamp": "time", "Type": "=WebSocket" }] },
                "RequestPerInterval": { "RequestDataModule": [{ "Domain": "str", "Request": "num",
                    "TimeStamp": "time", "Type": "=WebSocket" }] } }),
        ),
        op(
            "DescribeDcdnRegionAndIsp",
            &[],
            json!({ "Regions": { "Region": ["+", { "NameEn": "str", "NameZh": "str" }] },
                    "Isps": { "Isp": ["+", { "NameEn": "str", "NameZh": "str" }] } }),
        ),
    ]
}

/// Item 17: one table over all; every operation that only reads comes in every way and in XML too.
#[test]
fn every_operation_answers_with_its_fields_and_types() {
    let site = Site::with(&["a.test"]);
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let pri = std::fs::read_to_string(pair.key()).expect("a key");
    let now = jiff::Timestamp::now();
    let start = crate::harness::dcdn::stamp(now - jiff::SignedDuration::from_hours(2));
    let end = crate::harness::dcdn::stamp(now + jiff::SignedDuration::from_mins(10));
    let on = websocket_on(&[]);
    let set = [("DomainNames", "a.test"), ("Functions", on.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    assert_eq!(site.handshake("a.test"), 101);
    let table = [
        statistics(),
        domains(&site.sources()),
        configurations(),
        certificates(&pair.chain_pem(), &pri),
        more_of_certificates(),
        service(&start, &end),
    ];
    for operation in table.iter().flatten() {
        operation.check(&site.dcdn);
        if operation.action.starts_with("Describe") && !is_about_the_new_one(operation) {
            in_every_way(&site, operation);
        }
    }
}

/// Gone at the end of its own list.
fn is_about_the_new_one(operation: &Operation) -> bool {
    operation.params.iter().any(|(_, value)| value == "new.test")
}

fn in_every_way(site: &Site, operation: &Operation) {
    for scheme in SCHEMES {
        for way in crate::harness::dcdn::WAYS {
            operation.check(&site.dcdn.by(scheme, way));
        }
    }
    let call = site.dcdn.call(operation.action, &operation.params()).scheme(Scheme::V1);
    let json = call.way(Way::Get).send().json();
    let call = site.dcdn.call(operation.action, &operation.params()).scheme(Scheme::V1);
    let answer = call.format(Some("XML")).send();
    assert_eq!(answer.head.field("content-type"), Some("text/xml;charset=utf-8"));
    let (root, mut seen) = xml_leaves(&answer.text());
    assert_eq!(root, format!("{}Response", operation.action));
    let mut wanted = leaves(&json);
    // What moves between two calls: their ids, and the clock.
    for list in [&mut seen, &mut wanted] {
        list.retain(|(path, _)| {
            !["/RequestId", "/StartTime", "/EndTime"].contains(&path.as_str())
                && !path.contains("DataModule")
        });
    }
    assert_eq!(seen, wanted, "{} as XML and as JSON", operation.action);
}

/// Lists that are empty are there: `[]`, never missing, never null.
#[test]
fn empty_lists_are_lists() {
    let site = Site::with(&[]);
    let list = site.dcdn.ask("DescribeDcdnUserDomains", &[]);
    assert_eq!(list["Domains"], json!({ "PageData": [] }));
    assert_eq!(list["TotalCount"], 0);
    site.add("a.test");
    let none = [("DomainName", "a.test"), ("FunctionNames", "ipv6")];
    let configs = site.dcdn.ask("DescribeDcdnDomainConfigs", &none);
    assert_eq!(configs["DomainConfigs"], json!({ "DomainConfig": [] }));
}

/// A name that cannot be in an XML document as it is written.
#[test]
fn xml_holds_what_has_a_meaning_there() {
    let site = Site::with(&["a.test"]);
    let odd = "<b>&\"'é中\u{7f}";
    let tag = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", "a.test"),
        ("Tag.1.Key", "odd"),
        ("Tag.1.Value", odd),
    ];
    site.dcdn.ask("TagDcdnResources", &tag);
    let call = site.dcdn.call("DescribeDcdnTagResources", &tag[..2]).scheme(Scheme::V1);
    let (_, leaves) = xml_leaves(&call.format(None).send().text());
    let wanted = ("/TagResources/Tag/Value".to_owned(), odd.to_owned());
    let close = |(path, text): &&(String, String)| path.ends_with("Value") && text.contains(odd);
    assert!(leaves.contains(&wanted) || leaves.iter().any(|leaf| close(&leaf)), "{leaves:?}");
}

/// DescribeDcdnUserDomainsByFunc of the product's FuncId of the dynamic function, and of ours.
#[test]
fn domains_are_found_by_their_function() {
    let site = Site::with(&["a.test", "b.test"]);
    let on = websocket_on(&[]);
    let set = [("DomainNames", "a.test"), ("Functions", on.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    let host = function("set_req_host_header", &[("domain_name", "o.test")]);
    let set = [("DomainNames", "b.test"), ("Functions", host.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    let find = |filter: &str| {
        let params = [("FuncId", "18"), ("FuncFilter", filter)];
        let answer = site.dcdn.ask("DescribeDcdnUserDomainsByFunc", &params);
        let rows = answer["Domains"]["PageData"].as_array().expect("rows").clone();
        rows.iter()
            .map(|r| r["DomainName"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((find("config"), find("unconfig")), (vec!["b.test".into()], vec!["a.test".into()]));
}
