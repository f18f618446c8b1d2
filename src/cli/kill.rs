//! `hawser kill`: close tunnels, whichever process of the edge has them.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::{bail, ensure};
use hyper::Method;

use super::control_client::Process;
use super::key::noted;
use super::{Exit, Which, processes, say};
use crate::control::control_socket::{Asked, Kill, Killed, close_problem};

/// Close tunnels of the running edge, by id, domain, client address or origin
///
/// All that is given must match. Both sides get a Close frame with the code and the reason.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Connection ids, as `hawser conns` prints them
    #[arg(value_name = "ID", required_unless_present_any = ["domain", "ip", "origin"])]
    ids: Vec<crate::stats::ConnId>,
    /// Tunnels of this domain
    #[arg(short, long, value_name = "NAME")]
    domain: Option<String>,
    /// Tunnels of this client address
    #[arg(short, long, value_name = "ADDRESS")]
    ip: Option<std::net::IpAddr>,
    /// Tunnels to this origin address
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    origin: Option<std::net::SocketAddr>,
    /// Tunnels of this process; after a hand-over there is more than one
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
    /// Close code of RFC 6455 7.4 that both sides get
    #[arg(long, value_name = "CODE", default_value_t = 1012,
          value_parser = clap::value_parser!(u16).range(1000..=4999))]
    code: u16,
    /// Close reason, at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "closed by operator")]
    reason: String,
    /// Close at most this many per second [default: all at once]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
}

/// Exit code 1 when nothing matched, so that a script notices a wrong id or name.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which, ids, domain, ip, origin, process, code, reason, rate } = args;
    if let Some(problem) = close_problem(code, &reason) {
        eprintln!("hawser: {problem}");
        return Ok(Exit::Usage);
    }
    let kill = Kill {
        ids: ids.iter().map(ToString::to_string).collect(),
        domain: domain.map(Into::into),
        ip,
        origin,
        code,
        reason: reason.into(),
        rate,
    };
    let state_dir = which.state_dir()?;
    let mut about_it = serde_json::to_value(&kill)?;
    if let Some(pid) = process {
        about_it["process"] = pid.into();
    }
    let orders = match &*processes::chosen(&state_dir, process)? {
        [one] => vec![(*one, kill)],
        several => shared(kill, |asked| {
            let listed = processes::tunnels(&state_dir, several, asked)?;
            Ok(listed.into_iter().map(|(process, listed)| (process, listed.matched)).collect())
        })?,
    };
    let (closing, exit) = give(&state_dir, &orders)?;
    let plural = if closing == 1 { "tunnel" } else { "tunnels" };
    let pace = rate.map(|rate| format!(", {rate} per second")).unwrap_or_default();
    if closing > 0 {
        noted(&state_dir, "connections close", &about(&about_it, closing));
    }
    if exit == Exit::Done || closing > 0 {
        say(&format!("closing {closing} {plural} with code {code}{pace}\n"))?;
    }
    Ok(if closing == 0 { Exit::Failed } else { exit })
}

/// Gives each process its order: how many tunnels close, and whether all of them took theirs.
fn give(state_dir: &Path, orders: &[(Process, Kill)]) -> anyhow::Result<(usize, Exit)> {
    let (mut closing, mut exit) = (0, Exit::Done);
    for (process, kill) in orders {
        let body = serde_json::to_value(kill)?;
        let answers = processes::ask(state_dir, &[*process], Method::POST, "/v1/kill", Some(&body));
        // What one closes is closed, whatever comes of the others.
        let said = answers.map_err(anyhow::Error::from).and_then(|answers| {
            let answer = answers.into_iter().next().map(|(_, answer)| answer);
            let Some(answer) = answer else { return Ok(0) };
            ensure!(answer.is_success(), "{}", answer.text());
            let Killed { closing } = answer.json()?;
            Ok(closing)
        });
        match said {
            Ok(n) => closing += n,
            Err(error) if orders.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("hawser: {process}: {error:#}");
                exit = Exit::Failed;
            }
        }
    }
    Ok((closing, exit))
}

/// Whose tunnels match, by process.
type Matched = Vec<(Process, usize)>;

