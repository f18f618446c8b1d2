//! What stands before every operation: who calls, whether the call is theirs and new, and whether
//! they may (DCDN OpenAPI 2018-01-15, signing).
//!
//! The order gives callers the message that helps: what is missing, the key, the version and the
//! action, the time, the signature, the rate, the nonce, the role.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri, header};
use zeroize::Zeroizing;

use super::error::{self, Failure, Known};
use super::operations::{self, Operation};
use super::request::Parameters;
use super::signature::{
    Authorization, Sent, v1_matches, v1_string_to_sign, v3_matches, v3_string_to_sign,
};
use super::{Dcdn, replay};
use crate::control::keys::{Key, Role};
use crate::control::sign_ins::{Api, Denied};
use crate::limits::DCDN_ECHO_BYTES_MAX;

const VERSION: &str = "2018-01-15";
const FORM: &str = "application/x-www-form-urlencoded";

/// A call as it came.
pub struct Received<'a> {
    method: &'a str,
    path: &'a str,
    /// Names are in lower case.
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
    /// Of query and form body.
    pub parameters: Parameters,
    /// How many of them stand in the query.
    in_query: usize,
}

/// Who calls what.
pub struct Caller {
    pub key: Key,
    pub operation: &'static Operation,
}

impl<'a> Received<'a> {
    /// # Errors
    /// `UnsupportedHTTPMethod`, or parameters that are not clear.
    pub fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        body: &'a Bytes,
    ) -> Result<Received<'a>, Failure> {
        if !matches!(*method, Method::GET | Method::POST) {
            return Err(error::METHOD.into());
        }
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
            .collect();
        let is_form = headers.iter().any(|(name, value)| {
            *name == header::CONTENT_TYPE.as_str()
                && value.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
        });
        let query = uri.query().unwrap_or_default();
        let form: &[u8] = if is_form { body } else { b"" };
        let parameters = Parameters::read(query, form)?;
        let in_query = form_urlencoded::parse(query.as_bytes()).count();
        let (method, path) = (method.as_str(), uri.path());
        Ok(Received { method, path, headers, body, parameters, in_query })
    }

    /// A header that has to be there, by the name that its absence is reported under.
    fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    fn sent(&self) -> Sent<'_> {
        Sent {
            method: self.method,
            path: self.path,
            query: &self.parameters.pairs()[..self.in_query],
            headers: &self.headers,
            body: self.body,
        }
    }
}

/// What both schemes say, each in its way.
struct Claim<'a> {
    key: &'a str,
    action: &'a str,
    version: &'a str,
    time: &'a str,
    nonce: &'a str,
    proof: Proof<'a>,
}

enum Proof<'a> {
    V1 { method: &'a str, version: &'a str, signature: &'a str },
    V3(Authorization<'a>),
}

impl<'a> Claim<'a> {
    fn of(received: &'a Received<'_>) -> Result<Claim<'a>, Failure> {
        let authorization = received.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
        if let Some(authorization) = Authorization::read(authorization)? {
            let header = |header: &str, parameter: &str| {
                received.header(header).ok_or_else(|| Failure::missing(parameter))
            };
            header("x-acs-content-sha256", "ContentSha256")?;
            return Ok(Claim {
                key: authorization.credential,
                action: header("x-acs-action", "Action")?,
                version: header("x-acs-version", "Version")?,
                time: header("x-acs-date", "Timestamp")?,
                nonce: header("x-acs-signature-nonce", "SignatureNonce")?,
                proof: Proof::V3(authorization),
            });
        }
        let parameters = &received.parameters;
        let either = |parameter: &str, header: &str| {
            let given = parameters.text(parameter).or_else(|| received.header(header));
            given.ok_or_else(|| Failure::missing(parameter))
        };
        Ok(Claim {
            action: either("Action", "x-acs-action")?,
            version: either("Version", "x-acs-version")?,
            key: parameters.required("AccessKeyId")?,
            proof: Proof::V1 {
                method: parameters.required("SignatureMethod")?,
                version: parameters.required("SignatureVersion")?,
                signature: parameters.required("Signature")?,
            },
            nonce: parameters.required("SignatureNonce")?,
            time: parameters.required("Timestamp")?,
        })
    }
}

