//! `hawser reload`: check the configuration and take it over.

use hyper::Method;

use super::control_client::request;
use super::{Exit, Which, say};
use crate::control::publish::Reloaded;

/// Make the running edge check its configuration and take it over
///
/// A bad configuration changes nothing; its problems are printed and the exit code is 78.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let answer = request(&args.which.state_dir()?, Method::POST, "/v1/reload", None)?;
    if !answer.is_success() {
        eprintln!("hawser: the edge keeps its old configuration:\n{}", answer.text());
        return Ok(Exit::BadConfig);
    }
    let reloaded: Reloaded = answer.json()?;
    say(&text(&reloaded))?;
    Ok(Exit::Done)
}

fn text(reloaded: &Reloaded) -> String {
    let Reloaded { generation, hash, domains, added, removed, restart_needed } = reloaded;
    let domains = match domains {
        1 => "1 domain".to_owned(),
        n => format!("{n} domains"),
    };
    let mut text = format!("generation {generation}, hash {hash}, {domains}");
    if !added.is_empty() || !removed.is_empty() {
        text += &format!(" ({} added, {} removed)", added.len(), removed.len());
    }
    text.push('\n');
    for setting in restart_needed {
        text += &format!("{setting} changed, but needs a restart: the old value stays\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_reload() {
        let reloaded = Reloaded {
            generation: 7,
            hash: "00112233aabbccdd".into(),
            domains: 2,
            added: vec!["b.test".into()],
            removed: vec![],
            restart_needed: vec!["server.listen".into()],
        };
        assert_eq!(
            text(&reloaded),
            "generation 7, hash 00112233aabbccdd, 2 domains (1 added, 0 removed)\n\
             server.listen changed, but needs a restart: the old value stays\n"
        );
    }
}