/// The orders that together are `kill`: an id goes to the process that has it, and processes share
/// the rate by how much they have to close.
fn shared(
    kill: Kill,
    mut matched: impl FnMut(&Asked) -> anyhow::Result<Matched>,
) -> anyhow::Result<Vec<(Process, Kill)>> {
    let asked = Asked {
        id: None,
        domain: kill.domain.clone(),
        ip: kill.ip,
        origin: kill.origin,
        limit: Some(0),
    };
    let mut parts: Vec<(Process, usize, Vec<String>)> = Vec::new();
    if kill.ids.is_empty() {
        parts = matched(&asked)?.into_iter().map(|(process, n)| (process, n, vec![])).collect();
    }
    for id in &kill.ids {
        let mut having = matched(&Asked { id: Some(id.as_str().into()), ..asked.clone() })?;
        having.retain(|(_, n)| *n > 0);
        let process = match &*having {
            [] => continue,
            [(process, _)] => *process,
            // Each process numbers its own.
            _ => bail!(
                "{} processes have a tunnel {id}; nothing was closed: say which one with \
                 --process, as `hawser conns` shows it",
                having.len()
            ),
        };
        match parts.iter_mut().find(|(of, ..)| *of == process) {
            Some((_, n, ids)) => {
                *n += 1;
                ids.push(id.clone());
            }
            None => parts.push((process, 1, vec![id.clone()])),
        }
    }
    parts.retain(|(_, n, _)| *n > 0);
    let weights: Vec<usize> = parts.iter().map(|(_, n, _)| *n).collect();
    let rates = rates(kill.rate, &weights)?;
    let parts = parts.into_iter().zip(rates);
    Ok(parts.map(|((of, _, ids), rate)| (of, Kill { ids, rate, ..kill.clone() })).collect())
}

/// Shares of a rate by weight, each at least 1, and together no more than the rate.
fn rates(rate: Option<NonZeroU32>, weights: &[usize]) -> anyhow::Result<Vec<Option<NonZeroU32>>> {
    let Some(rate) = rate else { return Ok(vec![None; weights.len()]) };
    let processes = u32::try_from(weights.len())?;
    let Some(over) = rate.get().checked_sub(processes) else {
        bail!(
            "{processes} processes cannot share {rate} per second, nothing was closed: use \
             --rate {processes} or more, or one process after the other with --process"
        );
    };
    let all = weights.iter().sum::<usize>().max(1) as u64;
    let share = |&weight: &usize| u64::from(over) * weight as u64 / all;
    let share = |weight| NonZeroU32::MIN.saturating_add(share(weight) as u32);
    Ok(weights.iter().map(|weight| Some(share(weight))).collect())
}

/// What the audit log says of it: what was asked for, without what was not.
fn about(asked: &serde_json::Value, closing: usize) -> String {
    let asked = asked.as_object().into_iter().flatten();
    let said = asked.filter(|(_, value)| !value.is_null() && **value != serde_json::json!([]));
    let said: Vec<String> = said.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{closing} closing: {}", said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Process = Process::Retiring(7);

    fn kill(ids: &[&str], rate: u32) -> Kill {
        Kill {
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            domain: None,
            ip: None,
            origin: None,
            code: 1012,
            reason: "".into(),
            rate: NonZeroU32::new(rate),
        }
    }

    #[test]
    fn an_id_goes_to_the_process_that_has_it() {
        let having = |asked: &Asked| {
            let (new, old) = match asked.id.as_deref() {
                Some("1") => (1, 0),
                Some("2" | "3") => (0, 1),
                Some("both") => (1, 1),
                _ => (0, 0),
            };
            Ok(vec![(Process::Serving, new), (OLD, old)])
        };
        let orders = shared(kill(&["1", "2", "none", "3"], 0), having).unwrap();
        let expected = [(Process::Serving, kill(&["1"], 0)), (OLD, kill(&["2", "3"], 0))];
        assert_eq!(orders, expected);
        assert_eq!(shared(kill(&["none"], 0), having).unwrap(), []);
        let error = shared(kill(&["1", "both"], 0), having).unwrap_err().to_string();
        assert!(error.contains("both") && error.contains("--process"), "{error}");
    }

    #[test]
    fn processes_share_the_rate_by_what_they_have_to_close() {
        for (rate, weights, shares) in [
            (10, &[4, 4][..], &[5, 5][..]),
            (10, &[1, 1, 1_000_000], &[1, 1, 7]),
            (2, &[1_000, 1], &[1, 1]),
            (100, &[3], &[100]),
        ] {
            let shared = rates(NonZeroU32::new(rate), weights).unwrap();
            let seen: Vec<u32> = shared.into_iter().flatten().map(NonZeroU32::get).collect();
            assert_eq!(seen, shares, "{rate} over {weights:?}");
            assert!(seen.iter().sum::<u32>() <= rate);
        }
        let error = rates(NonZeroU32::new(1), &[1, 1]).unwrap_err().to_string();
        assert!(error.contains("--rate 2"), "{error}");
        assert_eq!(rates(None, &[1, 1]).unwrap(), [None, None]);
    }

    #[test]
    fn a_process_without_a_match_gets_no_order() {
        let having = |_: &Asked| Ok(vec![(Process::Serving, 0), (OLD, 3)]);
        assert_eq!(shared(kill(&[], 1), having).unwrap(), [(OLD, kill(&[], 1))]);
    }
}
