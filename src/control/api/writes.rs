//! Writes to domains: from what a caller wants to a change set, and what came of it. One or many,
//! for real or as a dry run, all of them or none.
//!
//! Not here: the change set itself (`changes`), texts (`config::edit`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use similar::TextDiff;
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::extract::Condition;
use super::problem::{Kind, Problem};
use crate::control::changes::{Change, ChangeError, Order, revision};
use crate::control::config::edit;
use crate::control::config::keys::domain::NAME;
use crate::control::config::keys::{AnyKey, DOMAIN_FILE, Section};
use crate::control::edge::Edge;
use crate::limits::{API_DIFF_BYTES_MAX, API_DIFF_TIME_MAX};

/// What a document that is shown has beside the keys of the file.
pub const REVISION: &str = "revision";
pub const TEXT: &str = "text";
pub const CREATED: &str = "created";

/// Whether a write is done, or only told of.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Dry {
    /// Only check, and tell what would change.
    #[serde(default)]
    #[param(default = false)]
    pub dry_run: bool,
}

/// What one domain is to become.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub domain: Arc<str>,
    pub edit: Edit,
    pub condition: Condition,
}

#[derive(Debug, Clone)]
pub enum Edit {
    /// A new domain; refused when there is one.
    Create(Value),
    /// The whole document; of a new domain only where the condition says that there is none.
    Replace(Value),
    /// RFC 7396, of a domain that there is.
    Patch(Value),
    /// The whole file, of a domain that there is.
    Text(String),
    Remove,
}

impl Edit {
    /// Start or stop.
    pub fn enable(enabled: bool) -> Edit {
        Edit::Patch(json!({ "enabled": enabled }))
    }
}

/// What a write did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "dry_run": false,
    "change": 12,
    "generation": 7,
    "domains": [{
        "name": "live.example.com",
        "action": "changed",
        "before_revision": "3f8a1c0b9d2e4f57",
        "revision": "a04d5c11e37b9260",
        "diff": "@@ -2,3 +2,3 @@\n [websocket]\n-heartbeat = 60\n+heartbeat = 30\n enabled = true\n"
    }]
}))]
pub struct Changed {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Number of the change set in the audit log; null when nothing differed.
    pub change: Option<i64>,
    /// The snapshot that has it.
    pub generation: Option<u64>,
    pub domains: Vec<ChangedDomain>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangedDomain {
    pub name: String,
    pub action: Action,
    /// Null when there was no such domain.
    pub before_revision: Option<String>,
    /// Null when there is none any more.
    pub revision: Option<String>,
    /// Of the file, as `diff -u` has it; cut when it is very long.
    pub diff: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Created,
    Changed,
    Removed,
    Unchanged,
}

impl Changed {
    /// As the answer to a dry run.
    pub fn would_be(changes: Vec<Change>) -> Changed {
        let told = |Change { domain, before, after }| (domain.to_string(), before, after);
        let domains = changes.into_iter().map(told).map(changed_domain).collect();
        Changed { dry_run: true, change: None, generation: None, domains }
    }

    /// As the answer to a write of one domain, with its new entity tag.
    pub fn into_answer(self, status: StatusCode) -> Response {
        let status = if self.dry_run { StatusCode::OK } else { status };
        let tag = match &self.domains[..] {
            [one] if !self.dry_run => one.revision.as_deref().and_then(entity_tag),
            _ => None,
        };
        let tag = tag.map(|tag| [(header::ETAG, tag)]);
        (status, tag, Json(self)).into_response()
    }
}

/// RFC 9110 8.8.3.
pub fn entity_tag(revision: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{revision}\"")).ok()
}

/// Does it all, or nothing, or only says what it would do.
pub async fn carry_out(
    edge: &Arc<Edge>,
    caller: &Caller,
    action: &str,
    wanted: Vec<Wanted>,
    dry: Dry,
) -> Result<Changed, Problem> {
    let domains: Vec<Arc<str>> = wanted.iter().map(|one| Arc::clone(&one.domain)).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = domains.iter().find(|name| !seen.insert(&**name)) {
        return Err(Problem::malformed(format!("{twice} is named twice; name each domain once")));
    }
    let mut told = Told::default();
    let edit = |name: &str, now: Option<&str>| told.edit(&wanted, name, now);
    let applied = if dry.dry_run {
        edge.changes.preview(edge, &domains, edit).await.map(|_| None)
    } else {
        let author = caller.author();
        let order =
            Order { author: &author, action, domains: &domains, expected: None, records: None };
        edge.changes.apply(edge, order, edit).await.map(Some)
    };
    if let Some(problem) = told.problem {
        return Err(problem);
    }
    let applied = applied?;
    Ok(Changed {
        dry_run: dry.dry_run,
        change: applied.as_ref().and_then(|applied| applied.change),
        generation: applied.as_ref().map(|applied| applied.generation),
        domains: told.texts.into_iter().map(changed_domain).collect(),
    })
}

/// What the edits of one change set came to.
#[derive(Default)]
struct Told {
    /// Name, text before and after.
    texts: Vec<(String, Option<String>, Option<String>)>,
    /// Why one of them is not possible, in the words of this API.
    problem: Option<Problem>,
}

