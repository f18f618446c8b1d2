//! `/domains`: list, show, write, start and stop, the WebSocket settings, history; `/changes`.
//! Not here: how writes are done (`writes`).

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit::{self, Audit, History};
use super::auth::Caller;
use super::extract::{Body, Bounded, Condition, Name, Params};
use super::problem::{Kind, Problem};
use super::schema::{Document, Patch};
use super::writes::{CREATED, Changed, Dry, Edit, REVISION, TEXT, Wanted, carry_out, entity_tag};
use super::{Shared, heavy, page, store};
use crate::control::changes::revision;
use crate::control::config::keys::domain::NAME;
use crate::control::config::store::{Store, checked_name, json as shaped};
use crate::control::config::{DomainConfig, Text};
use crate::control::edge::Edge;
use crate::control::statistics::{Dimension, SLOT, Selection, Slot, Wanted as Counted};
use crate::limits::API_BATCH_MAX;
use crate::snapshot::{Domain, Origin, OriginScheme};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_domains, create_domain))
        .routes(routes!(show_domain, replace_domain, patch_domain, remove_domain))
        .routes(routes!(show_file, replace_file))
        .routes(routes!(show_websocket, set_websocket))
        .routes(routes!(start_domain))
        .routes(routes!(stop_domain))
        .routes(routes!(domain_history))
        .routes(routes!(change_domains))
}

// === Lists ===

/// One domain in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedDomain {
    #[schema(example = "live.example.com")]
    pub name: String,
    pub state: DomainState,
    /// False: stopped.
    pub enabled: bool,
    /// Whether its file has WebSocket on.
    pub websocket: bool,
    /// Seconds.
    pub heartbeat: u64,
    pub origin_scheme: Scheme,
    pub origins: ListedOrigins,
    /// Tunnels that are open now.
    pub connections: u64,
    /// WebSocket since midnight of the node, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub today: Option<Today>,
    /// Of its file; what `ETag` has.
    pub revision: String,
}

/// How many origins a domain has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedOrigins {
    pub configured: usize,
    /// Those with an address that is up; null: the domain is stopped, and they are not checked.
    pub up: Option<usize>,
}

/// Bytes of WebSocket since midnight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Today {
    /// Sent to clients.
    pub bytes_out: u64,
    pub bytes_in: u64,
}

/// Whether a domain is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DomainState {
    Online,
    /// Stopped.
    Offline,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Domains {
    pub items: Vec<ListedDomain>,
    /// What to send as `after` for the next part; null when this was the last.
    pub next: Option<String>,
    /// All that match, on all parts.
    pub total: usize,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DomainsAsked {
    /// Only the domain of this very name.
    #[param(value_type = Option<String>, max_length = 253)]
    name: Option<Bounded<253>>,
    /// Only names with this in them.
    #[param(value_type = Option<String>, max_length = 253)]
    search: Option<Bounded<253>>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<DomainState>,
    /// Only those with WebSocket on, or off.
    websocket: Option<bool>,
    /// Add what was sent and received since midnight of the node, as `today`.
    #[serde(default)]
    #[param(default = false)]
    today: bool,
    /// Only names behind this one: `next` of the part before.
    #[param(value_type = Option<String>, max_length = 253)]
    after: Option<Bounded<253>>,
    /// Names in one part.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
}

/// List the domains of this node, by name
#[utoipa::path(get, path = "/domains", tag = "domains", params(DomainsAsked),
    responses((status = 200, description = "One part of the list", body = Domains)))]
