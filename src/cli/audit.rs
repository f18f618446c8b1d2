//! `hawser audit`: who did what, and what it changed. Not here: writing the log
//! (`control::changes`).

use std::fmt::Write;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;

use super::domain::change::difference;
use super::{Exit, Which, say};
use crate::control::changes::{Author, Change, Changes, Entry, Of};
use crate::control::database::{Database, FILE};
use crate::limits::AUDIT_PAGE_MAX;

/// List the audit log, and show what an entry changed
///
/// The log says who changed what: domains, certificates, keys, plans, and what was asked of a
/// running edge. It is in STATE_DIR/hawser.db, with the texts of domain files before and after, and
/// never with secrets. POST /api/v1/audit/ID/rollback puts a domain back to what it was after an
/// entry.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(List),
    Show(Show),
}

/// List entries, the newest first
#[derive(Debug, clap::Args)]
struct List {
    /// Only what was changed in the file of this domain
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only entries before this one, to go on where the last list ended
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show one entry, with the difference that it made
#[derive(Debug, clap::Args)]
struct Show {
    /// Number of the entry
    id: i64,
    #[command(flatten)]
    which: Which,
    /// Print JSON, with the whole texts before and after
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show(args),
    }
}

fn open(which: &Which) -> anyhow::Result<Changes> {
    let state_dir = which.state_dir()?;
    if !state_dir.join(FILE).exists() {
        bail!(
            "{} has no audit log: no edge was started there, and no domain was changed; is it the \
             state directory (-c FILE, --state-dir DIR)?",
            state_dir.display()
        );
    }
    Ok(Changes::new(&state_dir, Database::open(&state_dir)?))
}

fn list(args: List) -> anyhow::Result<Exit> {
    let changes = open(&args.which)?;
    let of = Of { domain: args.domain.as_deref(), author: None };
    let mut before = args.before;
    let (mut rows, mut left) = (Vec::new(), args.limit);
    while left > 0 {
        let page = changes.entries(of, before, left.min(AUDIT_PAGE_MAX))?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        left -= page.len();
        rows.extend(page.into_iter().map(Row::from));
    }
    if args.json {
        say(&(serde_json::to_string_pretty(&rows)? + "\n"))?;
    } else {
        say(&table(&rows))?;
    }
    Ok(Exit::Done)
}

/// An entry in a list: without texts.
#[derive(Debug, Serialize)]
struct Row {
    id: i64,
    change: i64,
    at: String,
    author: Author,
    action: String,
    domain: Option<String>,
    about: Option<String>,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Row {
        let Entry { id, change, at, author, action, about, domain, .. } = entry;
        Row { id, change, at, author, action, domain, about }
    }
}

fn table(rows: &[Row]) -> String {
    let width = |head: &str, cell: fn(&Row) -> usize| {
        rows.iter().map(cell).max().unwrap_or(0).max(head.len())
    };
    let ids = width("ID", |row| row.id.to_string().len());
    let authors = width("AUTHOR", |row| row.author.name.chars().count());
    let actions = width("ACTION", |row| row.action.chars().count());
    let mut text = format!(
        "{:>ids$}  {:20}  {:authors$}  {:7}  {:actions$}  ABOUT\n",
        "ID", "AT", "AUTHOR", "VIA", "ACTION"
    );
    for row in rows {
        let Row { id, at, author: Author { name, via, .. }, action, .. } = row;
        let (via, about) = (via.name(), about(row));
        let _ = writeln!(
            text,
            "{id:>ids$}  {at:20}  {name:authors$}  {via:7}  {action:actions$}  {about}"
        );
    }
    text
}

fn about(Row { domain, about, .. }: &Row) -> String {
    let parts = [domain.as_deref(), about.as_deref()];
    // On one line, whatever it was.
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ").replace(['\n', '\r'], " ")
}

fn show(args: Show) -> anyhow::Result<Exit> {
    let entry = open(&args.which)?.entry(args.id)?;
    if args.json {
        say(&(serde_json::to_string_pretty(&entry)? + "\n"))?;
        return Ok(Exit::Done);
    }
    let Entry { id, change, at, author, action, about, domain, before, after } = entry;
    let Author { name, via, address } = author;
    let from = address.map(|address| format!(" from {address}")).unwrap_or_default();
    let mut text = format!("entry   {id} of change {change}\nat      {at}\n");
    let _ = writeln!(text, "author  {name} ({}{from})\naction  {action}", via.name());
    for (what, value) in [("domain", &domain), ("about", &about)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{what:6}  {value}");
        }
    }
    if let Some(domain) = domain {
        let change = Change { domain: domain.into(), before, after };
        let difference = difference(&change);
        text += if difference.is_empty() { "(the file stayed as it was)\n" } else { &difference };
    }
    say(&text)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::changes::Via;

    #[test]
    fn a_table_for_people() {
        let row = |id, name: &str, action: &str, domain: Option<&str>, about: Option<&str>| Row {
            id,
            change: id,
            at: "2026-11-23T10:00:00Z".to_owned(),
            author: Author { name: name.to_owned(), via: Via::Dcdn, address: None },
            action: action.to_owned(),
            domain: domain.map(str::to_owned),
            about: about.map(str::to_owned),
        };
        let rows = [
            row(10, "HK1", "AddDcdnDomain", Some("a.test"), None),
            row(9, "ann", "certificate set", None, Some("a.test: SHA-256 ff")),
            row(8, "ann", "rollback", Some("a.test"), Some("to entry 3\nand so on")),
        ];
        insta::assert_snapshot!(table(&rows));
    }
}
