//! Certificates of domains (DCDN OpenAPI 2018-01-15). Whatever comes in here is kept out of logs,
//! errors and answers.
//!
//! Not here: how pairs are checked and kept (`certs`), and made live (`changes::certificates`).

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::attributes;
use super::super::error::{self, Failure};
use super::super::request::Parameters;
use super::domains::{self, View};
use super::{Answer, Call, names, patched};
use crate::control::certs::keyring::Source;
use crate::control::certs::pair::{Age, Pair, Wrong};
use crate::control::certs::{Served, chain_pem};
use crate::control::changes::certificates::fingerprint;
use crate::control::config::tls::Certificate;
use crate::control::statistics::window;
use crate::limits::{DCDN_CERTIFICATE_BYTES_MAX, DCDN_CERTIFICATE_NAME_CHARS_MAX};

const REGIONS: &[&str] = &["cn-hangzhou", "ap-southeast-1"];
/// Days before the end from which a certificate is said to expire soon.
const EXPIRES_SOON_DAYS: i64 = 30;

// === Set ===

pub async fn set(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    set_all(call, &[name], "CertRegion").await
}

/// SetDcdnDomainCertificate, which SetDcdnDomainSSLCertificate has replaced: `ForceSet` asks to
/// replace what is there, as this always does.
pub async fn set_old(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    set_all(call, &[name], "Region").await
}

pub async fn batch_set(call: &Call<'_>) -> Answer {
    let domains = names::batch(call.parameters, "DomainName")?;
    set_all(call, &domains, "Region").await
}

/// Every pair is checked for every domain before the first one is taken over; they are live
/// together.
async fn set_all(call: &Call<'_>, domains: &[Arc<str>], region: &str) -> Answer {
    let parameters = call.parameters;
    parameters.required("SSLProtocol")?;
    let protocol = parameters.choice("SSLProtocol", &["on", "off"]);
    let protocol = protocol.map_err(|_| error::SSL_PROTOCOL)?;
    call.known_domains(domains).await?;
    let wanted = match protocol {
        Some("off") => None,
        _ => Some(Wanted::of(parameters, region)?),
    };
    replace(call, domains, wanted).await
}

/// The same with what is wanted instead, `None` for nothing.
pub async fn replace(call: &Call<'_>, domains: &[Arc<str>], wanted: Option<Wanted<'_>>) -> Answer {
    if let Some(wanted) = &wanted {
        wanted.check(domains, call.now)?;
    }
    let pair = wanted.as_ref().map(|wanted| (wanted.chain.as_bytes(), wanted.key.as_bytes()));
    let notes: Vec<Note> = domains
        .iter()
        .map(|domain| {
            let note = wanted
                .as_ref()
                .map(|wanted| (wanted.name.unwrap_or(domain).to_owned(), wanted.region.to_owned()));
            (Arc::clone(domain), note)
        })
        .collect();
    use_uploaded(call, domains, pair, notes).await?;
    Ok(json!({}))
}

/// What is kept of a domain's uploaded pair beside it: its name and region; `None`: nothing.
type Note = (Arc<str>, Option<(String, String)>);

/// A pair, PEM both, and what it is called.
pub struct Wanted<'a> {
    pub chain: &'a str,
    pub key: &'a str,
    pub name: Option<&'a str>,
    pub region: &'a str,
}

impl<'a> Wanted<'a> {
    fn of(parameters: &'a Parameters, region: &str) -> Result<Wanted<'a>, Failure> {
        // There is no store of certificates beside this one.
        if parameters.text("CertType").is_some_and(|kind| kind != "upload") {
            return Err(error::CERT_TYPE.into());
        }
        let name = parameters.text("CertName");
        if name.is_some_and(|name| name.chars().count() > DCDN_CERTIFICATE_NAME_CHARS_MAX) {
            return Err(error::CERTIFICATE_NAME_TOO_LONG.into());
        }
        let chain = parameters.text("SSLPub").ok_or(error::SSL_PUB_MISSING)?;
        let key = parameters.text("SSLPri").ok_or(error::SSL_PRI_MISSING)?;
        if chain.len().max(key.len()) > DCDN_CERTIFICATE_BYTES_MAX {
            return Err(error::CERTIFICATE_TOO_LONG.into());
        }
        let region = parameters.choice(region, REGIONS)?.unwrap_or_default();
        Ok(Wanted { chain, key, name, region })
    }

    fn check(&self, domains: &[Arc<str>], now: Timestamp) -> Result<(), Failure> {
        let pair = Pair::of_texts(self.chain.as_bytes(), self.key.as_bytes(), |_| None);
        let pair = pair.map_err(|wrong| match wrong {
            Wrong::Chain(_) => Failure::from(error::SSL_PUB),
            Wrong::Key((what, _)) if what.contains("belong") => error::CERTIFICATE_MISMATCH.into(),
            Wrong::Key(_) => error::SSL_PRI.into(),
        })?;
        if pair.facts.age(now) != Age::Valid {
            return Err(error::CERTIFICATE_EXPIRED.into());
        }
        match domains.iter().all(|domain| pair.facts.covers(domain)) {
            true => Ok(()),
            false => Err(error::CERTIFICATE_MISMATCH.into()),
        }
    }
}

/// Keeps the pair of all domains, or takes it away. Those whose files name another certificate take
/// the uploaded one from now on.
async fn use_uploaded(
    call: &Call<'_>,
    domains: &[Arc<str>],
    pair: Option<(&[u8], &[u8])>,
    notes: Vec<Note>,
) -> Result<(), Failure> {
    let loaded = call.dcdn.edge.publisher.configured();
    let others: Vec<Arc<str>> = loaded
        .domains
        .iter()
        .filter(|config| config.tls.certificate != Certificate::Uploaded)
        .map(|config| Arc::clone(&config.name))
        .filter(|name| domains.contains(name))
        .collect();
    let write = move |work: &rusqlite::Transaction<'_>| {
        notes.iter().try_for_each(|(domain, note)| {
            let note = note.as_ref().map(|(name, region)| (&**name, &**region));
            attributes::put_certificate(work, domain, note)
        })
    };
    let patch = json!({"tls": {"certificate": null, "key": null, "ocsp": null}});
    call.change_with(domains, Some(pair), Box::new(write), |name, text| {
        let text = text.ok_or(error::DOMAIN_NOT_FOUND)?;
        match others.iter().any(|other| **other == *name) {
            true => patched(text, &patch).map(Some),
            false => Ok(Some(text.to_owned())),
        }
    })
    .await
}

