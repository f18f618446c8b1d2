//! Domains (DCDN OpenAPI 2018-01-15): added, listed, changed, started, stopped, deleted.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::attributes::{self, Attributes};
use super::super::error::{self, Failure};
use super::{Answer, Call, names, patched, sources};
use crate::control::certs::keyring::Source;
use crate::control::certs::store::PairStore;
use crate::control::certs::{Served, chain_pem};
use crate::control::config::tls::Certificate;
use crate::control::config::{DomainConfig, Loaded, edit};
use crate::control::statistics::window;
use crate::limits::{DCDN_NAME_FILTER_BYTES_MAX, DCDN_SOURCES_ASKED_MAX};
use crate::snapshot::OriginScheme;

/// Behind the name of a domain: no name server knows it, and none ever will (RFC 6761 6.4). Point a
/// record of your own at the edge.
const CNAME_SUFFIX: &str = "hawser.invalid";
/// For this long after its file was written a domain is said to be `configuring`: by then every
/// core has taken the change over.
const CONFIGURING_MS: i64 = 1_000;
const SCOPES: &[&str] = &["domestic", "overseas", "global"];
const STATUSES: &[&str] =
    &["online", "offline", "configuring", "configure_failed", "checking", "check_failed"];

// === What is shown of a domain ===

/// A domain with all that is known of it.
pub struct View {
    loaded: Arc<Loaded>,
    index: usize,
    pub attributes: Attributes,
    /// Milliseconds since the Unix epoch.
    modified: i64,
    served: Option<Served>,
    /// As `modified`, of the file of the certificate.
    pair_written: i64,
}

/// All domains, by name.
///
/// # Errors
/// The database cannot be read.
pub async fn all(call: &Call<'_>) -> Result<Vec<View>, Failure> {
    views(call, None).await
}

/// # Errors
/// `InvalidDomain.NotFound`.
pub async fn one(call: &Call<'_>, name: &str) -> Result<View, Failure> {
    let found = views(call, Some(name)).await?.pop();
    found.ok_or_else(|| error::DOMAIN_NOT_FOUND.into())
}

async fn views(call: &Call<'_>, name: Option<&str>) -> Result<Vec<View>, Failure> {
    let edge = &call.dcdn.edge;
    let mut known = call.dcdn.book.read(edge, name, call.turn.as_ref()).await?;
    let (loaded, served) = (edge.publisher.configured(), edge.publisher.served());
    let name = name.map(str::to_owned);
    let views = edge.database.off_the_runtime(move |_| {
        let wanted = loaded
            .domains
            .iter()
            .enumerate()
            .filter(|(_, config)| name.as_deref().is_none_or(|name| *name == *config.name));
        let by_name: HashMap<&str, &Served> =
            of_clients(&served).map(|served| (&*served.domain, served)).collect();
        wanted
            .map(|(index, config)| {
                let modified = attributes::modified(&config.file);
                let attributes = known.remove(&*config.name);
                let served = by_name.get(&*config.name).map(|served| (*served).clone());
                let pair = served.as_ref().and_then(|served| pair_file(served, config, &loaded));
                View {
                    loaded: Arc::clone(&loaded),
                    index,
                    attributes: attributes.unwrap_or_else(|| Attributes::new(modified)),
                    modified,
                    served,
                    pair_written: pair.map_or(0, |path| attributes::modified(&path)),
                }
            })
            .collect()
    });
    Ok(views.await)
}

/// What clients of a domain are shown; there are certificates for origins and for the edge itself
/// too.
fn of_clients(served: &[Served]) -> impl Iterator<Item = &Served> {
    let is_shown = |source| matches!(source, Source::Uploaded | Source::Acme | Source::Files);
    served.iter().filter(move |served| is_shown(served.source))
}

fn pair_file(served: &Served, config: &DomainConfig, loaded: &Loaded) -> Option<PathBuf> {
    let state_dir = &loaded.server.state_dir;
    let store = match served.source {
        Source::Uploaded => PairStore::uploaded(state_dir),
        Source::Acme => PairStore::issued(state_dir),
        Source::Files => match &config.tls.certificate {
            Certificate::Files(paths) => return paths.first().cloned(),
            _ => return None,
        },
        Source::Default | Source::Origins | Source::Admin => return None,
    };
    store.find(&config.name).ok().flatten().map(|paths| paths.certificate)
}

impl View {
    pub fn config(&self) -> &DomainConfig {
        &self.loaded.domains[self.index]
    }