async fn list_domains(
    State(edge): State<Shared>,
    Params(asked): Params<DomainsAsked>,
) -> Result<Json<Domains>, Problem> {
    let limit = page::limit(asked.limit)?;
    let search = asked.search.as_deref().unwrap_or_default().to_ascii_lowercase();
    let loaded = edge.publisher.configured();
    let fits = |config: &&DomainConfig| {
        asked.name.as_deref().is_none_or(|name| *config.name == *name)
            && config.name.contains(&search)
            && asked.state.is_none_or(|state| state == state_of(config))
            && asked.websocket.is_none_or(|on| on == config.websocket.enabled)
    };
    let behind =
        |config: &&DomainConfig| asked.after.as_deref().is_none_or(|after| &*config.name > after);
    let total = loaded.domains.iter().filter(fits).count();
    let found = loaded.domains.iter().filter(fits).filter(behind).take(limit + 1);
    let found: Vec<DomainConfig> = found.cloned().collect();
    let (found, next) = page::cut(found, limit, |config| config.name.to_string());
    let (asking, with_today) = (Arc::clone(&edge), asked.today);
    let read = move || {
        let (store, live) = (store(&asking), asking.live());
        let today = if with_today { Some(today(&asking, &found)?) } else { None };
        let open: HashMap<_, _> = live.iter().map(|(name, f)| (&**name, f.active)).collect();
        let snapshot = asking.publisher.cell().current();
        let in_part =
            |name: &str| found.binary_search_by(|config| (*config.name).cmp(name)).is_ok();
        let served = snapshot.hosts.iter().filter(|domain| in_part(&domain.name));
        let served: HashMap<&str, _> = served.map(|domain| (&*domain.name, domain)).collect();
        let listed = |config: &DomainConfig| {
            let served = served.get(&*config.name).copied();
            let today =
                today.as_ref().map(|all| all.get(&config.name).copied().unwrap_or_default());
            let open = open.get(&*config.name).copied().unwrap_or(0);
            listed(&store, config, served, open, today)
        };
        Ok::<_, Problem>(found.iter().filter_map(listed).collect())
    };
    let items = heavy(&edge, read).await??;
    Ok(Json(Domains { items, next, total }))
}

/// What these domains sent and received since midnight.
fn today(edge: &Edge, domains: &[DomainConfig]) -> Result<HashMap<Arc<str>, Today>, Problem> {
    if domains.is_empty() {
        return Ok(HashMap::new());
    }
    let now = Timestamp::now().as_second();
    let start = edge.billing.settings().utc_offset.day_start(now);
    let names = domains.iter().map(|domain| Arc::clone(&domain.name)).collect();
    let selection = Selection { domains: names, ..Selection::default() };
    let end = (now / SLOT + 1) * SLOT;
    let found =
        edge.statistics.totals(&selection, start, end, Counted::Traffic, Dimension::Domain)?;
    let today =
        |slot: Slot| Today { bytes_out: slot.measures.bytes_out, bytes_in: slot.measures.bytes_in };
    Ok(found.into_iter().map(|(name, slot)| (name, today(slot))).collect())
}

/// `None`: its file is gone since.
fn listed(
    store: &Store,
    config: &DomainConfig,
    served: Option<&Arc<Domain>>,
    connections: u64,
    today: Option<Today>,
) -> Option<ListedDomain> {
    let text = store.text(&config.name).ok()??;
    let is_up = |origin: &&Origin| origin.all_endpoints().any(|one| one.state.is_up());
    let origins = ListedOrigins {
        configured: config.origins.len(),
        up: served.map(|domain| domain.origins.iter().map(|o| &**o).filter(is_up).count()),
    };
    Some(ListedDomain {
        name: config.name.to_string(),
        state: state_of(config),
        enabled: config.enabled,
        websocket: config.websocket.enabled,
        heartbeat: config.websocket.heartbeat.as_secs(),
        origin_scheme: config.websocket.origin_scheme.into(),
        origins,
        connections,
        today,
        revision: revision(&text.text),
    })
}

fn state_of(config: &DomainConfig) -> DomainState {
    if config.enabled { DomainState::Online } else { DomainState::Offline }
}

// === One domain ===

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Shape {
    /// Add the text of the file, with its comments, as `text`.
    #[serde(default)]
    #[param(default = false)]
    text: bool,
}

/// Show a domain
///
/// In the shape of its file, with every default filled in, and its `revision`.
#[utoipa::path(get, path = "/domains/{name}", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain, such as `*.example.com`"),
        Shape),
    responses((status = 200, description = "The domain", body = Document,
        headers(("ETag" = String, description = "Its revision, in quotes")))))]
