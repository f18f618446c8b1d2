//! Origins that do what a good one never does, each on a port of its own, and the generator as a
//! process. Not here: what has to be found.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tungstenite::{Message, WebSocket};

pub type Socket = WebSocket<TcpStream>;

pub struct Origin {
    pub addr: SocketAddr,
    pub peers: Arc<Mutex<BTreeSet<IpAddr>>>,
}

impl Origin {
    /// Does this with every connection, each in a thread of its own.
    pub fn plain(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let peers = Arc::new(Mutex::new(BTreeSet::new()));
        let (seen, behave) = (peers.clone(), Arc::new(behave));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Ok(peer) = stream.peer_addr() {
                    seen.lock().expect("nobody panics with it").insert(peer.ip());
                }
                let behave = behave.clone();
                thread::spawn(move || behave(stream));
            }
        });
        Origin { addr, peers }
    }

    /// The same after the handshake.
    pub fn upgraded(behave: impl Fn(&mut Socket) + Send + Sync + 'static) -> Origin {
        Origin::plain(move |stream| {
            if let Ok(mut socket) = tungstenite::accept(stream) {
                behave(&mut socket);
                until_end(&mut socket);
            }
        })
    }

    /// Answers message `n` of each connection with what `answers` makes of it.
    pub fn echoing(answers: fn(usize, Vec<u8>) -> Vec<Vec<u8>>) -> Origin {
        Origin::upgraded(move |socket| {
            for n in 0.. {
                let Ok(Message::Binary(message)) = socket.read() else { return };
                for answer in answers(n, message.to_vec()) {
                    if socket.send(Message::binary(answer)).is_err() {
                        return;
                    }
                }
            }
        })
    }

    /// Answers every request with these bytes, and ends the connection after it or not.
    pub fn http(answer: &'static str) -> Origin {
        Origin::plain(move |stream| {
            let mut lines = BufReader::new(&stream).lines();
            while lines.by_ref().map_while(Result::ok).find(|line| line.is_empty()).is_some() {
                if (&stream).write_all(answer.as_bytes()).is_err() || answer.contains("close") {
                    return;
                }
            }
        })
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }
}

/// Answers a Close and reads until there is nothing more.
pub fn until_end<S: std::io::Read + std::io::Write>(socket: &mut WebSocket<S>) {
    while socket.read().is_ok() {}
}

/// What a run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub json: Value,
    pub said: String,
}

/// A command for the generator's `run`, quiet, without warm-up and with short patience.
pub fn command(scenario: &str, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawser-loadtest"));
    command.args(["run", scenario, "--progress", "never", "--warm-up", "0s"]);
    command.args(options.split_whitespace());
    command
}

pub fn run(scenario: &str, options: &str) -> Ran {
    let output = command(scenario, options).output().expect("the generator starts");
    Ran::of(output)
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Ran { code: output.status.code(), json, said }
    }

    /// Everything that was found to be wrong.
    pub fn wrong(&self) -> String {
        let list = self.json["wrong"].as_array();
        let lines = list.into_iter().flatten().filter_map(Value::as_str);
        lines.collect::<Vec<_>>().join("; ")
    }
}
