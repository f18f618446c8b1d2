//! `hawser domain set`, `remove` and `apply`: what is to change.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hyper::Method;
use serde::Deserialize;
use similar::TextDiff;

use super::super::control_client;
use super::super::key::author;
use super::super::{Exit, Which, say};
use super::{Taken, reload_running};
use crate::control::changes::Change;
use crate::control::changes::offline::Writer;
use crate::control::config::edit::{self, Assignment};
use crate::control::config::store::{Store, StoreError};
use crate::control::config::{Problems, Text, check_list};

/// Create a domain or change some of its keys
///
/// Keys are named as in the file, with the table in front: websocket.heartbeat=30,
/// origin[0].weight=5, close_on_origin_down=100. Values are TOML; one that is not is taken as text,
/// so that quotes are rarely needed. Nothing behind = takes a key, a table or a list entry away.
#[derive(Debug, clap::Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct Set {
    /// Domain, such as live.example.com or '*.example.com'
    name: String,
    /// Changes
    #[arg(value_name = "KEY=VALUE", required_unless_present = "origin")]
    changes: Vec<Assignment>,
    /// Origin; given once or more, these replace all that there are
    #[arg(short, long, value_name = "ADDRESS[:PORT]")]
    origin: Vec<OriginFlag>,
    #[command(flatten)]
    which: Which,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

const SET_EXAMPLES: &str = "Examples:
  hawser domain set live.example.com --origin 10.0.0.5:8080 websocket.heartbeat=30
  hawser domain set live.example.com 'websocket.allowed_origins=[\"https://app.example.com\"]'
  hawser domain set live.example.com origin[1].address=10.0.0.6 origin[1].priority=30
  hawser domain set live.example.com http.host=   # back to the default";

/// Remove domains; their tunnels are closed
#[derive(Debug, clap::Args)]
pub struct Remove {
    /// Domains
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Do not ask, even on a terminal
    #[arg(short, long)]
    yes: bool,
}

/// Create or replace domains from one file
///
/// The file has a [[domain]] table per domain, as `hawser domain export` prints them, or one domain
/// as in its own file. The difference to what there is is shown first. Domains that the file does
/// not name stay as they are.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// File with the domains, - for standard input
    #[arg(value_name = "FILE", required_unless_present = "named")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "file")]
    named: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Do not ask, even on a terminal
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Show the difference, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// `10.0.0.5`, `10.0.0.5:8080`, `[2001:db8::5]:8080`, `inner.example.com:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OriginFlag {
    address: String,
    port: Option<u16>,
}

impl std::str::FromStr for OriginFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<OriginFlag, String> {
        let whole = |address: &str| OriginFlag { address: address.to_owned(), port: None };
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(whole(bare));
        }
        let Some((address, port)) = text.rsplit_once(':') else { return Ok(whole(text)) };
        let port = port.parse().map_err(|_| format!("{port:?} is not a port from 1 to 65535"))?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Ok(OriginFlag { address: address.to_owned(), port: Some(port) })
    }
}

pub(super) fn set(args: Set) -> anyhow::Result<Exit> {
    let Set { name, changes, origin, which, dry_run } = args;
    let origins: Vec<(String, Option<u16>)> =
        origin.into_iter().map(|flag| (flag.address, flag.port)).collect();
    let store = Store::of(&which.state_dir()?);
    let change = || -> anyhow::Result<Change> {
        let before = store.text(&name)?.map(|text| text.text);
        let mut after = before.clone().unwrap_or_else(|| edit::new_domain(&name));
        if !origins.is_empty() {
            after = edit::with_origins(&after, &origins)?;
        }
        let after = edit::assigned(&after, &changes)?;
        store.checked(&name, &after).context("nothing was changed")?;
        Ok(Change { domain: name.as_str().into(), before, after: Some(after) })
    };
    if dry_run {
        say(&difference(&change()?))?;
        return Ok(Exit::Done);
    }
    // A name that is none, and a text that cannot be, leave nothing behind.
    change()?;
    let writer = Writer::open(&which.source())?;
    // Read anew in our turn: nobody else can have changed it meanwhile.
    let change = change()?;
    written(&which, &writer, "set", vec![change])
}

pub(super) fn remove(args: Remove) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let store = Store::of(&state_dir);
    let gone = |name: &String| {
        let before = Some(store.known(name)?.text);
        Ok::<_, StoreError>(Change { domain: name.as_str().into(), before, after: None })
    };
    let changes: Vec<Change> = args.names.iter().map(gone).collect::<Result<_, _>>()?;
    let question = format!("remove {} and close their tunnels?", args.names.join(", "));
    if !args.yes && std::io::stdin().is_terminal() && !agreed(&question)? {
        bail!("nothing was removed");
    }
    written(&args.which, &Writer::open(&args.which.source())?, "remove", changes)
}

