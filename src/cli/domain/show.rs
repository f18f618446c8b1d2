//! `hawser domain list`, `show` and `export`: what there is.

use std::fmt::Write;

use super::super::{Exit, Which, say};
use crate::control::config::load::domain_files;
use crate::control::config::store::{Store, json};
use crate::control::config::{DomainConfig, Problems, Text, edit, load_domains, render};
use crate::snapshot::HeartbeatMode;

/// List the domains
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// Print JSON: the effective configuration of each domain
    #[arg(long)]
    json: bool,
}

/// Print one domain, as it is written
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Domain, such as live.example.com or '*.example.com'
    name: String,
    #[command(flatten)]
    which: Which,
    /// Print it with every default filled in, and without comments
    #[arg(short, long)]
    effective: bool,
    /// Print JSON, with every default filled in
    #[arg(long, conflicts_with = "effective")]
    json: bool,
}

/// Print domains in the form that `apply` takes
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Domains [default: all]
    names: Vec<String>,
    #[command(flatten)]
    which: Which,
}

pub(super) fn list(args: List) -> anyhow::Result<Exit> {
    let domains = load_domains(&args.which.state_dir()?)?;
    if args.json {
        let list: Vec<serde_json::Value> = domains.iter().map(json).collect();
        say(&(serde_json::to_string_pretty(&list)? + "\n"))?;
        return Ok(Exit::Done);
    }
    let width = domains.iter().map(|d| d.name.len()).max().unwrap_or(0).max("DOMAIN".len());
    let mut text = format!("{:width$}  {:9}  {:14}  ORIGINS\n", "DOMAIN", "WEBSOCKET", "HEARTBEAT");
    for domain in &domains {
        let websocket = match (domain.enabled, domain.websocket.enabled) {
            (false, _) => "stopped",
            (true, true) => "on",
            (true, false) => "off",
        };
        let heartbeat = heartbeat(domain);
        let origins = origins(domain);
        let _ = writeln!(text, "{:width$}  {websocket:9}  {heartbeat:14}  {origins}", domain.name);
    }
    say(&text)?;
    Ok(Exit::Done)
}

pub(super) fn show(args: Show) -> anyhow::Result<Exit> {
    let store = Store::of(&args.which.state_dir()?);
    let text = store.known(&args.name)?.text;
    let shown = if args.json {
        serde_json::to_string_pretty(&json(&store.checked(&args.name, &text)?))? + "\n"
    } else if args.effective {
        render::domain(&store.checked(&args.name, &text)?, render::Form::File)
    } else {
        text
    };
    say(&shown)?;
    Ok(Exit::Done)
}

pub(super) fn export(args: Export) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let store = Store::of(&state_dir);
    let refused = |problem| Problems(vec![problem]);
    let texts: Vec<Text> = if args.names.is_empty() {
        let files = domain_files(&state_dir).map_err(refused)?;
        files.iter().map(|file| Text::read(file).map_err(refused)).collect::<Result<_, _>>()?
    } else {
        args.names.iter().map(|name| store.known(name)).collect::<Result<_, _>>()?
    };
    say(&edit::exported(texts.iter().map(|text| text.text.as_str()))?)?;
    Ok(Exit::Done)
}

fn heartbeat(domain: &DomainConfig) -> String {
    let mode = match domain.websocket.heartbeat_mode {
        HeartbeatMode::Active => "active",
        HeartbeatMode::Passive => "passive",
    };
    format!("{} s, {mode}", domain.websocket.heartbeat.as_secs())
}

/// Backups in parentheses.
fn origins(domain: &DomainConfig) -> String {
    let one = |origin: &crate::control::config::OriginConfig| {
        let text = match &origin.address {
            crate::control::config::OriginAddress::Ip(ip) => {
                std::net::SocketAddr::new(*ip, origin.port).to_string()
            }
            crate::control::config::OriginAddress::Name(name) => format!("{name}:{}", origin.port),
        };
        if origin.priority == 20 { text } else { format!("({text})") }
    };
    domain.origins.iter().map(one).collect::<Vec<_>>().join(" ")
}
