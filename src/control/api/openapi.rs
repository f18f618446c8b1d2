//! The description of the API: what its routes say, with what holds for all of them. Not here: the
//! routes.

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

use super::auth;
use super::problem::{Kind, Problem, Wrong};

const ABOUT: &str = "Control plane of a Hawser edge. Times are RFC 3339 in UTC; units stand in \
    names. Errors are problem documents (RFC 9457). A write to a domain that there is names the \
    revision that it is for (If-Match); `dry_run=true` tells what a write would do. What a key may \
    do depends on its role: read, operate, admin.";

const TAGS: &[(&str, &str)] = &[
    ("domains", "Domains: written whole or not at all, live within a second."),
    ("certificates", "Certificates of domains. Private keys never come back."),
    ("connections", "Tunnels that are open now."),
    ("statistics", "What was counted, by time, domain, region and provider, and what goes on now."),
    ("plans", "The billing plan, and what is owed under it."),
    ("origins", "Where connections go, and whether it is up."),
    ("audit", "Who did what, and back."),
    ("keys", "Access keys: id and secret sign DCDN calls, and are the bearer key of this API."),
    ("node", "The node as a whole."),
];

/// Operations that need a condition, and those that take one.
const CONDITION_NEEDED: &[&str] = &[
    "replace_domain",
    "replace_file",
    "patch_domain",
    "remove_domain",
    "set_websocket",
    "set_certificate",
    "remove_certificate",
];
const CONDITION_TAKEN: &[&str] = &["start_domain", "stop_domain", "roll_back"];
/// Operations for which there may be nothing yet.
const MAY_BE_NEW: &[&str] = &["replace_domain", "set_certificate", "roll_back"];

/// The whole description, of what the routes say.
pub fn document(routes: &OpenApi) -> Value {
    let routes = serde_json::to_value(routes).expect("a description is JSON");
    let mut schemas = routes["components"]["schemas"].as_object().cloned().unwrap_or_default();
    schemas.insert(Problem::name().into_owned(), schema::<Problem>());
    schemas.insert(Wrong::name().into_owned(), schema::<Wrong>());
    let mut paths = Map::new();
    for (path, item) in routes["paths"].as_object().cloned().unwrap_or_default() {
        let mut item = item;
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let (Some(operation), Ok(method)) =
                (operation.as_object_mut(), method.to_uppercase().parse())
            {
                complete(&path, &method, operation);
            }
        }
        paths.insert(format!("{}{path}", super::ROOT), item);
    }
    let tags: Vec<Value> =
        TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    json!({
        "openapi": routes["openapi"],
        "info": {
            "title": "Hawser",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "security": [{ "bearer": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "ID.SECRET",
                "description": "An access key: `hawser key create`, or POST /api/v1/keys.",
            } },
        },
    })
}

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema is JSON")
}

/// Adds what is true of every operation of its kind: the role it needs, conditions, problems.
fn complete(path: &str, method: &Method, operation: &mut Map<String, Value>) {
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let role = auth::needed(method, path).name();
    let about = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let about = format!("{about}\n\nNeeds the role {role}.").trim().to_owned();
    operation.insert("description".into(), about.into());
    let needed = CONDITION_NEEDED.contains(&&*id);
    let takes_condition = needed || CONDITION_TAKEN.contains(&&*id);
    if takes_condition {
        let about_none = match needed {
            true => "`*`: it must be new. One of both headers is needed.",
            false => "`*`: there must be none now.",
        };
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(list) = parameters.as_array_mut() {
            list.push(json!({
                "name": "If-Match",
                "in": "header",
                "description": "Revision in quotes, as ETag has it, or `*` for whatever there is.",
                "required": needed && !MAY_BE_NEW.contains(&&*id),
                "schema": { "type": "string" },
                "example": "*",
            }));
            if MAY_BE_NEW.contains(&&*id) {
                list.push(json!({
                    "name": "If-None-Match",
                    "in": "header",
                    "description": about_none,
                    "required": false,
                    "schema": { "type": "string", "enum": ["*"] },
                }));
            }
        }
    }
    let has_body = operation.contains_key("requestBody");
    let writes = *method != Method::GET;
    let mut kinds = vec![
        Kind::Malformed,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::Misdirected,
        Kind::TooMany,
        Kind::Unavailable,
    ];
    kinds.extend((path.contains('{') || id == "change_domains").then_some(Kind::Unknown));
    if has_body {
        kinds.extend([Kind::Slow, Kind::TooLarge, Kind::MediaType]);
    }
    if writes || path.ends_with("/diff") || path.contains("/domains/") {
        kinds.push(Kind::Invalid);
    }
    if writes {
        kinds.push(Kind::Conflict);
    }
    if takes_condition || id == "change_domains" {
        kinds.push(Kind::Precondition);
    }
    kinds.extend(needed.then_some(Kind::PreconditionRequired));
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for kind in kinds {
        responses[kind.status().as_str()] = problem(kind);
    }
}

fn problem(kind: Kind) -> Value {
    let mut response = json!({
        "description": kind.title(),
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
        } },
    });
    let header = match kind {
        Kind::Unauthenticated => Some(("WWW-Authenticate", "Names the scheme: Bearer")),
        Kind::TooMany => Some(("Retry-After", "Seconds until it may be tried again")),
        _ => None,
    };
    if let Some((name, about)) = header {
        response["headers"][name] = json!({ "description": about, "schema": { "type": "string" } });
    }
    response
}
