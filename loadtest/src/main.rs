//! Load on loopback and what it costs. Every scenario starts its own origins, clients and proxy,
//! prints one JSON document and ends what it started. README.md has the method.

mod certificate;
mod children;
mod client;
mod compare;
mod cpu;
mod fifty_thousand;
mod figures;
mod handshakes;
mod knocker;
mod latency;
mod link;
mod measure;
mod memory;
mod origin;
mod pattern;
mod proxy;
mod slow_readers;
mod stream;
mod timer;
mod tls;
mod ws;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
enum Verb {
    /// An echoing or pushing WebSocket server.
    Origin(origin::Options),
    /// Connections that obey standard input.
    Client(client::Options),
    /// TLS connections that are made and ended as standard input says.
    Knocker(knocker::Options),
    /// CPU per forwarded message, Hawser beside others.
    Cpu(cpu::Options),
    /// CPU per TLS handshake, Hawser beside others.
    Handshakes(handshakes::Options),
    /// Bytes of user memory per idle tunnel.
    Memory(memory::Options),
    /// More tunnels than one process may open descriptors.
    FiftyThousand(fifty_thousand::Options),
    /// Clients that never read, beside one that does.
    SlowReaders(slow_readers::Options),
    /// One message of 1 GiB.
    Stream(stream::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace, whatever the environment asks for.
            eprintln!("{}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let machine = measure::machine();
    let mut result = match Verb::parse() {
        Verb::Origin(options) => return origin::run(&options),
        Verb::Client(options) => return client::run(options),
        Verb::Knocker(options) => return knocker::run(&options),
        Verb::Cpu(options) => cpu::run(&options)?,
        Verb::Handshakes(options) => handshakes::run(&options)?,
        Verb::Memory(options) => memory::run(&options)?,
        Verb::FiftyThousand(options) => fifty_thousand::run(&options)?,
        Verb::SlowReaders(options) => slow_readers::run(&options)?,
        Verb::Stream(options) => stream::run(&options)?,
    };
    result["machine"] = machine;
    println!("{result:#}");
    Ok(())
}