    pub fn served(&self) -> Option<&Served> {
        self.served.as_ref()
    }

    /// When the certificate in use came, in milliseconds since the Unix epoch.
    pub fn pair_written(&self) -> i64 {
        self.pair_written
    }

    pub fn name(&self) -> String {
        names::wire(&self.config().name)
    }

    pub fn status(&self, call: &Call<'_>) -> &'static str {
        match self.config().enabled {
            false => "offline",
            true if (call.now.as_millisecond() - self.modified).abs() < CONFIGURING_MS => {
                "configuring"
            }
            true => "online",
        }
    }

    fn cname(&self) -> String {
        let name = self.name();
        let name = name.strip_prefix('.').map_or(name.clone(), |below| format!("all.{below}"));
        format!("{name}.{CNAME_SUFFIX}")
    }

    fn sources(&self) -> Vec<Value> {
        let origins = self.config().origins.iter();
        origins.map(|origin| sources::shown(origin, &self.attributes.sources)).collect()
    }

    fn ssl_protocol(&self) -> &'static str {
        if self.served.is_some() { "on" } else { "off" }
    }

    /// An entry of a list of domains. The lists disagree on the name of one field.
    pub fn row(&self, call: &Call<'_>, ssl_protocol: &str) -> Value {
        let mut row = json!({
            "DomainName": self.name(),
            "DomainId": self.attributes.id,
            "Cname": self.cname(),
            "DomainStatus": self.status(call),
            "GmtCreated": stamp(self.attributes.created),
            "GmtModified": stamp(self.modified),
            "Description": "",
            "Sandbox": "normal",
            "ResourceGroupId": self.attributes.resource_group,
            "Scene": self.attributes.scene,
            "FunctionType": self.attributes.function_type,
            "Sources": {"Source": self.sources()},
        });
        row[ssl_protocol] = Value::from(self.ssl_protocol());
        row
    }
}

fn stamp(milliseconds: i64) -> String {
    window::format(milliseconds.div_euclid(1_000))
}

pub async fn detail(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let view = one(call, &name).await?;
    let sources = view.sources().into_iter().map(|mut source| {
        source["Enabled"] = Value::from("online");
        source
    });
    let certificate = view.served().map(|served| chain_pem(&served.pair));
    Ok(json!({"DomainDetail": {
        "DomainName": view.name(),
        "Cname": view.cname(),
        "DomainStatus": view.status(call),
        "GmtCreated": stamp(view.attributes.created),
        "GmtModified": stamp(view.modified),
        "Scope": view.attributes.scope,
        "SSLProtocol": view.ssl_protocol(),
        "SSLPub": certificate.unwrap_or_default(),
        "Description": "",
        "ResourceGroupId": view.attributes.resource_group,
        "Scene": view.attributes.scene,
        "FunctionType": view.attributes.function_type,
        "Sources": {"Source": sources.collect::<Vec<_>>()},
    }}))
}

pub async fn list(call: &Call<'_>) -> Answer {
    let page = call.parameters.page()?;
    let filter = Filter::of(call)?;
    let mut found = all(call).await?;
    found.retain(|view| filter.takes(view, call));
    let total = found.len();
    let rows: Vec<Value> =
        page.of(found).iter().map(|view| view.row(call, "SSLProtocol")).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": total,
        "Domains": {"PageData": rows},
    }))
}

