//! `/keys`: access keys are made, listed and revoked. Not here: keys themselves (`keys`), their
//! check (`auth`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::auth::Caller;
use super::extract::{Body, PathPart};
use super::problem::Problem;
use crate::control::keys::{Key, Role};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_keys, create_key)).routes(routes!(revoke_key))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Keys {
    /// Those in force, and the last ones that were revoked.
    pub items: Vec<Key>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "deploy", "role": "operate" }))]
pub struct KeyWanted {
    /// Whose it is, for people.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    role: Role,
}

/// A key that was just made: the only moment at which its secret can be read.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "access_key_id": "HKexampleexample0000",
    "access_key_secret": "examplesecretexamplesecretexamplesecret0",
    "bearer": "HKexampleexample0000.examplesecretexamplesecretexamplesecret0",
    "name": "deploy",
    "role": "operate"
}))]
pub struct KeyMade {
    /// With the secret it signs calls of the DCDN API.
    access_key_id: String,
    access_key_secret: String,
    /// What to send to this API as `Authorization: Bearer`.
    bearer: String,
    name: String,
    role: Role,
}

/// List the access keys, without their secrets
#[utoipa::path(get, path = "/keys", tag = "keys",
    responses((status = 200, description = "All keys", body = Keys)))]
async fn list_keys(State(edge): State<Shared>) -> Result<Json<Keys>, Problem> {
    let keys = edge.keys.clone();
    let items = edge.database.off_the_runtime(move |_| keys.list()).await?;
    Ok(Json(Keys { items }))
}

/// Make an access key
///
/// The answer has its secret, which cannot be read again.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = KeyWanted,
    responses((status = 201, description = "The key", body = KeyMade)))]
async fn create_key(
    State(edge): State<Shared>,
    caller: Caller,
    Body(KeyWanted { name, role }): Body<KeyWanted>,
) -> Result<(StatusCode, Json<KeyMade>), Problem> {
    let (author, maker) = (caller.author(), Arc::clone(&edge));
    let make = move |_: &_| maker.keys.create(&author, &name, role);
    let made = edge.database.off_the_runtime(make).await?;
    let secret = made.access_key_secret.as_str().to_owned();
    let key = KeyMade {
        bearer: format!("{}.{secret}", made.access_key_id),
        access_key_id: made.access_key_id,
        access_key_secret: secret,
        name: made.name,
        role: made.role,
    };
    Ok((StatusCode::CREATED, Json(key)))
}

/// Revoke an access key, at once
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "Id of the key", example = "HKexampleexample0000")),
    responses((status = 200, description = "It is in force no more", body = Key)))]
async fn revoke_key(
    State(edge): State<Shared>,
    caller: Caller,
    PathPart(id): PathPart<String>,
) -> Result<Json<Key>, Problem> {
    let (author, revoker) = (caller.author(), Arc::clone(&edge));
    let revoke = move |_: &_| revoker.keys.revoke(&author, &id);
    Ok(Json(edge.database.off_the_runtime(revoke).await?))
}