/// Why a call is not let in.
struct Refused {
    failure: Failure,
    /// `Some`: nobody is known to have sent it.
    denied: Option<Denied>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused { failure, denied: None }
    }
}

impl From<Known> for Refused {
    fn from(known: Known) -> Refused {
        Failure::from(known).into()
    }
}

/// For those that leave open who sent the call.
fn denied<T: Into<Failure>>(denied: Denied) -> impl FnOnce(T) -> Refused {
    |failure| Refused { failure: failure.into(), denied: Some(denied) }
}

/// # Errors
/// Why the call is not let in.
pub async fn admit(
    dcdn: &Dcdn,
    received: &Received<'_>,
    address: Option<IpAddr>,
    now: i64,
) -> Result<Caller, Failure> {
    admitted(dcdn, received, now).await.map_err(|Refused { failure, denied }| {
        if let Some(denied) = denied {
            dcdn.edge.sign_ins.failed(Api::Dcdn, &denied, address);
        }
        failure
    })
}

async fn admitted(dcdn: &Dcdn, received: &Received<'_>, now: i64) -> Result<Caller, Refused> {
    let claim = Claim::of(received).map_err(denied(Denied::Missing))?;
    let found = signing(dcdn, claim.key).await?;
    let (key, secret) = found.map_err(|why| denied(why)(error::KEY_NOT_FOUND))?;
    let id = || key.id.clone();
    if claim.version != VERSION {
        return Err(error::VERSION.into());
    }
    let operation = operations::find(claim.action).ok_or(error::ACTION)?;
    replay::check_time(claim.time, now).map_err(denied(Denied::Stale(Some(id()))))?;
    verify(received, &claim, &secret, operation).map_err(denied(Denied::WrongSecret(id())))?;
    // What is turned away here did nothing, so its nonce needs no place in memory.
    let rates = dcdn.edge.publisher.access().admin.rates;
    dcdn.throttle.pass(rates, operation, &key.id)?;
    let replayed = |failure: Failure| {
        let again = failure.code == error::NONCE_USED.code;
        Refused { failure, denied: again.then(|| Denied::Replayed(id())) }
    };
    dcdn.nonces.take(&key.id, claim.nonce, now).map_err(replayed)?;
    if key.role < operation.role {
        return Err(error::FORBIDDEN.into());
    }
    if operation.role > Role::Read {
        let database = &dcdn.edge.database;
        replay::take_for_good(database, &key.id, claim.nonce, now).await.map_err(replayed)?;
    }
    Ok(Caller { key, operation })
}

async fn signing(
    dcdn: &Dcdn,
    id: &str,
) -> Result<Result<(Key, Zeroizing<String>), Denied>, Failure> {
    let (edge, id) = (Arc::clone(&dcdn.edge), id.to_owned());
    let found = dcdn.edge.database.off_the_runtime(move |_| edge.keys.signing(&id)).await;
    found.map_err(|error| Failure::internal(&error))
}

fn verify(
    received: &Received<'_>,
    claim: &Claim<'_>,
    secret: &str,
    operation: &Operation,
) -> Result<(), Failure> {
    let (string_to_sign, matches) = match &claim.proof {
        Proof::V1 { method, version, signature } => {
            if *method != "HMAC-SHA1" || *version != "1.0" {
                return Err(error::INCOMPLETE_SIGNATURE.into());
            }
            let text = v1_string_to_sign(received.method, received.parameters.pairs());
            let matches = v1_matches(secret, &text, signature);
            (text, matches)
        }
        Proof::V3(authorization) => {
            let text = v3_string_to_sign(&received.sent(), authorization.signed_headers)?;
            let matches = v3_matches(secret, &text, authorization.signature);
            (text, matches)
        }
    };
    if matches {
        return Ok(());
    }
    let failure = Failure::from(error::SIGNATURE);
    if operation.carries_secrets || string_to_sign.len() > DCDN_ECHO_BYTES_MAX {
        return Err(failure);
    }
    let message = format!("{}{string_to_sign}", error::SIGNATURE_PREFIX);
    Err(failure.with_message(message))
}