/// Which domains a list has.
struct Filter<'a> {
    names: Vec<String>,
    search: Option<&'a str>,
    status: Option<&'a str>,
    group: Option<&'a str>,
    coverage: Option<&'a str>,
    /// In milliseconds; of the last change.
    changed: (i64, i64),
    tags: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Filter<'a> {
    fn of(call: &'a Call<'_>) -> Result<Filter<'a>, Failure> {
        let parameters = call.parameters;
        let name = parameters.text("DomainName").unwrap_or_default();
        if name.len() > DCDN_NAME_FILTER_BYTES_MAX {
            return Err(error::DOMAIN_MALFORMED.into());
        }
        let searches = ["full_match", "fuzzy_match", "pre_match", "suf_match"];
        parameters.flag("CheckDomainShow")?;
        let time = |name: &str, known: error::Known, otherwise: i64| match parameters.text(name) {
            None => Ok(otherwise),
            Some(text) => text
                .parse::<jiff::Timestamp>()
                .map(jiff::Timestamp::as_millisecond)
                .map_err(|_| Failure::from(known)),
        };
        Ok(Filter {
            names: parameters.listed("DomainName").iter().map(|n| n.to_ascii_lowercase()).collect(),
            search: parameters.choice("DomainSearchType", &searches)?,
            status: parameters.choice("DomainStatus", STATUSES)?,
            group: parameters.text("ResourceGroupId"),
            coverage: parameters.text("Coverage"),
            changed: (
                time("ChangeStartTime", error::START_MALFORMED, i64::MIN)?,
                time("ChangeEndTime", error::END_MALFORMED, i64::MAX)?,
            ),
            tags: parameters.numbered_pairs("Tag"),
        })
    }

    fn takes(&self, view: &View, call: &Call<'_>) -> bool {
        let name = view.name();
        let matches = |wanted: &String| match self.search {
            Some("fuzzy_match") => name.contains(&**wanted),
            Some("pre_match") => name.starts_with(&**wanted),
            Some("suf_match") => name.ends_with(&**wanted),
            _ => name == *wanted,
        };
        let attributes = &view.attributes;
        (self.names.is_empty() || self.names.iter().any(matches))
            && self.status.is_none_or(|status| status == view.status(call))
            && self.group.is_none_or(|group| *group == attributes.resource_group)
            && self.coverage.is_none_or(|coverage| *coverage == attributes.scope)
            && (self.changed.0..self.changed.1).contains(&view.modified)
            && self.tags.iter().all(|(key, value)| {
                let found = attributes.tags.get(*key);
                found.is_some_and(|found| value.is_none_or(|value| *value == **found))
            })
    }
}

pub async fn cname(call: &Call<'_>) -> Answer {
    call.parameters.required("DomainName")?;
    let wanted = names::list(call.parameters, "DomainName")?;
    let all: BTreeMap<String, View> =
        all(call).await?.into_iter().map(|view| (view.config().name.to_string(), view)).collect();
    let mut data = Vec::new();
    for name in wanted {
        let view = all.get(&*name).ok_or(error::DOMAIN_NOT_FOUND)?;
        // Whether clients find the edge is a matter of the operator's own records; what is known
        // here is whether it would answer.
        let status = if view.config().enabled { 0 } else { 1 };
        data.push(json!({"Domain": view.name(), "Cname": view.cname(), "Status": status}));
    }
    Ok(json!({"CnameDatas": {"Data": data}}))
}

pub async fn by_source(call: &Call<'_>) -> Answer {
    call.parameters.required("Sources")?;
    let wanted = call.parameters.listed("Sources");
    if wanted.len() > DCDN_SOURCES_ASKED_MAX {
        return Err(Failure::unsupported("Sources", "a list of at most 20"));
    }
    let all = all(call).await?;
    let of_source = |source: &&str| {
        let has = |view: &&View| {
            let mut origins = view.config().origins.iter();
            origins.any(|origin| origin.address.to_string().eq_ignore_ascii_case(source))
        };
        let domains: Vec<Value> = all
            .iter()
            .filter(has)
            .map(|view| {
                json!({
                    "DomainName": view.name(),
                    "DomainCname": view.cname(),
                    "DomainType": "dynamic",
                    "Status": view.status(call),
                    "CreateTime": stamp(view.attributes.created),
                    "UpdateTime": stamp(view.modified),
                })
            })
            .collect();
        json!({"Source": source, "DomainList": domains})
    };
    Ok(json!({"DomainInfo": wanted.iter().map(of_source).collect::<Vec<_>>()}))
}

// === Changes ===

pub async fn add(call: &Call<'_>) -> Answer {
    let parameters = call.parameters;
    let name = names::own(parameters.required("DomainName")?)?;
    let sources = sources::read(parameters.required("Sources")?, error::SOURCE_CONTENT_MALFORMED)?;
    let attributes = Attributes {
        scope: scope(parameters.text("Scope").unwrap_or("domestic"))?,
        resource_group: resource_group(call)?.unwrap_or_default(),
        scene: parameters
            .choice("Scene", &["apiscene", "webservicescene", "staticscene"])?
            .unwrap_or_default()
            .to_owned(),
        function_type: parameters
            .choice("FunctionType", &["routine", "image", "cloudFunction"])?
            .unwrap_or_default()
            .to_owned(),
        tags: super::tags::given(parameters)?,
        sources: sources.described,
        ..Attributes::new(call.now.as_millisecond())
    };
    // WebSocket is off until it is set: it needs a plan.
    let mut patch = json!({"websocket": {"enabled": false}, "origin": sources.origins});
    if sources::are_https(&attributes.sources) {
        patch["websocket"]["origin_scheme"] = Value::from("https");
    }
    let written = Arc::clone(&name);
    call.change(
        &[name],
        Box::new(move |work| attributes::put_domain(work, &written, &attributes)),
        |name, text| match text {
            Some(_) => Err(error::DOMAIN_EXISTS.into()),
            None => patched(&edit::new_domain(name), &patch).map(Some),
        },
    )
    .await?;
    Ok(json!({}))
}

