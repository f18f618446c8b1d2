//! The processes of one edge: the one that serves, and after a hand-over those that still have
//! tunnels. Verbs about tunnels ask all of them. Not here: the talk with one (`control_client`).

use std::path::Path;

use anyhow::bail;
use hyper::Method;

use super::control_client::{ClientError, Process, Response, request_of};
use crate::control::control_socket::{Asked, Connections, Status};
use crate::control::state_dir;

/// Those that are meant: all, or the one with this number.
pub fn chosen(state_dir: &Path, pid: Option<u32>) -> anyhow::Result<Vec<Process>> {
    let Some(pid) = pid else { return Ok(Process::all(state_dir)) };
    let mut known = state_dir::retiring(state_dir);
    if known.contains(&pid) {
        return Ok(vec![Process::Retiring(pid)]);
    }
    let status = request_of(Process::Serving, state_dir, Method::GET, "/v1/status", None)?;
    let Status { pid: serving, .. } = status.json()?;
    if pid == serving {
        return Ok(vec![Process::Serving]);
    }
    known.push(serving);
    let known: Vec<String> = known.iter().map(u32::to_string).collect();
    bail!("process {pid} has no tunnels of this edge; there is {}", known.join(", "))
}

/// What each of them says of its tunnels. One that retired and is gone by now has none.
pub fn tunnels(
    state_dir: &Path,
    processes: &[Process],
    asked: &Asked,
) -> anyhow::Result<Vec<(Process, Connections)>> {
    let mut all = Vec::new();
    for answer in ask(state_dir, processes, Method::GET, &path(asked), None)? {
        let (process, answer) = answer;
        anyhow::ensure!(answer.is_success(), "{}", answer.text());
        all.push((process, answer.json()?));
    }
    Ok(all)
}

/// One request to each. While any of them answers, one that is gone is no error.
pub fn ask(
    state_dir: &Path,
    processes: &[Process],
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Vec<(Process, Response)>, ClientError> {
    let mut answers = Vec::new();
    let mut gone = None;
    for &process in processes {
        match request_of(process, state_dir, method.clone(), path, body) {
            Ok(answer) => answers.push((process, answer)),
            Err(error @ ClientError::NotRunning(_)) => gone = gone.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    match gone {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok(answers),
    }
}

/// The route with its query; addresses and host names of the check need no escape but `[` and `]`.
fn path(asked: &Asked) -> String {
    let mut query = Vec::new();
    let mut add = |key: &str, value: Option<String>| {
        let Some(value) = value else { return };
        let mut escaped = String::new();
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    escaped.push(char::from(byte));
                }
                other => escaped += &format!("%{other:02X}"),
            }
        }
        query.push(format!("{key}={escaped}"));
    };
    let Asked { id, domain, ip, origin, limit } = asked;
    add("id", id.as_ref().map(ToString::to_string));
    add("domain", domain.as_ref().map(ToString::to_string));
    add("ip", ip.map(|ip| ip.to_string()));
    add("origin", origin.map(|origin| origin.to_string()));
    add("limit", limit.map(|limit| limit.to_string()));
    format!("/v1/conns?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn filters_are_escaped() {
        let asked = Asked {
            id: None,
            domain: Some("*.a.test".into()),
            ip: Some("::1".parse().unwrap()),
            origin: Some("[::1]:80".parse().unwrap()),
            limit: Some(5),
        };
        let expected = "/v1/conns?domain=%2A.a.test&ip=%3A%3A1&origin=%5B%3A%3A1%5D%3A80&limit=5";
        assert_eq!(path(&asked), expected);
        let one = Asked { id: Some("0000000000000001".into()), ..Asked::default() };
        assert_eq!(path(&one), "/v1/conns?id=0000000000000001");
    }

    #[test]
    fn one_that_is_gone_is_an_error_only_when_all_are() {
        let dir = tempfile::tempdir().unwrap();
        // As a killed process leaves it.
        drop(UnixListener::bind(state_dir::retiring_socket(dir.path(), 7)).unwrap());
        let all = chosen(dir.path(), None).unwrap();
        assert_eq!(all, [Process::Serving, Process::Retiring(7)]);
        assert_eq!(chosen(dir.path(), Some(7)).unwrap(), [Process::Retiring(7)]);
        let error = tunnels(dir.path(), &all, &Asked::default()).unwrap_err().to_string();
        assert!(error.contains("no edge is running"), "{error}");
    }
}
