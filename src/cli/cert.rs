//! `hawser cert`: certificates that are in use, and the uploaded ones. Not here: how pairs are
//! checked and kept (`control::certs`).

use std::collections::HashSet;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::domain::{Taken, reload_running};
use super::key::author;
use super::{Exit, Which, say};
use crate::control::certs::keyring::{Circumstances, Occasion};
use crate::control::certs::pair::{Facts, day};
use crate::control::certs::store::PairStore;
use crate::control::certs::upload::Refused;
use crate::control::certs::{Keyring, Reading, read_file};
use crate::control::changes::certificates::CertificateError;
use crate::control::changes::offline::Writer;
use crate::control::config::tls::Certificate;
use crate::control::config::{Problem, Problems};

/// List certificates; upload one for a domain, or remove it
///
/// An uploaded certificate is kept in STATE_DIR/certs/NAME/ and is used by domains whose
/// tls.certificate is "uploaded", which is the default. When an edge is running, it takes the
/// change over at once; connections that are open stay as they are.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Set(Set),
    List(List),
    Remove(Remove),
}

/// Upload a certificate chain with its key, in the place of the one of before
///
/// Everything is checked before anything is written: that the key belongs to the certificate, that
/// it covers the domain, and that it is valid now.
#[derive(Debug, clap::Args)]
struct Set {
    /// Domain, such as live.example.com or '*.example.com'
    name: String,
    /// PEM file with the certificate chain, leaf first
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// PEM file with the private key [default: it is in the certificate's file]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

/// List the certificates that the configuration leads to
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Remove the uploaded certificate of a domain
#[derive(Debug, clap::Args)]
struct Remove {
    /// Domain
    name: String,
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Set(args) => set(args),
        Verb::List(args) => list(args),
        Verb::Remove(args) => remove(args),
    }
}

fn set(args: Set) -> anyhow::Result<Exit> {
    let Set { name, certificate, key, which } = args;
    let state_dir = which.state_dir()?;
    let one = |problem: Problem| Problems(vec![problem]);
    let chain = read_file(&certificate, "--certificate").map_err(one)?;
    let key_text = key.as_deref().map(|key| read_file(key, "--key")).transpose().map_err(one)?;
    let key_text = key_text.as_ref().unwrap_or(&chain);
    let key_file = key.as_ref().unwrap_or(&certificate);
    let refused = |error| match error {
        CertificateError::Refused(Refused::Certificate { what, accepted }) => {
            one(Problem::of_file(&certificate, what, Some(accepted))).into()
        }
        CertificateError::Refused(Refused::Key { what, accepted }) => {
            one(Problem::of_file(key_file, what, Some(accepted))).into()
        }
        CertificateError::Refused(Refused::Store(error)) => anyhow::Error::new(error),
        other => anyhow::Error::new(other),
    };
    let writer = Writer::open(&which.source())?;
    let set = writer.set_certificate(&author(), &name, &chain, key_text);
    let (pair, done) = set.map_err(refused)?;
    let taken = reload_running(&state_dir)?;
    if let Taken::Refused(why) = &taken {
        writer.put_back(done, why)?;
        return taken.told();
    }
    let Facts { kind, not_after, .. } = &pair.facts;
    say(&format!("certificate of {name}: {}, valid until {}\n", kind.name(), day(*not_after)))?;
    if let Some(note) = unused(&which, &name) {
        say(&format!("{note}\n"))?;
    }
    taken.told()
}

/// Why an uploaded certificate is not used.
fn unused(which: &Which, name: &str) -> Option<String> {
    let loaded = which.source().load().ok()?;
    let Some(domain) = loaded.domains.iter().find(|domain| &*domain.name == name) else {
        return Some(format!("there is no domain {name} yet, so nobody is shown it"));
    };
    let other = match domain.tls.certificate {
        Certificate::Uploaded => return None,
        Certificate::Acme => "is issued by the ACME server",
        Certificate::Files(_) => "comes from files",
    };
    Some(format!(
        "not in use: the certificate of {name} {other}; \
         `hawser domain set {name} tls.certificate=uploaded`"
    ))
}

fn remove(args: Remove) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let writer = Writer::open(&args.which.source())?;
    let Some(done) = writer.remove_certificate(&author(), &args.name)? else {
        bail!("there is no uploaded certificate of {:?}; see `hawser cert list`", args.name);
    };
    let taken = reload_running(&state_dir)?;
    if let Taken::Refused(why) = &taken {
        writer.put_back(done, why)?;
        return taken.told();
    }
    say(&format!("removed the certificate of {}\n", args.name))?;
    taken.told()
}

/// One certificate, for people and programs.
#[derive(Debug, Serialize)]
struct Row {
    domain: String,
    source: &'static str,
    kind: &'static str,
    names: Vec<String>,
    issuer: String,
    /// RFC 3339.
    not_before: String,
    not_after: String,
    days_left: i64,
    in_use: bool,
}

impl Row {
    fn new(domain: &str, source: &'static str, facts: &Facts, now: Timestamp, in_use: bool) -> Row {
        Row {
            domain: domain.to_owned(),
            source,
            kind: facts.kind.name(),
            names: facts.names.clone(),
            issuer: facts.issuer.clone(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
            days_left: facts.days_left(now),
            in_use,
        }
    }
}

fn rfc3339(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}

fn list(args: List) -> anyhow::Result<Exit> {
    let loaded = args.which.source().load()?;
    let now = Timestamp::now();
    // As at a start, so that what is out of its time is listed too.
    let listening = !loaded.server.listen_tls.is_empty();
    let circumstances = Circumstances { occasion: Occasion::Start, now, listening };
    let Reading { keyring, mut problems } =
        Keyring::read(&loaded, &Keyring::default(), circumstances);
    let served = keyring.served().iter();
    let mut rows: Vec<Row> =
        served.map(|s| Row::new(&s.domain, s.source.name(), &s.pair.facts, now, true)).collect();
    let shown: HashSet<&str> = loaded
        .domains
        .iter()
        .filter(|domain| domain.tls.certificate == Certificate::Uploaded)
        .map(|domain| &*domain.name)
        .collect();
    let store = PairStore::uploaded(&loaded.server.state_dir);
    for name in store.names()?.iter().filter(|name| !shown.contains(name.as_str())) {
        match store.pair(name) {
            Ok(Some(pair)) => rows.push(Row::new(name, "uploaded", &pair.facts, now, false)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if args.json {
        say(&(serde_json::to_string_pretty(&rows)? + "\n"))?;
    } else {
        say(&table(&rows))?;
    }
    Problems::none_or(problems, Exit::Done).map_err(anyhow::Error::new)
}

fn table(rows: &[Row]) -> String {
    let width = |head: &str, cell: fn(&Row) -> usize| {
        rows.iter().map(cell).max().unwrap_or(0).max(head.len())
    };
    let domains = width("DOMAIN", |row| row.domain.len());
    let mut text = format!(
        "{:domains$}  {:9}  {:7}  {:20}  {:>5}  NAMES; ISSUER\n",
        "DOMAIN", "SOURCE", "KIND", "NOT AFTER", "DAYS"
    );
    for row in rows {
        let Row { domain, source, kind, issuer, not_after, days_left, in_use, .. } = row;
        let names = row.names.join(" ");
        let unused = if *in_use { "" } else { " (not in use)" };
        let _ = writeln!(
            text,
            "{domain:domains$}  {source:9}  {kind:7}  {not_after:20}  {days_left:>5}  {names}; \
             {issuer}{unused}"
        );
    }
    text
}