async fn show_domain(
    State(edge): State<Shared>,
    Name(name): Name,
    Params(shape): Params<Shape>,
) -> Result<Response, Problem> {
    let (config, text) = read(&edge, &name).await?;
    let revision = revision(&text.text);
    let reader = Arc::clone(&edge);
    let created = move |_: &_| reader.changes.created(&name);
    let created = edge.database.off_the_runtime(created).await?;
    let mut document = shaped(&config);
    if let Value::Object(fields) = &mut document {
        fields.insert(REVISION.to_owned(), revision.as_str().into());
        fields.insert(CREATED.to_owned(), created.into());
        if shape.text {
            fields.insert(TEXT.to_owned(), text.text.into());
        }
    }
    let tag = entity_tag(&revision).map(|tag| [(header::ETAG, tag)]);
    Ok((tag, Json(document)).into_response())
}

/// A domain's file, and what it says.
async fn read(edge: &Shared, name: &Arc<str>) -> Result<(DomainConfig, Text), Problem> {
    let (store, name) = (store(edge), Arc::clone(name));
    let read = move |_: &_| {
        let text = store.known(&name)?;
        store.checked(&name, &text.text).map(|config| (config, text))
    };
    Ok(edge.database.off_the_runtime(read).await?)
}

/// The file of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "text": "name = \"live.example.com\"\n[[origin]]\naddress = \"10.0.0.5\"\n"
}))]
pub struct FileText {
    /// TOML, as docs/configuration.md has it.
    pub text: String,
    /// Ignored in a request: If-Match has it.
    #[serde(default)]
    pub revision: Option<String>,
}

/// Show the file of a domain
///
/// As it is, also when it is not accepted, so that it can be mended.
#[utoipa::path(get, path = "/domains/{name}/file", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain")),
    responses((status = 200, description = "The file", body = FileText,
        headers(("ETag" = String, description = "Its revision, in quotes")))))]
async fn show_file(State(edge): State<Shared>, Name(name): Name) -> Result<Response, Problem> {
    let store = store(&edge);
    let text = edge.database.off_the_runtime(move |_| store.known(&name)).await?.text;
    let revision = revision(&text);
    let tag = entity_tag(&revision).map(|tag| [(header::ETAG, tag)]);
    Ok((tag, Json(FileText { text, revision: Some(revision) })).into_response())
}

/// Replace the file of a domain
///
/// With this very text, its comments included.
#[utoipa::path(put, path = "/domains/{name}/file", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    request_body = FileText,
    responses((status = 200, description = "Live for new handshakes", body = Changed)))]
async fn replace_file(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
    Body(file): Body<FileText>,
) -> Result<Response, Problem> {
    let wanted = Wanted { domain, edit: Edit::Text(file.text), condition: condition.required()? };
    let changed = carry_out(&edge, &caller, "edit file", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

/// Set up a domain
#[utoipa::path(post, path = "/domains", tag = "domains", params(Dry),
    request_body(content = Document, description = "The domain, in the shape of its file"),
    responses((status = 201, description = "Live for new handshakes", body = Changed),
        (status = 200, description = "What a dry run would do", body = Changed)))]
async fn create_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Params(dry): Params<Dry>,
    Body(document): Body<Value>,
) -> Result<Response, Problem> {
    let named = document.get(NAME.name).and_then(Value::as_str).ok_or_else(|| {
        let detail = "a new domain needs a name".to_owned();
        Problem::at(Kind::Invalid, "/name", detail, "a host name, or one behind `*.`")
    })?;
    checked_name(named).map_err(|error| {
        Problem::at(Kind::Invalid, "/name", error.to_string(), "a host name, or one behind `*.`")
    })?;
    let domain = Arc::from(named);
    let wanted = Wanted { domain, edit: Edit::Create(document), condition: Condition::None };
    let changed = carry_out(&edge, &caller, "create", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::CREATED))
}

/// Replace a domain, or set it up
///
/// What the document does not name goes back to its default; comments of the file stay. With
/// `If-None-Match: *` it must be new.
#[utoipa::path(put, path = "/domains/{name}", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    request_body(content = Document, description = "The domain, in the shape of its file"),
    responses((status = 200, description = "Live for new handshakes", body = Changed),
        (status = 201, description = "The same, and it is new", body = Changed)))]
async fn replace_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
    Body(document): Body<Value>,
) -> Result<Response, Problem> {
    let condition = condition.required()?;
    let new = condition == Condition::Absent;
    let wanted = Wanted { domain, edit: Edit::Replace(document), condition };
    let changed = carry_out(&edge, &caller, "replace", vec![wanted], dry).await?;
    Ok(changed.into_answer(if new { StatusCode::CREATED } else { StatusCode::OK }))
}

