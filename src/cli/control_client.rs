//! Talks to the running edge through its control socket, `STATE_DIR/control.sock`: one HTTP/1.1
//! request with a JSON answer, from ordinary blocking code. The socket's file mode is the guard.
//! Not here: asking several processes and joining what they say (`processes`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::control::state_dir;
use crate::limits;

/// Name of the socket in the state directory.
pub const SOCKET: &str = "control.sock";

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub body: Bytes,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|e| ClientError::Answer(format!("{e}: {}", self.text())))
    }

    /// The body for people: the `detail` or `error` of a JSON problem, else the text as it is.
    pub fn text(&self) -> String {
        let whole = || String::from_utf8_lossy(&self.body).trim().to_owned();
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&self.body) else {
            return whole();
        };
        let part = value.get("detail").or_else(|| value.get("error"));
        part.and_then(|v| v.as_str()).map_or_else(whole, str::to_owned)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no edge is running with state directory {}: nothing answers at {SOCKET} there \
         (is it another one? see --state-dir)", .0.display()
    )]
    NotRunning(PathBuf),
    #[error(
        "not allowed to talk to the edge: {} belongs to another user; run this as that user or as \
         root", .0.display()
    )]
    NotAllowed(PathBuf),
    #[error("the edge did not answer within {0:?}")]
    Slow(Duration),
    #[error("the edge answered something that this program does not understand: {0}")]
    Answer(String),
    #[error("cannot talk to the edge at {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Which process of a state directory is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The one that accepts connections.
    Serving,
    /// One that handed over to it and still has tunnels.
    Retiring(u32),
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Process::Serving => f.write_str("the process that serves"),
            Process::Retiring(pid) => write!(f, "process {pid}"),
        }
    }
}

impl Process {
    /// All that may answer, the serving one first.
    pub fn all(state_dir: &Path) -> Vec<Process> {
        let retiring = state_dir::retiring(state_dir).into_iter().map(Process::Retiring);
        std::iter::once(Process::Serving).chain(retiring).collect()
    }

    fn socket(self, state_dir: &Path) -> PathBuf {
        match self {
            Process::Serving => state_dir.join(SOCKET),
            Process::Retiring(pid) => state_dir::retiring_socket(state_dir, pid),
        }
    }
}

/// Sends one request and waits at most [`limits::CONTROL_REQUEST_TIMEOUT`] for its whole answer.
pub fn request(
    state_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Response, ClientError> {
    request_of(Process::Serving, state_dir, method, path, body)
}

/// As [`request`], of one process among several.
pub fn request_of(
    process: Process,
    state_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Response, ClientError> {
    request_within(limits::CONTROL_REQUEST_TIMEOUT, process, state_dir, method, path, body)
}

fn request_within(
    deadline: Duration,
    process: Process,
    state_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Response, ClientError> {
    let socket = process.socket(state_dir);
    let wrong = |error| ClientError::Io { path: socket.clone(), error };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    runtime.block_on(async {
        tokio::time::timeout(deadline, exchange(&socket, state_dir, method, path, body))
            .await
            .unwrap_or(Err(ClientError::Slow(deadline)))
    })
}

async fn exchange(
    socket: &Path,
    state_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Response, ClientError> {
    let stream =
        tokio::net::UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(state_dir.to_owned())
            }
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(socket.to_owned()),
            _ => ClientError::Io { path: socket.to_owned(), error },
        })?;
    let broken = |error: hyper::Error| ClientError::Io {
        path: socket.to_owned(),
        error: io::Error::other(error),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let body = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "hawser")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|e| ClientError::Answer(e.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), limits::CONTROL_ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| ClientError::Io { path: socket.to_owned(), error: io::Error::other(e) })?
        .to_bytes();
    connection.abort();
    Ok(Response { status, body })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_missing_or_dead_socket_says_that_no_edge_is_running() {
        let dir = tempfile::tempdir().unwrap();
        let error = request(dir.path(), Method::GET, "/v1/status", None).unwrap_err();
        assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
        drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
        let error = request(dir.path(), Method::GET, "/v1/status", None).unwrap_err();
        assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
        assert!(error.to_string().contains("--state-dir"));
    }

    #[test]
    fn an_answer_comes_back_with_status_and_text() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut part = [0; 512];
            while !seen.ends_with(b"{\"a\":1}") {
                let n = stream.read(&mut part).unwrap();
                assert_ne!(n, 0, "{}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&part[..n]);
            }
            let body = r#"{"detail":"no such domain"}"#;
            write!(
                stream,
                "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            String::from_utf8(seen).unwrap()
        });
        let body = serde_json::json!({ "a": 1 });
        let response = request(dir.path(), Method::POST, "/v1/kill", Some(&body)).unwrap();
        assert_eq!((response.status, response.text().as_str()), (404, "no such domain"));
        assert!(!response.is_success());
        assert!(server.join().unwrap().starts_with("POST /v1/kill HTTP/1.1\r\n"));
    }

    #[test]
    fn an_edge_that_never_answers_is_named_slow() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let wait = Duration::from_millis(30);
        let error =
            request_within(wait, Process::Serving, dir.path(), Method::GET, "/v1/status", None)
                .unwrap_err();
        assert_eq!(error.to_string(), "the edge did not answer within 30ms");
    }
}