pub(super) fn apply(args: Apply) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let store = Store::of(&state_dir);
    let list = text_of(args.file.or(args.named).unwrap_or_default())?;
    check_list(&list).context("nothing was changed")?;
    let mut changes = Vec::new();
    for (name, wanted) in edit::listed(&list.text)? {
        let before = store.text(&name)?.map(|text| text.text);
        let start = before.clone().unwrap_or_else(|| edit::new_domain(&name));
        // A file that is not even TOML is replaced as a whole.
        let after = edit::merged(&start, &wanted)
            .or_else(|_| edit::merged(&edit::new_domain(&name), &wanted))?;
        store.checked(&name, &after).context("nothing was changed")?;
        if before.as_ref() != Some(&after) {
            changes.push(Change { domain: name.into(), before, after: Some(after) });
        }
    }
    if changes.is_empty() {
        say("nothing differs\n")?;
        return Ok(Exit::Done);
    }
    for change in &changes {
        say(&difference(change))?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    if !args.yes && std::io::stdin().is_terminal() && !agreed("apply this?")? {
        bail!("nothing was changed");
    }
    written(&args.which, &Writer::open(&args.which.source())?, "apply", changes)
}

fn text_of(file: PathBuf) -> anyhow::Result<Text> {
    if file != Path::new("-") {
        return Ok(Text::read(&file).map_err(|problem| Problems(vec![problem]))?);
    }
    let text = std::io::read_to_string(std::io::stdin()).context("standard input")?;
    Ok(Text { path: "standard input".into(), text })
}

/// Writes all of it or nothing, tells a running edge, and puts back what it does not take.
fn written(
    which: &Which,
    writer: &Writer,
    action: &str,
    changes: Vec<Change>,
) -> anyhow::Result<Exit> {
    let state_dir = which.state_dir()?;
    let done = |change: &Change| match (&change.before, &change.after) {
        (_, None) => "removed",
        (None, Some(_)) => "created",
        (before, after) if before == after => "unchanged",
        (Some(_), Some(_)) => "changed",
    };
    let done: String =
        changes.iter().map(|change| format!("{} {}\n", done(change), change.domain)).collect();
    let plan = || plan_in_effect(&state_dir);
    let applied = writer.apply(&author(), action, changes, plan).context("nothing was changed")?;
    let taken = reload_running(&state_dir)?;
    if let (Taken::Refused(why), Some(applied)) = (&taken, applied) {
        writer.put_back(applied, why)?;
        return taken.told();
    }
    say(&done)?;
    taken.told()
}

/// What is asked of the status of a running edge.
#[derive(Deserialize)]
struct Plan {
    plan_in_effect: bool,
}

/// Whether a running edge lets domains have WebSocket.
fn plan_in_effect(state_dir: &Path) -> Option<bool> {
    let answer = control_client::request(state_dir, Method::GET, "/v1/status", None).ok()?;
    Some(answer.json::<Plan>().ok()?.plan_in_effect)
}

/// As `diff -u` has it; empty when nothing differs.
pub fn difference(change: &Change) -> String {
    let Change { domain, before, after } = change;
    let file = format!("{domain}.toml");
    let named = |text: &Option<String>| text.as_ref().map_or("/dev/null", |_| file.as_str());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (old, new) = (text(before), text(after));
    let difference = TextDiff::from_lines(&old, &new);
    difference.unified_diff().header(named(before), named(after)).to_string()
}

fn agreed(question: &str) -> anyhow::Result<bool> {
    let mut err = std::io::stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_flag_may_have_a_port() {
        let flag = |address: &str, port| Ok(OriginFlag { address: address.to_owned(), port });
        assert_eq!("10.0.0.5".parse(), flag("10.0.0.5", None));
        assert_eq!("10.0.0.5:81".parse(), flag("10.0.0.5", Some(81)));
        assert_eq!("2001:db8::5".parse(), flag("2001:db8::5", None));
        assert_eq!("[2001:db8::5]".parse(), flag("2001:db8::5", None));
        assert_eq!("[2001:db8::5]:81".parse(), flag("2001:db8::5", Some(81)));
        assert_eq!("inner:81".parse(), flag("inner", Some(81)));
        assert!("inner:http".parse::<OriginFlag>().is_err());
    }

    #[test]
    fn a_difference_names_the_file_and_both_sides() {
        let change = Change {
            domain: "a.b".into(),
            before: Some("name = \"a.b\"\nx = 1\n".to_owned()),
            after: Some("name = \"a.b\"\nx = 2\n".to_owned()),
        };
        insta::assert_snapshot!(difference(&change), @r#"
        --- a.b.toml
        +++ a.b.toml
        @@ -1,2 +1,2 @@
         name = "a.b"
        -x = 1
        +x = 2
        "#);
        let made = Change { before: None, ..change };
        assert!(difference(&made).starts_with("--- /dev/null\n+++ a.b.toml\n"));
    }
}
