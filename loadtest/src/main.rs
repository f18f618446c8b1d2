//! Load on loopback and what it costs. Every scenario starts its own origins, clients and proxy,
//! prints one JSON document and ends what it started. README.md has the method.

mod admin;
mod bench;
mod certificate;
mod children;
mod client;
mod compare;
mod cpu;
mod crowd;
mod edge;
mod figures;
mod handshakes;
mod hawser;
mod hold;
mod idle;
mod knocker;
mod latency;
mod line;
mod link;
mod measure;
mod memory;
mod origin;
mod pattern;
mod peers;
mod proxy;
mod report;
mod rounds;
mod run;
mod sizing;
mod slopes;
mod slow_readers;
mod soak;
mod stream;
mod timer;
mod tls;
mod ws;

use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use figures::Machine;

#[derive(Parser)]
#[command(version, about)]
enum Verb {
    /// A scenario against any server: idle, ping-pong, push, stream, churn, herd, slow-readers or
    /// http.
    Run(Box<run::Options>),
    /// An echoing or pushing WebSocket server.
    Origin(origin::Options),
    /// Connections that obey standard input.
    Client(client::Options),
    /// TLS connections that are made and ended as standard input says.
    Knocker(knocker::Options),
    /// Hawser and its peers in one go, all figures.
    Compare(compare::Options),
    /// CPU per forwarded message, Hawser beside others.
    Cpu(cpu::Options),
    /// CPU per TLS handshake, Hawser beside others.
    Handshakes(handshakes::Options),
    /// Bytes of user memory per idle tunnel.
    Memory(memory::Options),
    /// Very many quiet connections that obey standard input, in little memory.
    Crowd(crowd::Options),
    /// Up to a million connections of one process that may open 20,000 descriptors.
    Hold(hold::Options),
    /// CPU while 9,000 connections say nothing, beside what their pings cost.
    Idle(idle::Options),
    /// Hours of traffic with reloads, origins that come and go, and slow readers.
    Soak(soak::Options),
    /// Clients that never read, beside one that does.
    SlowReaders(slow_readers::Options),
    /// One message of 1 GiB.
    Stream(stream::Options),
    /// Tables, plots and a page from a document of figures.
    Report(report::Options),
    /// What docs/sizing.md is made of, measured on this host.
    Slopes(slopes::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Without a backtrace, whatever the environment asks for.
fn complain(error: &anyhow::Error) {
    eprintln!("{}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
}

fn run() -> anyhow::Result<ExitCode> {
    match Verb::parse() {
        Verb::Run(options) => Ok(run::run(*options).unwrap_or_else(|error| {
            complain(&error);
            // It could not run, which says nothing about its target.
            ExitCode::from(2)
        })),
        Verb::Origin(options) => done(origin::run(&options)),
        Verb::Client(options) => done(client::run(options)),
        Verb::Knocker(options) => done(knocker::run(&options)),
        Verb::Crowd(options) => done(crowd::run(&options)),
        Verb::Slopes(options) => done(slopes::run(&options)),
        Verb::Report(options) => done(report::run(&options)),
        Verb::Compare(options) => done(compare::run(&options)),
        Verb::Cpu(options) => shown(|| cpu::run(&options)),
        Verb::Handshakes(options) => shown(|| handshakes::run(&options)),
        Verb::Memory(options) => shown(|| memory::run(&options)),
        Verb::Hold(options) => shown(|| hold::run(&options)),
        Verb::Idle(options) => shown(|| idle::run(&options)),
        Verb::Soak(options) => shown(|| soak::run(&options)),
        Verb::SlowReaders(options) => shown(|| slow_readers::run(&options)),
        Verb::Stream(options) => shown(|| stream::run(&options)),
    }
}

/// Prints what a scenario found. Those that judge themselves say whether they are content.
fn shown(scenario: impl FnOnce() -> anyhow::Result<Value>) -> anyhow::Result<ExitCode> {
    let machine = Machine::in_short();
    let mut result = scenario()?;
    result["machine"] = machine;
    println!("{result:#}");
    Ok(ExitCode::from(u8::from(result["passed"] == false)))
}

fn done(result: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}