// === Describe ===

/// There is always one entry: clients take an empty list for a domain that is not there.
pub async fn info(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let view = domains::one(call, &name).await?;
    let entry = match view.served() {
        None => json!({
            "DomainName": view.name(),
            "CertDomainName": "",
            "CertName": "",
            "CertType": "",
            "CertId": "",
            "CertRegion": "",
            "CertOrg": "",
            "CertLife": "",
            "CertExpireTime": "",
            "SSLProtocol": "off",
            "SSLPub": "",
            "Status": "",
        }),
        Some(served) => {
            let facts = &served.pair.facts;
            let months = (facts.not_after - facts.not_before) / (30 * 86_400);
            json!({
                "DomainName": view.name(),
                "CertDomainName": common_name(served),
                "CertName": name_of(&view, served),
                "CertType": kind_of(served),
                "CertId": "",
                "CertRegion": region_of(&view),
                "CertOrg": organization(&facts.issuer),
                "CertLife": format!("{months} months"),
                "CertExpireTime": window::format(facts.not_after),
                "SSLProtocol": "on",
                "SSLPub": chain_pem(&served.pair),
                "Status": "success",
            })
        }
    };
    Ok(json!({"CertInfos": {"CertInfo": [entry]}}))
}

pub async fn https_domains(call: &Call<'_>) -> Answer {
    let page = call.parameters.page()?;
    let keyword = call.parameters.text("Keyword").unwrap_or_default();
    let all = domains::all(call).await?;
    let rows: Vec<Value> = all
        .iter()
        .filter_map(|view| Some((view, view.served()?)))
        .filter(|(view, served)| {
            view.name().contains(keyword) || name_of(view, served).contains(keyword)
        })
        .map(|(view, served)| {
            let facts = &served.pair.facts;
            json!({
                "DomainName": view.name(),
                "CertName": name_of(view, served),
                "CertCommonName": common_name(served),
                "CertType": kind_of(served),
                "CertStartTime": spaced(facts.not_before),
                "CertExpireTime": spaced(facts.not_after),
                "CertUpdateTime": spaced(view.pair_written().div_euclid(1_000)),
                "CertStatus": status_of(view, served, call.now),
            })
        })
        .collect();
    let total = rows.len();
    Ok(json!({"TotalCount": total, "CertInfos": {"CertInfo": page.of(rows)}}))
}

pub async fn list(call: &Call<'_>) -> Answer {
    let wanted = names::list(call.parameters, "DomainName")?;
    let all = domains::all(call).await?;
    let certificates: Vec<Value> = all
        .iter()
        .filter(|view| wanted.is_empty() || wanted.contains(&view.config().name))
        .filter_map(|view| Some((view, view.served()?)))
        .map(|(view, served)| {
            json!({
                "CertName": name_of(view, served),
                "CertId": 0,
                "Common": common_name(served),
                "Fingerprint": fingerprint(&served.pair),
                "Issuer": served.pair.facts.issuer,
                "LastTime": view.pair_written(),
            })
        })
        .collect();
    let count = certificates.len();
    Ok(json!({"CertificateListModel": {"Count": count, "CertList": {"Cert": certificates}}}))
}

