//! `/domains/{name}/certificate`: the pair that was uploaded for a domain. A private key comes in
//! and never goes out.
//!
//! Not here: how pairs are checked and kept (`certs`, `changes::certificates`).

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::auth::Caller;
use super::extract::{Condition, Name, SecretBody};
use super::node::Certificate;
use super::problem::Problem;
use super::writes::entity_tag;
use super::{Shared, store, time};
use crate::control::changes::certificates::{self, Expected};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_certificate, set_certificate, remove_certificate))
}

/// The certificates that a domain shows its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DomainCertificates {
    pub items: Vec<Certificate>,
    /// Fingerprint of the uploaded one, also while another source is in use; null without one.
    pub kept: Option<String>,
}

/// Show the certificates of a domain
#[utoipa::path(get, path = "/domains/{name}/certificate", tag = "certificates",
    params(("name" = String, Path, description = "Name of the domain")),
    responses((status = 200, description = "Those in use, without their keys",
        body = DomainCertificates,
        headers(("ETag" = String, description = "Of the uploaded one, where there is one")))))]
async fn show_certificate(
    State(edge): State<Shared>,
    Name(name): Name,
) -> Result<Response, Problem> {
    known(&edge, &name).await?;
    let now = Timestamp::now();
    let served = edge.publisher.served();
    let own = || served.iter().filter(|served| served.domain == name);
    let items = own().map(|served| Certificate::of(served, now)).collect();
    let (reader, domain) = (Arc::clone(&edge), Arc::clone(&name));
    let kept = move |_: &_| certificates::kept_now(&reader, &domain);
    let kept = edge.database.off_the_runtime(kept).await;
    let tag = kept.as_deref().and_then(entity_tag).map(|tag| [(header::ETAG, tag)]);
    Ok((tag, Json(DomainCertificates { items, kept })).into_response())
}

async fn known(edge: &Shared, name: &str) -> Result<(), Problem> {
    let (store, name) = (store(edge), name.to_owned());
    edge.database.off_the_runtime(move |_| store.known(&name)).await?;
    Ok(())
}

/// A pair in PEM.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "certificate": "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n",
    "key": "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"
}))]
pub struct PairWanted {
    /// The chain, its leaf first.
    certificate: String,
    /// Of the leaf; RSA, ECDSA or Ed25519.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password)]
    key: Zeroizing<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

impl fmt::Debug for PairWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairWanted").finish_non_exhaustive()
    }
}

/// A pair that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PairKept {
    /// The snapshot that has it.
    pub generation: u64,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    pub names: Vec<String>,
    pub issuer: String,
    /// RFC 3339, UTC.
    pub not_before: String,
    pub not_after: String,
}

/// Upload the certificate of a domain
///
/// Tunnels that are open keep the one they came with. `If-Match: *` is for whatever there is, also
/// for none.
#[utoipa::path(put, path = "/domains/{name}/certificate", tag = "certificates",
    params(("name" = String, Path, description = "Name of the domain")),
    request_body = PairWanted,
    responses((status = 200, description = "Live for new handshakes", body = PairKept)))]
async fn set_certificate(
    State(edge): State<Shared>,
    caller: Caller,
    Name(name): Name,
    condition: Condition,
    SecretBody(PairWanted { certificate, key }): SecretBody<PairWanted>,
) -> Result<Response, Problem> {
    let expected = expected(condition)?;
    known(&edge, &name).await?;
    let (chain, key) = (certificate.as_bytes(), key.as_bytes());
    let kept = certificates::set(&edge, &caller.author(), &name, expected, chain, key).await?;
    let tag = entity_tag(&kept.fingerprint).map(|tag| [(header::ETAG, tag)]);
    let kept = PairKept {
        generation: kept.generation,
        fingerprint: kept.fingerprint,
        names: kept.facts.names,
        issuer: kept.facts.issuer,
        not_before: time(kept.facts.not_before),
        not_after: time(kept.facts.not_after),
    };
    Ok((tag, Json(kept)).into_response())
}

fn expected(condition: Condition) -> Result<Expected, Problem> {
    Ok(match condition.required()? {
        Condition::None | Condition::Present => Expected::Anything,
        Condition::Absent => Expected::Nothing,
        Condition::OneOf(tags) => Expected::OneOf(tags),
    })
}

/// A pair that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PairGone {
    /// The snapshot without it.
    pub generation: u64,
}

/// Take the uploaded certificate of a domain away
#[utoipa::path(delete, path = "/domains/{name}/certificate", tag = "certificates",
    params(("name" = String, Path, description = "Name of the domain")),
    responses((status = 200, description = "Gone", body = PairGone)))]
async fn remove_certificate(
    State(edge): State<Shared>,
    caller: Caller,
    Name(name): Name,
    condition: Condition,
) -> Result<Json<PairGone>, Problem> {
    let expected = expected(condition)?;
    match certificates::remove(&edge, &caller.author(), &name, expected).await? {
        Some(generation) => Ok(Json(PairGone { generation })),
        None => Err(Problem::unknown(format!("no certificate was uploaded for {name}"))),
    }
}
