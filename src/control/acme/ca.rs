//! The HTTPS client that speaks to the CA, bounded in time and size, and what the CA says about a
//! failure in words. Not here: the protocol itself, which is the crate `instant-acme`.

use std::error::Error as _;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use crate::limits::{ACME_ANSWER_BYTES_MAX, ACME_REQUEST_TIMEOUT, ACME_WORDS_BYTES_MAX};

/// RFC 8555 6.1 wants the client named, and its library.
const AGENT: &str = concat!("hawser/", env!("CARGO_PKG_VERSION"), " instant-acme");
/// To the one host that orders go to.
const IDLE_CONNECTIONS: usize = 1;

type AcmeRequest = Request<BodyWrapper<Bytes>>;
type Answer = Result<BytesResponse, Error>;

/// Clones share their connections.
#[derive(Clone)]
pub struct CaClient {
    http: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    patience: Patience,
}

/// How long the CA last asked us to wait (RFC 8555 6.6).
#[derive(Debug, Clone, Default)]
pub struct Patience(Arc<Mutex<Option<Duration>>>);

impl Patience {
    pub fn take(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, status: StatusCode, value: Option<&HeaderValue>) {
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds = value.and_then(|v| v.to_str().ok()?.trim().parse().ok());
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                seconds.map(Duration::from_secs);
        }
    }
}

impl CaClient {
    /// `root`: a PEM file, instead of the public roots.
    ///
    /// # Errors
    /// The file holds no roots.
    pub fn new(root: Option<&Path>) -> Result<CaClient, String> {
        let config =
            ClientConfig::builder().with_root_certificates(roots(root)?).with_no_client_auth();
        // RFC 8555 6.1: only https.
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector.enable_http1().build());
        Ok(CaClient { http, patience: Patience::default() })
    }

    pub fn patience(&self) -> Patience {
        self.patience.clone()
    }

    async fn ask(self, mut request: AcmeRequest) -> Answer {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let url = request.uri().to_string();
        let asked = async {
            let response = self.http.request(request).await.map_err(|e| other(&url, &e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ACME_ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|e| other(&url, &*e))?.to_bytes();
            self.patience.note(parts.status, parts.headers.get(RETRY_AFTER));
            Ok(BytesResponse { parts, body: Box::new(body) })
        };
        match timeout(ACME_REQUEST_TIMEOUT, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Error::Other(format!("{url}: no answer in {ACME_REQUEST_TIMEOUT:?}").into()))
            }
        }
    }
}

impl HttpClient for CaClient {
    fn request(&self, request: AcmeRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}

fn roots(root: Option<&Path>) -> Result<RootCertStore, String> {
    let Some(path) = root else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let wrong = |why: String| format!("acme.root {}: {why}", path.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))? {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        store.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("no certificate in it; accepted is a PEM file with roots".to_owned()));
    }
    Ok(store)
}

/// An error with its causes: the client's own says little more than "connect".
fn other(url: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut words = format!("{url}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.ends_with(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    Error::Other(words.into())
}

/// The CA's problem document (RFC 8555 6.7) or whatever else went wrong, in words for a log.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(problem) => problem_words(problem),
        Error::Timeout(_) => "the CA did not come to a decision in time".to_owned(),
        Error::Json(error) => format!("the CA's answer is not what RFC 8555 says: {error}"),
        error => error.source().map_or_else(|| error.to_string(), |e| format!("{error}: {e}")),
    }
}

pub fn problem_words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    let mut words = problem.detail.as_deref().unwrap_or("no detail").to_owned();
    words.push_str(&match problem.status {
        Some(status) => format!(" ({kind}, {status})"),
        None => format!(" ({kind})"),
    });
    for sub in &problem.subproblems {
        words.push_str(&format!("; {sub}"));
    }
    words
}

/// Text of somebody else as it may stand in a log: one line, bounded.
pub fn tame(text: &str) -> String {
    let mut end = text.len().min(ACME_WORDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_is_told_in_words() {
        let json = r#"{"type": "urn:ietf:params:acme:error:malformed", "status": 400,
            "detail": "two names are wrong", "subproblems": [
                {"type": "urn:ietf:params:acme:error:dns", "detail": "no such name",
                 "identifier": {"type": "dns", "value": "a.test"}}]}"#;
        let problem: Problem = serde_json::from_str(json).unwrap();
        let said = words(&Error::Api(problem));
        assert!(said.starts_with("two names are wrong (malformed, 400); "), "{said}");
        assert!(said.contains("a.test") && said.contains("no such name"), "{said}");
        let empty: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!(words(&Error::Api(empty)), "no detail (no type)");
    }

    #[test]
    fn words_of_others_are_one_line_and_bounded() {
        assert_eq!(tame("a\r\nb\u{1b}[31mc"), "a  b [31mc");
        let long = "ä".repeat(ACME_WORDS_BYTES_MAX);
        assert_eq!(tame(&long).len(), ACME_WORDS_BYTES_MAX / 2 * 2);
    }

    /// RFC 8555 6.6: Retry-After counts where it comes with a refusal.
    #[test]
    fn the_wish_to_wait_is_kept_until_it_is_taken() {
        let patience = Patience::default();
        let value = HeaderValue::from_static("36");
        patience.note(StatusCode::OK, Some(&value));
        assert_eq!(patience.take(), None);
        patience.note(StatusCode::TOO_MANY_REQUESTS, Some(&value));
        assert_eq!(patience.take(), Some(Duration::from_secs(36)));
        assert_eq!(patience.take(), None);
    }

    #[test]
    fn a_file_without_roots_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.pem");
        let refused = |path: &Path| CaClient::new(Some(path)).err().unwrap();
        assert!(refused(&path).contains("root.pem"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(refused(&path).contains("no certificate in it"), "{}", refused(&path));
    }

    #[tokio::test]
    async fn a_ca_that_is_not_there_is_named_with_the_cause() {
        let client = CaClient::new(None).unwrap();
        let ask = |url: &str| {
            let request = Request::builder().uri(url).body(BodyWrapper::default()).unwrap();
            client.request(request)
        };
        let error = ask("https://127.0.0.1:1/dir").await.err().unwrap();
        let said = words(&error);
        assert!(said.starts_with("https://127.0.0.1:1/dir: "), "{said}");
        assert!(said.to_lowercase().contains("refused"), "{said}");
        // RFC 8555 6.1.
        let plain = words(&ask("http://127.0.0.1:1/dir").await.err().unwrap());
        assert!(plain.contains("http"), "{plain}");
    }
}