/// Change parts of a domain
///
/// RFC 7396: what the patch names is set, `null` takes a key away, a list is replaced as a whole.
#[utoipa::path(patch, path = "/domains/{name}", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    request_body(content((Patch = "application/json"), (Patch = "application/merge-patch+json")),
        description = "What is to differ"),
    responses((status = 200, description = "Live for new handshakes", body = Changed)))]
async fn patch_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
    Body(patch): Body<Value>,
) -> Result<Response, Problem> {
    let wanted = Wanted { domain, edit: Edit::Patch(patch), condition: condition.required()? };
    let changed = carry_out(&edge, &caller, "change", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

/// Remove a domain
///
/// Its tunnels are closed; its history stays in the audit log, and can be rolled back to.
#[utoipa::path(delete, path = "/domains/{name}", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    responses((status = 200, description = "Gone", body = Changed)))]
async fn remove_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
) -> Result<Response, Problem> {
    let wanted = Wanted { domain, edit: Edit::Remove, condition: condition.required()? };
    let changed = carry_out(&edge, &caller, "remove", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

// === Switches ===

/// The WebSocket settings that the product has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "enabled": true, "heartbeat": 30, "origin_scheme": "follow" }))]
pub struct Websocket {
    /// Off: Upgrade is stripped and the request goes on as plain HTTP.
    pub enabled: bool,
    /// Seconds.
    #[serde(default = "default_heartbeat")]
    #[schema(minimum = 1, maximum = 300, default = 60)]
    pub heartbeat: u64,
    #[serde(default)]
    pub origin_scheme: Scheme,
}

fn default_heartbeat() -> u64 {
    crate::limits::DEFAULT_HEARTBEAT.as_secs()
}

/// The protocol towards origins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
    /// As the client came.
    #[default]
    Follow,
}

impl From<OriginScheme> for Scheme {
    fn from(scheme: OriginScheme) -> Scheme {
        match scheme {
            OriginScheme::Http => Scheme::Http,
            OriginScheme::Https => Scheme::Https,
            OriginScheme::Follow => Scheme::Follow,
        }
    }
}

/// Show the WebSocket settings of a domain
#[utoipa::path(get, path = "/domains/{name}/websocket", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain")),
    responses((status = 200, description = "The settings", body = Websocket,
        headers(("ETag" = String, description = "The revision of the domain, in quotes")))))]
async fn show_websocket(State(edge): State<Shared>, Name(name): Name) -> Result<Response, Problem> {
    let (config, text) = read(&edge, &name).await?;
    let settings = Websocket {
        enabled: config.websocket.enabled,
        heartbeat: config.websocket.heartbeat.as_secs(),
        origin_scheme: config.websocket.origin_scheme.into(),
    };
    let tag = entity_tag(&revision(&text.text)).map(|tag| [(header::ETAG, tag)]);
    Ok((tag, Json(settings)).into_response())
}

/// Set the WebSocket settings of a domain
///
/// They hold for new handshakes; tunnels that are open keep theirs.
#[utoipa::path(put, path = "/domains/{name}/websocket", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    request_body = Websocket,
    responses((status = 200, description = "Live for new handshakes", body = Changed)))]