/// Without the key: that leaves the edge by no way.
pub async fn detail(call: &Call<'_>) -> Answer {
    let name = call.parameters.required("CertName")?;
    let all = domains::all(call).await?;
    let mut served = all.iter().filter_map(|view| Some((view, view.served()?)));
    let found = served.find(|(view, served)| name_of(view, served) == name);
    let (_, served) = found.ok_or(error::CERTIFICATE_NOT_FOUND)?;
    Ok(json!({"CertName": name, "CertId": 0, "Cert": chain_pem(&served.pair), "Key": ""}))
}

pub async fn expire_count(call: &Call<'_>) -> Answer {
    let all = domains::all(call).await?;
    let days = all.iter().filter_map(|view| Some(view.served()?.pair.facts.days_left(call.now)));
    let (expired, others): (Vec<i64>, Vec<i64>) = days.partition(|days| *days < 0);
    let soon = others.iter().filter(|days| **days < EXPIRES_SOON_DAYS).count();
    Ok(json!({"ExpiredCount": expired.len(), "ExpireWithin30DaysCount": soon}))
}

fn status_of(view: &View, served: &Served, now: Timestamp) -> &'static str {
    let facts = &served.pair.facts;
    match facts.age(now) {
        Age::Expired | Age::NotYetValid => "expired",
        Age::Valid if !facts.covers(&view.config().name) => "mismatch",
        Age::Valid if facts.days_left(now) < EXPIRES_SOON_DAYS => "expire_soon",
        Age::Valid => "ok",
    }
}

fn kind_of(served: &Served) -> &'static str {
    match served.source {
        Source::Acme => "free",
        _ => "upload",
    }
}

fn name_of(view: &View, served: &Served) -> String {
    match (&view.attributes.certificate, served.source) {
        (Some((name, _)), Source::Uploaded) => name.clone(),
        _ => view.name(),
    }
}

fn region_of(view: &View) -> &str {
    view.attributes.certificate.as_ref().map_or("", |(_, region)| region)
}

fn common_name(served: &Served) -> &str {
    served.pair.facts.names.first().map_or("", String::as_str)
}

/// The `O` of an issuer, or all of it.
fn organization(issuer: &str) -> &str {
    let mut parts = issuer.split(',').map(str::trim);
    parts.find_map(|part| part.strip_prefix("O=")).unwrap_or(issuer)
}

/// `yyyy-MM-dd HH:mm:ss`.
fn spaced(time: i64) -> String {
    let time = Timestamp::from_second(time).map(|time| time.to_zoned(TimeZone::UTC));
    time.map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(organization("C=US, O=Let's Encrypt, CN=R11"), "Let's Encrypt");
        assert_eq!(organization("CN=me"), "CN=me");
        assert_eq!(spaced(0), "1970-01-01 00:00:00");
    }

    // DCDN OpenAPI 2018-01-15, SetDcdnDomainSSLCertificate: codes of errors.
    #[test]
    fn wrong_certificates_have_their_codes_and_are_not_repeated() {
        let key = rcgen::generate_simple_self_signed(vec!["a.example.com".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["b.example.com".to_owned()]).unwrap();
        let (chain, key) = (key.cert.pem(), key.signing_key.serialize_pem());
        let now = Timestamp::now();
        let check = |chain: &str, key: &str, domain: &str, now| {
            Wanted { chain, key, name: None, region: "" }.check(&[domain.into()], now)
        };
        check(&chain, &key, "a.example.com", now).unwrap();
        let late = Timestamp::from_second(253_000_000_000).unwrap();
        for (chain, key, domain, now, code) in [
            ("x", &*key, "a.example.com", now, "InvalidSSLPub"),
            (&chain, "x", "a.example.com", now, "InvalidSSLPri"),
            (
                &chain,
                &other.signing_key.serialize_pem(),
                "a.example.com",
                now,
                "Certificate.MissMatch",
            ),
            (&chain, &key, "b.example.com", now, "Certificate.MissMatch"),
            (&chain, &key, "a.example.com", late, "Certificate.Expired"),
        ] {
            assert_eq!(check(chain, key, domain, now).unwrap_err().code, code);
        }
        let read = |query: &str| {
            let parameters = Parameters::read(query, b"").unwrap();
            Wanted::of(&parameters, "CertRegion").err().unwrap()
        };
        let long = format!("SSLPri=k&SSLPub={}", "x".repeat(DCDN_CERTIFICATE_BYTES_MAX + 1));
        let name = format!("SSLPri=k&SSLPub=c&CertName={}", "n".repeat(129));
        for (query, code) in [
            ("SSLPri=k", "SSLPub.MissingParameter"),
            ("SSLPub=c", "SSLPri.MissingParameter"),
            ("SSLPub=c&SSLPri=k&CertType=cas", "InvalidCertType.ValueNotSupported"),
            ("SSLPub=c&SSLPri=k&CertRegion=x", "InvalidCertRegion.ValueNotSupported"),
            (&long, "InvalidCertificate.TooLong"),
            (&name, "InvalidCertName.TooLong"),
        ] {
            assert_eq!(read(query).code, code, "{query}");
        }
    }
}
