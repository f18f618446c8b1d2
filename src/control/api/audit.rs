//! `/audit`: who did what, with the texts before and after, and back to any of them. Not here:
//! writing it (`changes`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Bounded, Condition, Params, PathPart};
use super::problem::Problem;
use super::writes::{self, Action, Changed, ChangedDomain, Dry};
use super::{Shared, heavy, page};
use crate::control::changes::{self, Author, Of, revision};
use crate::limits::AUDIT_PAGE_MAX;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_audit)).routes(routes!(roll_back))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct History {
    /// Only entries before this one: `next` of the part before.
    before: Option<i64>,
    /// Entries in one part.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// Add the texts before and after.
    #[serde(default)]
    #[param(default = false)]
    texts: bool,
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditAsked {
    /// Only about this domain.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// Only by this author: the id of a key, or the name of a user of this host.
    #[param(value_type = Option<String>, max_length = 64)]
    author: Option<Bounded<64>>,
    /// Only entries before this one: `next` of the part before.
    before: Option<i64>,
    /// Entries in one part.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// Add the texts before and after.
    #[serde(default)]
    #[param(default = false)]
    texts: bool,
}

/// A part of the audit log, the newest entries first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Audit {
    pub items: Vec<AuditEntry>,
    /// What to send as `before` for the next part; null when this was the last.
    pub next: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    pub id: i64,
    /// Entries of one change set have the same number.
    pub change: i64,
    /// RFC 3339, UTC.
    #[schema(example = "2026-11-23T10:00:00Z")]
    pub at: String,
    pub author: Author,
    #[schema(example = "change")]
    pub action: String,
    /// Null: it was not about a domain.
    pub domain: Option<String>,
    /// What else it was about.
    pub about: Option<String>,
    pub before_revision: Option<String>,
    pub revision: Option<String>,
    /// Of the domain's file, as `diff -u` has it; cut when it is very long.
    pub diff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Show the audit log, the newest entries first
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditAsked),
    responses((status = 200, description = "One part of the audit log", body = Audit)))]
async fn show_audit(
    State(edge): State<Shared>,
    Params(asked): Params<AuditAsked>,
) -> Result<Json<Audit>, Problem> {
    let AuditAsked { domain, author, before, limit, texts } = asked;
    let domain = domain.map(|domain| domain.to_string());
    let author = author.map(|author| author.to_string());
    entries(&edge, domain, author, History { before, limit, texts }).await.map(Json)
}

/// A part of the log, of one domain or of all, by one author or by all.
pub async fn entries(
    edge: &Shared,
    domain: Option<String>,
    author: Option<String>,
    asked: History,
) -> Result<Audit, Problem> {
    let limit = page::limit_to(asked.limit, AUDIT_PAGE_MAX / 2, AUDIT_PAGE_MAX)?;
    let reader = Arc::clone(edge);
    let read = move || {
        let of = Of { domain: domain.as_deref(), author: author.as_deref() };
        let found = reader.changes.entries(of, asked.before, limit)?;
        // Less than asked for is not the end: texts bound a part too.
        let next = match found.last().map(|last| last.id) {
            Some(last) => {
                let more = reader.changes.entries(of, Some(last), 1)?;
                (!more.is_empty()).then_some(last)
            }
            None => None,
        };
        let items = found.into_iter().map(|entry| shown(entry, asked.texts)).collect();
        Ok::<_, Problem>(Audit { items, next })
    };
    heavy(edge, read).await?
}

fn shown(entry: changes::Entry, texts: bool) -> AuditEntry {
    let changes::Entry { id, change, at, author, action, domain, about, before, after } = entry;
    let (old, new) = (before.as_deref(), after.as_deref());
    let differs = old != new;
    AuditEntry {
        id,
        change,
        at,
        author,
        action,
        domain,
        about,
        before_revision: old.map(revision),
        revision: new.map(revision),
        diff: differs.then(|| writes::diff(old.unwrap_or_default(), new.unwrap_or_default())),
        before: before.filter(|_| texts),
        after: after.filter(|_| texts),
    }
}

/// Put a domain back to what it was after an entry
///
/// Which may be: away. This is a change of its own, with an entry of its own.
#[utoipa::path(post, path = "/audit/{id}/rollback", tag = "audit",
    params(("id" = i64, Path, description = "Number of the entry"), Dry),
    responses((status = 200, description = "Live for new handshakes", body = Changed)))]
async fn roll_back(
    State(edge): State<Shared>,
    caller: Caller,
    PathPart(id): PathPart<i64>,
    condition: Condition,
    Params(dry): Params<Dry>,
) -> Result<Response, Problem> {
    let expected = condition.one()?;
    if dry.dry_run {
        let changes = edge.changes.roll_back_preview(&edge, id, expected).await?;
        return Ok(Changed::would_be(changes).into_answer(StatusCode::OK));
    }
    let applied = edge.changes.roll_back(&edge, &caller.author(), id, expected).await?;
    let reader = Arc::clone(&edge);
    let changed = applied.change;
    let read = move |_: &_| {
        let newest = reader.changes.entries(Of::default(), None, AUDIT_PAGE_MAX)?;
        let own = newest.into_iter().filter(|entry| Some(entry.change) == changed);
        Ok::<_, Problem>(own.filter_map(changed_domain).collect())
    };
    let domains = edge.database.off_the_runtime(read).await?;
    let changed = Changed {
        dry_run: false,
        change: applied.change,
        generation: Some(applied.generation),
        domains,
    };
    Ok(changed.into_answer(StatusCode::OK))
}

fn changed_domain(entry: changes::Entry) -> Option<ChangedDomain> {
    let entry = shown(entry, false);
    Some(ChangedDomain {
        name: entry.domain?,
        action: match (&entry.before_revision, &entry.revision) {
            (None, Some(_)) => Action::Created,
            (Some(_), None) => Action::Removed,
            (before, after) if before == after => Action::Unchanged,
            _ => Action::Changed,
        },
        before_revision: entry.before_revision,
        revision: entry.revision,
        diff: entry.diff.unwrap_or_default(),
    })
}