async fn set_websocket(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
    Body(settings): Body<Websocket>,
) -> Result<Response, Problem> {
    let edit = Edit::Patch(json!({ "websocket": settings }));
    let wanted = Wanted { domain, edit, condition: condition.required()? };
    let changed = carry_out(&edge, &caller, "set websocket", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

/// Serve a stopped domain again
#[utoipa::path(post, path = "/domains/{name}/start", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    responses((status = 200, description = "Live for new handshakes", body = Changed)))]
async fn start_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
) -> Result<Response, Problem> {
    let wanted = Wanted { domain, edit: Edit::enable(true), condition };
    let changed = carry_out(&edge, &caller, "start", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

/// Stop a domain
///
/// Requests for it are answered 421, its tunnels are closed; its file and its history stay.
#[utoipa::path(post, path = "/domains/{name}/stop", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), Dry),
    responses((status = 200, description = "Not served any more", body = Changed)))]
async fn stop_domain(
    State(edge): State<Shared>,
    caller: Caller,
    Name(domain): Name,
    condition: Condition,
    Params(dry): Params<Dry>,
) -> Result<Response, Problem> {
    let wanted = Wanted { domain, edit: Edit::enable(false), condition };
    let changed = carry_out(&edge, &caller, "stop", vec![wanted], dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

/// Show what was done to a domain, the newest first
///
/// Also of a domain that is gone.
#[utoipa::path(get, path = "/domains/{name}/history", tag = "domains",
    params(("name" = String, Path, description = "Name of the domain"), History),
    responses((status = 200, description = "One part of the audit log", body = Audit)))]
async fn domain_history(
    State(edge): State<Shared>,
    Name(name): Name,
    Params(asked): Params<History>,
) -> Result<Json<Audit>, Problem> {
    audit::entries(&edge, Some(name.to_string()), None, asked).await.map(Json)
}

// === Several at once ===

/// Changes to several domains.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "changes": [
    { "action": "patch", "name": "a.example.com", "document": { "enabled": true } },
    { "action": "stop", "name": "b.example.com", "if_match": "3f8a1c0b9d2e4f57" }
] }))]
pub struct Batch {
    /// At most 50.
    #[schema(min_items = 1, max_items = 50)]
    changes: Vec<BatchItem>,
}

/// A change to one of them.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    action: BatchAction,
    #[schema(value_type = String, max_length = 253)]
    name: Bounded<253>,
    /// For `create`, `replace` and `patch`.
    #[schema(value_type = Option<Patch>)]
    document: Option<Value>,
    /// The revision that the domain must be at; without it, whatever there is.
    #[schema(value_type = Option<String>, max_length = 64)]
    if_match: Option<Bounded<64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchAction {
    Create,
    Replace,
    Patch,
    Remove,
    Start,
    Stop,
}

/// Change several domains, all of them or none
#[utoipa::path(post, path = "/changes", tag = "domains", params(Dry), request_body = Batch,
    responses((status = 200, description = "All are live for new handshakes", body = Changed)))]
async fn change_domains(
    State(edge): State<Shared>,
    caller: Caller,
    Params(dry): Params<Dry>,
    Body(batch): Body<Batch>,
) -> Result<Response, Problem> {
    let len = batch.changes.len();
    if !(1..=API_BATCH_MAX).contains(&len) {
        let detail = format!("{len} changes");
        let accepted = format!("1 to {API_BATCH_MAX} of them");
        return Err(Problem::at(Kind::Invalid, "/changes", detail, &accepted));
    }
    let wanted = |(at, item): (usize, BatchItem)| {
        item.wanted().map_err(|problem| problem.below(&format!("/changes/{at}")))
    };
    let wanted: Vec<Wanted> =
        batch.changes.into_iter().enumerate().map(wanted).collect::<Result<_, _>>()?;
    let changed = carry_out(&edge, &caller, "batch", wanted, dry).await?;
    Ok(changed.into_answer(StatusCode::OK))
}

impl BatchItem {
    fn wanted(self) -> Result<Wanted, Problem> {
        let BatchItem { action, name, document, if_match } = self;
        checked_name(&name).map_err(|error| {
            Problem::at(Kind::Invalid, "/name", error.to_string(), "the name of a domain")
        })?;
        let takes_document =
            matches!(action, BatchAction::Create | BatchAction::Replace | BatchAction::Patch);
        let document = match (document, takes_document) {
            (Some(document), true) => document,
            (None, false) => Value::Null,
            (None, true) => {
                let detail = "this action needs a document".to_owned();
                return Err(Problem::at(Kind::Invalid, "/document", detail, "a document"));
            }
            (Some(_), false) => {
                let detail = "this action has no document".to_owned();
                return Err(Problem::at(Kind::Invalid, "/document", detail, "no such field"));
            }
        };
        let edit = match action {
            BatchAction::Create => Edit::Create(document),
            BatchAction::Replace => Edit::Replace(document),
            BatchAction::Patch => Edit::Patch(document),
            BatchAction::Remove => Edit::Remove,
            BatchAction::Start => Edit::enable(true),
            BatchAction::Stop => Edit::enable(false),
        };
        let condition = match if_match {
            Some(revision) => Condition::OneOf(vec![revision.trim_matches('"').to_owned()]),
            None => Condition::None,
        };
        Ok(Wanted { domain: (*name).into(), edit, condition })
    }
}