impl Told {
    fn edit(
        &mut self,
        wanted: &[Wanted],
        name: &str,
        now: Option<&str>,
    ) -> Result<Option<String>, ChangeError> {
        let at = wanted.iter().position(|one| &*one.domain == name);
        let after = match at {
            Some(at) => wanted[at].text(now),
            None => Err(Problem::conflict(format!("{name} was not asked for"))),
        };
        match after {
            Ok(after) => {
                self.texts.retain(|(known, ..)| known != name);
                self.texts.push((name.to_owned(), now.map(str::to_owned), after.clone()));
                Ok(after)
            }
            Err(problem) => {
                let why = problem.detail.clone();
                let several = wanted.len() > 1;
                let place = at.filter(|_| several).map(|at| format!("/changes/{at}"));
                self.problem = Some(match place {
                    Some(place) => Problem {
                        detail: format!("{name}: {}", problem.detail),
                        ..problem.below(&place)
                    },
                    None => problem,
                });
                Err(ChangeError::Refused(why))
            }
        }
    }
}

impl Wanted {
    /// The domain's text after it; `None` is no file.
    fn text(&self, now: Option<&str>) -> Result<Option<String>, Problem> {
        let name = &*self.domain;
        self.condition.holds(name, now.map(revision).as_deref())?;
        let known = || now.ok_or_else(|| Problem::unknown(format!("there is no domain {name:?}")));
        match &self.edit {
            Edit::Create(_) if now.is_some() => Err(Problem::conflict(format!(
                "there is a domain {name:?} already; change it with PUT or PATCH"
            ))),
            Edit::Create(document) => {
                let document = named(document, name)?;
                let new = edit::new_domain(name);
                Ok(Some(edit::replaced(&new, &lean(document, &new))?))
            }
            Edit::Replace(document) => {
                let document = named(document, name)?;
                let new = edit::new_domain(name);
                let text = match (now, &self.condition) {
                    (None, Condition::Absent) => &new,
                    _ => known()?,
                };
                Ok(Some(edit::replaced(text, &lean(document, text))?))
            }
            Edit::Patch(patch) => {
                let now = known()?;
                let patch = lean_lists(named(patch, name)?, now);
                Ok(Some(edit::patched(now, &patch)?))
            }
            Edit::Text(text) => known().map(|_| Some(text.clone())),
            Edit::Remove => known().map(|_| None),
        }
    }
}

/// A document for `name`: it says that name or none, and has no revision.
fn named(document: &Value, name: &str) -> Result<Value, Problem> {
    let Value::Object(fields) = document else {
        let seen = document.to_string().chars().take(40).collect::<String>();
        return Err(Problem::at(
            Kind::Invalid,
            "",
            format!("{seen} is not a document of a domain"),
            "an object in the shape of a domain file",
        ));
    };
    let mut fields: Map<String, Value> = fields.clone();
    for shown in [REVISION, TEXT, CREATED] {
        fields.remove(shown);
    }
    match fields.get(NAME.name) {
        Some(Value::String(other)) if other == name => {}
        Some(other) => {
            return Err(Problem::at(
                Kind::Invalid,
                "/name",
                format!("{other} is not the name of this domain; a name cannot be changed"),
                &format!("{name:?}, or no name"),
            ));
        }
        None => {
            fields.insert(NAME.name.to_owned(), name.into());
        }
    }
    Ok(Value::Object(fields))
}

/// `document` without the defaults that `text` does not name either: whoever sends back what it was
/// shown must not fill the file with all that goes without saying.
fn lean(mut document: Value, text: &str) -> Value {
    let written: Value = toml::from_str(text).unwrap_or_default();
    let Value::Object(fields) = &mut document else { return document };
    for section in DOMAIN_FILE {
        if section.name.is_empty() {
            drop_defaults(fields, &written, section);
            continue;
        }
        let Some(there) = fields.get_mut(section.name) else { continue };
        let known = &written[section.name];
        match there {
            Value::Object(table) => drop_defaults(table, known, section),
            Value::Array(tables) => lean_tables(tables, known, section),
            _ => {}
        }
        let is_empty = there.as_object().is_some_and(Map::is_empty);
        if is_empty && known.is_null() {
            fields.remove(section.name);
        }
    }
    document
}

/// As [`lean`], of the lists of a patch: each stands for the whole list.
fn lean_lists(mut patch: Value, text: &str) -> Value {
    let written: Value = toml::from_str(text).unwrap_or_default();
    for section in DOMAIN_FILE.iter().filter(|section| section.repeated) {
        if let Some(Value::Array(tables)) = patch.get_mut(section.name) {
            lean_tables(tables, &written[section.name], section);
        }
    }
    patch
}

fn lean_tables(tables: &mut [Value], written: &Value, section: &Section) {
    for (at, table) in tables.iter_mut().enumerate() {
        if let Value::Object(table) = table {
            drop_defaults(table, &written[at], section);
        }
    }
}

