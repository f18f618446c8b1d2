//! The client processes of a run and its origins: they are told and heard all together. Children
//! are in a process group of their own, so that Ctrl-C reaches only who started them. Not here:
//! what they are told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::children::Process;

/// How often somebody looks whether the run was interrupted.
const TICK: Duration = Duration::from_millis(50);

/// Set once by Ctrl-C or SIGTERM; the second time ends this process as usual.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub fn install() -> anyhow::Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_default(signal, flag.clone())?;
            signal_hook::flag::register(signal, flag.clone())?;
        }
        Ok(Interrupt(flag))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Several client processes that share connections and rates.
pub struct Fleet {
    members: Vec<Member>,
    interrupt: Interrupt,
}

struct Member {
    _process: Process,
    input: ChildStdin,
    output: Receiver<String>,
}

/// What came back from all.
pub enum Heard {
    Answers(Vec<Value>),
    /// Ctrl-C came before the last answer.
    Interrupted,
}

impl Fleet {
    /// One process for each of these lists of arguments.
    pub fn start(arguments: &[Vec<String>], interrupt: &Interrupt) -> anyhow::Result<Fleet> {
        let members = arguments.iter().map(|list| Member::start(list)).collect::<Result<_, _>>()?;
        Ok(Fleet { members, interrupt: interrupt.clone() })
    }

    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Gives each its own line, by its index, and hears its answer. Meanwhile `seen` is told what
    /// all count, now and then.
    pub fn ask(
        &mut self,
        line: impl Fn(usize) -> String,
        mut seen: impl FnMut(&[Value]),
    ) -> anyhow::Result<Heard> {
        for (i, member) in self.members.iter_mut().enumerate() {
            member.tell(&line(i))?;
        }
        let line = line(0);
        let verb = line.split(' ').next().unwrap_or_default();
        let mut asked = Instant::now();
        let mut answers: Vec<Option<Value>> = vec![None; self.members.len()];
        let mut states = answers.clone();
        loop {
            for (i, member) in self.members.iter_mut().enumerate() {
                while answers[i].is_none()
                    && let Some(said) = member.hear(TICK / 5)?
                {
                    match said["answers"].as_str() {
                        Some(answered) if answered == verb => answers[i] = Some(said),
                        _ => states[i] = Some(said),
                    }
                }
            }
            if answers.iter().all(Option::is_some) {
                return Ok(Heard::Answers(answers.into_iter().flatten().collect()));
            }
            if self.interrupt.is_set() && verb == "open" {
                return Ok(Heard::Interrupted);
            }
            if states.iter().all(Option::is_some) {
                seen(&states.iter_mut().filter_map(Option::take).collect::<Vec<_>>());
            }
            if asked.elapsed() > TICK * 4 {
                asked = Instant::now();
                let waiting = answers.iter().map(Option::is_none);
                for (member, _) in self.members.iter_mut().zip(waiting).filter(|(_, w)| *w) {
                    member.tell("status")?;
                }
            }
        }
    }

    /// The same for lines that are answered at once.
    pub fn say(&mut self, line: impl Fn(usize) -> String) -> anyhow::Result<Vec<Value>> {
        match self.ask(line, |_| {})? {
            Heard::Answers(answers) => Ok(answers),
            Heard::Interrupted => Ok(Vec::new()),
        }
    }

    /// Waits for so long, or until Ctrl-C, and tells `seen` what all count now and then.
    pub fn watch(&mut self, time: Duration, mut seen: impl FnMut(&[Value])) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        let mut next = Instant::now() + TICK * 4;
        while !self.interrupt.is_set() && Instant::now() < until {
            thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            if Instant::now() >= next {
                next += TICK * 4;
                seen(&self.say(|_| "status".into())?);
            }
        }
        Ok(())
    }
}

impl Member {
    fn start(arguments: &[String]) -> anyhow::Result<Member> {
        let mut process = own_process(arguments, Stdio::piped())?;
        let input = process.child.stdin.take().context("a client has no input")?;
        let output = process.child.stdout.take().context("a client has no output")?;
        let (send, lines) = sync_channel(16);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Member { _process: process, input, output: lines })
    }

    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let told = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        told.context("a client process ended; it says why above")
    }

    fn hear(&self, patience: Duration) -> anyhow::Result<Option<Value>> {
        match self.output.recv_timeout(patience) {
            Ok(line) => Ok(Some(serde_json::from_str(&line)?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("a client process ended; it says why above")
            }
        }
    }
}

/// An origin of the run.
pub struct Origin {
    _process: Process,
    pub addr: SocketAddr,
}

impl Origin {
    pub fn start(listen: SocketAddr) -> anyhow::Result<Origin> {
        let arguments = ["origin".to_owned(), "--listen".to_owned(), listen.to_string()];
        let mut process = own_process(&arguments, Stdio::null())?;
        let output = process.child.stdout.take().context("the origin has no output")?;
        let line = BufReader::new(output).lines().next();
        let line = line.with_context(|| format!("no origin on {listen}; it says why above"))??;
        Ok(Origin { _process: process, addr: line.parse()? })
    }

    /// What it has counted.
    pub fn counts(&self) -> anyhow::Result<Map<String, Value>> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /counts HTTP/1.1\r\nHost: origin\r\n\r\n")?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(b"}") {
            let n = stream.read(&mut piece)?;
            ensure!(n > 0, "the origin ended");
            answer.extend_from_slice(&piece[..n]);
        }
        let text = String::from_utf8(answer)?;
        let (_, body) = text.split_once("\r\n\r\n").context("no body")?;
        Ok(serde_json::from_str(body)?)
    }
}

fn own_process(arguments: &[String], input: Stdio) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(input).stdout(Stdio::piped()).process_group(0);
    Process::start(command)
}