pub async fn update(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let view = one(call, &name).await?;
    let mut attributes = view.attributes.clone();
    if let Some(group) = resource_group(call)? {
        attributes.resource_group = group;
    }
    let mut patch = json!({});
    if let Some(text) = call.parameters.text("Sources") {
        let sources = sources::read(text, error::SOURCE_MISMATCH)?;
        let was_https = sources::are_https(&attributes.sources);
        let is_https = sources::are_https(&sources.described);
        let is_asked = attributes.functions.values().any(|function| function.scheme.is_some());
        patch = json!({"origin": sources.origins});
        // Only what followed from the ports of the origins follows them on.
        match view.config().websocket.origin_scheme {
            OriginScheme::Follow if is_https && !is_asked => {
                patch["websocket"] = json!({"origin_scheme": "https"});
            }
            OriginScheme::Https if was_https && !is_https && !is_asked => {
                patch["websocket"] = json!({"origin_scheme": null});
            }
            _ => {}
        }
        attributes.sources = sources.described;
    }
    let written = Arc::clone(&name);
    call.change(
        &[name],
        Box::new(move |work| attributes::update_domain(work, &written, &attributes)),
        |_, text| patched(text.ok_or(error::DOMAIN_NOT_FOUND)?, &patch).map(Some),
    )
    .await?;
    Ok(json!({}))
}

pub async fn start(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    enable(call, &[name], true).await
}

pub async fn stop(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    enable(call, &[name], false).await
}

pub async fn batch_start(call: &Call<'_>) -> Answer {
    enable(call, &names::batch(call.parameters, "DomainNames")?, true).await
}

pub async fn batch_stop(call: &Call<'_>) -> Answer {
    enable(call, &names::batch(call.parameters, "DomainNames")?, false).await
}

async fn enable(call: &Call<'_>, domains: &[Arc<str>], enabled: bool) -> Answer {
    let patch = json!({"enabled": if enabled { Value::Null } else { Value::from(false) }});
    let edit = |_: &str, text: Option<&str>| {
        patched(text.ok_or(error::DOMAIN_NOT_FOUND)?, &patch).map(Some)
    };
    call.change(domains, Box::new(|_| Ok(())), edit).await?;
    Ok(json!({}))
}

pub async fn delete(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let gone = Arc::clone(&name);
    call.change(
        &[name],
        Box::new(move |work| attributes::remove_domain(work, &gone)),
        |_, text| text.map(|_| None).ok_or_else(|| error::DOMAIN_NOT_FOUND.into()),
    )
    .await?;
    Ok(json!({}))
}

pub async fn modify_property(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let property: Value = serde_json::from_str(call.parameters.required("Property")?)
        .map_err(|_| error::PROPERTY_MALFORMED)?;
    let coverage = property["coverage"].as_str().ok_or(error::PROPERTY_MALFORMED)?;
    let view = one(call, &name).await?;
    let coverage = scope(coverage).map_err(|_| error::PROPERTY_MALFORMED)?;
    let attributes = Attributes { scope: coverage, ..view.attributes };
    let about = format!("coverage of {name}");
    call.note(about, Box::new(move |work| attributes::update_domain(work, &name, &attributes)))
        .await?;
    Ok(json!({}))
}

fn scope(text: &str) -> Result<String, Failure> {
    let found = SCOPES.iter().find(|scope| **scope == text);
    found.map(|scope| (*scope).to_owned()).ok_or_else(|| error::SCOPE_MALFORMED.into())
}

fn resource_group(call: &Call<'_>) -> Result<Option<String>, Failure> {
    let Some(group) = call.parameters.text("ResourceGroupId") else { return Ok(None) };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match group.len() <= 64 && group.chars().all(fits) {
        true => Ok(Some(group.to_owned())),
        false => Err(error::RESOURCE_GROUP_MALFORMED.into()),
    }
}