fn drop_defaults(fields: &mut Map<String, Value>, written: &Value, section: &Section) {
    for key in section.keys {
        let said = fields.get(key.name());
        if said.is_some() && written.get(key.name()).is_none() && said == default(*key).as_ref() {
            fields.remove(key.name());
        }
    }
}

/// The default of a key, as a document has it.
pub fn default(key: &dyn AnyKey) -> Option<Value> {
    let table: Value = toml::from_str(&format!("value = {}", key.default_text()?)).ok()?;
    table.get("value").cloned()
}

fn changed_domain(
    (name, before, after): (String, Option<String>, Option<String>),
) -> ChangedDomain {
    ChangedDomain {
        name,
        action: match (&before, &after) {
            (None, Some(_)) => Action::Created,
            (Some(_), None) => Action::Removed,
            (before, after) if before == after => Action::Unchanged,
            _ => Action::Changed,
        },
        before_revision: before.as_deref().map(revision),
        revision: after.as_deref().map(revision),
        diff: diff(before.as_deref().unwrap_or_default(), after.as_deref().unwrap_or_default()),
    }
}

/// The differences of two texts, within bounds of time and size.
pub fn diff(before: &str, after: &str) -> String {
    const TIME: Duration = API_DIFF_TIME_MAX;
    let diff = TextDiff::configure().timeout(TIME).diff_lines(before, after);
    let mut text = diff.unified_diff().context_radius(3).missing_newline_hint(false).to_string();
    if text.len() > API_DIFF_BYTES_MAX {
        let end = (0..=API_DIFF_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str("\n... cut\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# kept
name = \"a.test\"
[websocket]
heartbeat = 60 # s
[[origin]]
address = \"10.0.0.1\"
";

    fn wanted(edit: Edit, condition: Condition) -> Wanted {
        Wanted { domain: "a.test".into(), edit, condition }
    }

    fn origin() -> Value {
        json!({ "origin": [{ "address": "10.0.0.2" }] })
    }

    #[test]
    fn what_each_edit_makes_of_a_text() {
        let patch = wanted(
            Edit::Patch(json!({ "websocket": { "heartbeat": 30 } })),
            Condition::OneOf(vec![revision(FILE)]),
        );
        let after = patch.text(Some(FILE)).unwrap().unwrap();
        assert_eq!(after, FILE.replace("60", "30"));
        let created = wanted(Edit::Create(origin()), Condition::None).text(None).unwrap().unwrap();
        assert!(created.contains("name = \"a.test\"") && created.contains("10.0.0.2"), "{created}");
        let replaced = wanted(Edit::Replace(origin()), Condition::Present).text(Some(FILE));
        let replaced = replaced.unwrap().unwrap();
        assert!(replaced.starts_with("# kept") && !replaced.contains("heartbeat"), "{replaced}");
        let absent = wanted(Edit::Replace(origin()), Condition::Absent).text(None).unwrap();
        assert_eq!(absent.unwrap(), created);
        assert_eq!(wanted(Edit::Remove, Condition::Present).text(Some(FILE)), Ok(None));
    }

    #[test]
    fn what_is_refused() {
        let other = Condition::OneOf(vec!["other".into()]);
        let renamed = Edit::Patch(json!({ "name": "b.test" }));
        for (edit, condition, now, status) in [
            (Edit::Create(origin()), Condition::None, Some(FILE), 409),
            (Edit::Replace(origin()), Condition::Present, None, 404),
            (Edit::Replace(origin()), Condition::Absent, Some(FILE), 412),
            (Edit::Patch(json!({})), other.clone(), Some(FILE), 412),
            (Edit::Patch(json!({})), other, None, 404),
            (Edit::Remove, Condition::Present, None, 404),
            (renamed, Condition::Present, Some(FILE), 422),
            (Edit::Create(json!([1])), Condition::None, None, 422),
        ] {
            let problem = wanted(edit.clone(), condition).text(now).unwrap_err();
            assert_eq!(problem.status, status, "{edit:?}: {problem:?}");
        }
    }

    #[test]
    fn what_was_shown_can_be_sent_back() {
        let store = crate::control::config::store::Store::of(std::path::Path::new("/nowhere"));
        let text = FILE.replace("heartbeat = 60", "heartbeat = 60\nmax_frame = false");
        let shown = crate::control::config::store::json(&store.checked("a.test", &text).unwrap());
        let replace = |document| wanted(Edit::Replace(document), Condition::Present);
        let after = replace(shown.clone()).text(Some(&text)).unwrap().unwrap();
        assert_eq!(after, text);
        let mut other = shown;
        other["http"]["host"] = "origin.test".into();
        let after = replace(other).text(Some(&text)).unwrap().unwrap();
        assert_eq!(after, format!("{text}\n[http]\nhost = \"origin.test\"\n"));
    }

    #[test]
    fn a_long_difference_is_cut() {
        let long: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
        let text = diff("", &long);
        assert!(text.len() <= API_DIFF_BYTES_MAX + 16 && text.ends_with("cut\n"));
        assert_eq!(diff(FILE, FILE), "");
    }
}
