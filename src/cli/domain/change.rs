//! `hawser domain set`, `remove` and `apply`: what is to change.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use similar::TextDiff;

use super::super::{Exit, Which, say};
use super::reload_running;
use crate::control::config::edit::{self, Assignment};
use crate::control::config::store::Store;
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

/// A domain's text before and after.
struct Change {
    name: String,
    before: Option<String>,
    after: String,
}

pub(super) fn set(args: Set) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let store = Store::of(&state_dir);
    let before = store.text(&args.name)?.map(|text| text.text);
    let mut after = before.clone().unwrap_or_else(|| edit::new_domain(&args.name));
    if !args.origin.is_empty() {
        let origins: Vec<(String, Option<u16>)> =
            args.origin.into_iter().map(|flag| (flag.address, flag.port)).collect();
        after = edit::with_origins(&after, &origins)?;
    }
    let after = edit::assigned(&after, &args.changes)?;
    let change = Change { name: args.name, before, after };
    store.checked(&change.name, &change.after).context("nothing was changed")?;
    if args.dry_run {
        say(&difference(&change))?;
        return Ok(Exit::Done);
    }
    written(&store, &state_dir, &[change])
}

pub(super) fn remove(args: Remove) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let store = Store::of(&state_dir);
    let texts: Vec<(&String, Text)> = args
        .names
        .iter()
        .map(|name| store.known(name).map(|text| (name, text)))
        .collect::<Result<_, _>>()?;
    let question = format!("remove {} and close their tunnels?", args.names.join(", "));
    if !args.yes && std::io::stdin().is_terminal() && !agreed(&question)? {
        bail!("nothing was removed");
    }
    for (name, text) in texts {
        store.remove(name, &text.text)?;
        say(&format!("removed {name}\n"))?;
    }
    reload_running(&state_dir)
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
            changes.push(Change { name, before, after });
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
    written(&store, &state_dir, &changes)
}

fn text_of(file: PathBuf) -> anyhow::Result<Text> {
    if file != Path::new("-") {
        return Ok(Text::read(&file).map_err(|problem| Problems(vec![problem]))?);
    }
    let text = std::io::read_to_string(std::io::stdin()).context("standard input")?;
    Ok(Text { path: "standard input".into(), text })
}

fn written(store: &Store, state_dir: &Path, changes: &[Change]) -> anyhow::Result<Exit> {
    for change in changes {
        let done = match &change.before {
            None => "created",
            Some(before) if *before == change.after => "unchanged",
            Some(_) => "changed",
        };
        store.replace(&change.name, change.before.as_deref(), &change.after)?;
        say(&format!("{done} {}\n", change.name))?;
    }
    reload_running(state_dir)
}

fn difference(change: &Change) -> String {
    let before = change.before.as_deref().unwrap_or_default();
    let file = format!("{}.toml", change.name);
    let old = if change.before.is_some() { &file } else { "/dev/null" };
    TextDiff::from_lines(before, &change.after).unified_diff().header(old, &file).to_string()
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
            name: "a.b".to_owned(),
            before: Some("name = \"a.b\"\nx = 1\n".to_owned()),
            after: "name = \"a.b\"\nx = 2\n".to_owned(),
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
