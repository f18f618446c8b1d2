//! `hawser run`: the edge itself.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::RawFd;
use std::sync::Arc;

use anyhow::Context;
use tracing::error;
use tracing_subscriber::filter::LevelFilter;

use super::check::{self, Answer};
use super::serve::{Inherited, InheritedFrom, Serving, serve};
use super::{Exit, Which};
use crate::control::changes;
use crate::control::config::Source;
use crate::control::handover::{self, Inheritance};
use crate::control::operational_log;
use crate::control::publish::{Load, Rejected};
use crate::net::{listener, process};
use crate::snapshot::Transport;

/// `FileDescriptorName=` of sockets that TLS is spoken on.
const TLS_SOCKET: &str = "tls";

/// Run the edge
///
/// Runs in the foreground until it is told to stop. SIGTERM or SIGQUIT drain and then exit with 0,
/// a second one stops at once; SIGHUP checks the configuration and takes it over, or keeps the old
/// one and says why; SIGUSR1 reopens the log files; SIGUSR2 starts the program file anew and hands
/// over to it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Check the configuration and exit, like `hawser check`
    #[arg(short = 't', long = "test", conflicts_with = "print")]
    test: bool,
    /// Check the configuration, print the effective one with every default filled in, and exit
    #[arg(short = 'T', long = "print")]
    print: bool,
    /// Say more
    #[arg(short, long)]
    verbose: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which, test, print, verbose } = args;
    match (test, print, verbose) {
        (true, _, true) => return check::check(&which, Answer::OneLine),
        (true, _, false) => return check::check(&which, Answer::Nothing),
        (_, true, _) => return check::check(&which, Answer::Whole),
        _ => {}
    }
    operational_log::start(if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO });
    let source = which.source();
    if let Ok(state_dir) = source.state_dir()
        && let Err(error) = changes::before_start(&state_dir)
    {
        error!(%error, "a change that was cut short could not be finished; a reload tries again");
    }
    let loaded = source.load()?;
    let (inherited, ready) = inherit()?;
    let activated = inherited.origin == InheritedFrom::ServiceManager;
    let program = handover::this_program(process::pass_on, activated)?;
    let serving = Serving { loaded, load: load(source), inherited, program: Some(program) };
    serve(serving, |_| {
        if let Some(mut pipe) = ready {
            // A predecessor that is gone meanwhile has nothing left to wait for.
            let _ = pipe.write_all(handover::READY);
        }
    })
}

/// Reads the same files again.
pub fn load(source: Source) -> Load {
    Arc::new(move |would_be| source.load_with(would_be).map_err(Rejected::from))
}

/// Takes the descriptors that the environment names. Called once, before anything else is opened.
fn inherit() -> anyhow::Result<(Inherited, Option<File>)> {
    let found = Inheritance::from_env(|name| std::env::var(name).ok())
        .map_err(anyhow::Error::msg)
        .context("the environment of a hand-over is not what it should be")?;
    let mut inherited = Inherited::default();
    for (transport, addr, fd) in found.listeners {
        let fd = process::inherited(fd).with_context(|| format!("inherited socket of {addr}"))?;
        let (addr, listener) = listener::inherit(fd)?;
        inherited.listeners.push((transport, addr, listener));
        inherited.origin = match std::env::var_os(handover::ACTIVATED) {
            Some(_) => InheritedFrom::ServiceManager,
            None => InheritedFrom::Predecessor,
        };
    }
    if let Some(fd) = found.admin {
        let fd = process::inherited(fd).context("inherited admin listener")?;
        inherited.admin = Some(TcpListener::from(fd));
    }
    inherited.lock = found.lock.map(process::inherited).transpose().context("inherited lock")?;
    let ready = found.ready.map(process::inherited).transpose().context("inherited pipe")?;
    if inherited.origin == InheritedFrom::Nobody {
        for (fd, name) in activated()? {
            let fd = process::inherited(fd).context("socket activation")?;
            let (addr, listener) = listener::inherit(fd)?;
            let transport = if name == TLS_SOCKET { Transport::Tls } else { Transport::Plain };
            inherited.listeners.push((transport, addr, listener));
            inherited.origin = InheritedFrom::ServiceManager;
        }
    }
    Ok((inherited, ready.map(File::from)))
}

/// Sockets of the service manager with their names; without names they are all of one kind.
fn activated() -> anyhow::Result<Vec<(RawFd, String)>> {
    if std::env::var_os("LISTEN_FDNAMES").is_some() {
        return Ok(sd_notify::listen_fds_with_names().context("socket activation")?.collect());
    }
    let fds = sd_notify::listen_fds().context("socket activation")?;
    Ok(fds.map(|fd| (fd, String::new())).collect())
}
