//! `hawser key`: access keys of the API. Not here: what a key is and how it is kept
//! (`control::keys`).

use std::fmt::Write;
use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::{Exit, Which, say};
use crate::control::changes::{Author, ChangeError, Via, note_to};
use crate::control::database::Database;
use crate::control::keys::{Key, Keys, NewKey, Role};
use crate::control::owner::{make_dir, running_user};

/// Create, list and revoke access keys of the API
///
/// A key is a pair of an id and a secret: ID.SECRET is the bearer key of the REST API, and the same
/// pair signs calls of the DCDN API. Keys are in STATE_DIR/hawser.db; a running edge knows of a
/// change at once.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Create a key, and print its secret: the only time that it is shown
#[derive(Debug, clap::Args)]
struct Create {
    /// What the key is for, or whose it is
    #[arg(long)]
    name: String,
    /// What it may do: read, operate (domains, certificates, connections, drain) or admin (keys,
    /// plans, rollback)
    #[arg(long, value_name = "ROLE")]
    role: Role,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List the keys, without their secrets
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take a key out of force, for ever
#[derive(Debug, clap::Args)]
struct Revoke {
    /// Id of the key
    id: String,
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args),
        Verb::List(args) => list(args),
        Verb::Revoke(args) => revoke(args),
    }
}

/// What is printed once.
#[derive(Serialize)]
struct Created<'a> {
    access_key_id: &'a str,
    access_key_secret: &'a str,
    name: &'a str,
    role: Role,
}

fn create(args: Create) -> anyhow::Result<Exit> {
    let keys = open(&args.which.state_dir()?)?;
    let new = keys.create(&author(), &args.name, args.role)?;
    let NewKey { access_key_id, access_key_secret, name, role } = &new;
    if args.json {
        let created = Created { access_key_id, access_key_secret, name, role: *role };
        say(&(serde_json::to_string_pretty(&created)? + "\n"))?;
    } else {
        say(&format!(
            "access_key_id     {access_key_id}\naccess_key_secret {}\n\
             bearer key        {access_key_id}.{0}\nThe secret is not shown again.\n",
            **access_key_secret
        ))?;
    }
    Ok(Exit::Done)
}

fn list(args: List) -> anyhow::Result<Exit> {
    let keys = open(&args.which.state_dir()?)?;
    let all = keys.list()?;
    if args.json {
        say(&(serde_json::to_string_pretty(&all)? + "\n"))?;
    } else {
        say(&table(&all))?;
    }
    let lost = keys.sealed_by_another()?;
    if !lost.is_empty() {
        eprintln!(
            "hawser: no signature can be checked with {}: node.key is not the one that they were \
             made with. Put it back from a backup, or make new keys and revoke these",
            lost.join(", ")
        );
    }
    Ok(Exit::Done)
}

fn revoke(args: Revoke) -> anyhow::Result<Exit> {
    let Key { id, name, .. } = open(&args.which.state_dir()?)?.revoke(&author(), &args.id)?;
    say(&format!("revoked {id} ({name})\n"))?;
    Ok(Exit::Done)
}

/// Who runs this command.
pub(super) fn author() -> Author {
    Author { name: running_user(), via: Via::Cli, address: None }
}

/// Puts into the audit log what was asked of a running edge. It is done already: a log that cannot
/// be written does not make it a failure.
pub(super) fn noted(state_dir: &Path, action: &str, about: &str) {
    let database = Database::open(state_dir).map_err(ChangeError::from);
    let noted = database.and_then(|database| note_to(&database, &author(), action, about));
    if let Err(error) = noted {
        eprintln!("hawser: done, but the audit log could not be written: {error}");
    }
}

fn open(state_dir: &Path) -> anyhow::Result<Keys> {
    make_dir(state_dir, 0o750)?;
    Ok(Keys::open(state_dir, Database::open(state_dir)?)?)
}

fn table(keys: &[Key]) -> String {
    let mut text = format!("{:20}  {:7}  {:20}  {:20}  NAME\n", "ID", "ROLE", "CREATED", "REVOKED");
    for Key { id, name, role, created, revoked } in keys {
        let (role, revoked) = (role.name(), revoked.as_deref().unwrap_or("-"));
        let _ = writeln!(text, "{id:20}  {role:7}  {created:20}  {revoked:20}  {name}");
    }
    text
}
