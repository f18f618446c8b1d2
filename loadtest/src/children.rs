//! The processes of a scenario: our own origins and clients, and the proxy under test. Each is
//! ended by its own id when it is dropped. Not here: which proxy, see `proxy`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// Descriptors that a process of ours may use. Also what the scenarios hold a proxy to.
pub const DESCRIPTORS: u64 = 20_000;
/// Longer than a client takes for any line; it gives up what does not come true by itself.
const PATIENCE: Duration = Duration::from_secs(300);
/// Answers that wait to be heard; a process that says more waits too.
const ANSWERS: usize = 16;
const ENDED: &str = "a process of the load ended; it says why above";

/// A command that the kernel ends when this program dies, however that happens. What runs it is
/// replaced by it, so that the id is the program's own.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The same, on one core, and with a limit of descriptors.
pub fn command(cpu: Option<usize>, descriptors: u64, program: &Path) -> Command {
    let mut command = bound("sh");
    let pinned = cpu.map_or(String::new(), |cpu| format!("taskset -c {cpu} "));
    command.arg("-c").arg(format!("ulimit -n {descriptors} && exec {pinned}\"$@\""));
    command.arg("sh").arg(program);
    command
}

/// This program once more.
pub fn own_command(cpu: Option<usize>) -> anyhow::Result<Command> {
    Ok(command(cpu, DESCRIPTORS, &std::env::current_exe()?))
}

/// Another program of this build, which stands beside this one.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: cargo build --release", path.display());
    Ok(path)
}

/// Ended with SIGKILL when dropped, if it has not ended by itself.
pub struct Process {
    pub child: Child,
}

impl Process {
    pub fn start(mut command: Command) -> anyhow::Result<Process> {
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        Ok(Process { child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        ensure!(status.success(), "kill -s {name} {}", self.id());
        Ok(())
    }

    /// The exit code, or `None` when it did not end in time or was ended by a signal.
    pub fn wait(&mut self, patience: Duration) -> anyhow::Result<Option<i32>> {
        let since = Instant::now();
        while since.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of ours that obeys lines of standard input, each answered with a line of JSON.
pub struct Obedient {
    process: Process,
    input: ChildStdin,
    answers: Receiver<anyhow::Result<Value>>,
}

impl Obedient {
    pub fn start(mut command: Command) -> anyhow::Result<Obedient> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let input = process.child.stdin.take().context("it has no input")?;
        let output = process.child.stdout.take().context("it has no output")?;
        let (send, answers) = mpsc::sync_channel(ANSWERS);
        // Little of everything: there may be a hundred of them.
        let hearing = std::thread::Builder::new().stack_size(128 * 1024);
        hearing.spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer = serde_json::from_str(&line).with_context(|| format!("said {line:?}"));
                if send.send(answer).is_err() {
                    return;
                }
            }
        })?;
        Ok(Obedient { process, input, answers })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).context(ENDED)
    }

    /// The answer to the oldest line that has none yet, if it comes in time.
    pub fn hear(&self, patience: Duration) -> anyhow::Result<Option<Value>> {
        match self.answers.recv_timeout(patience) {
            Ok(answer) => answer.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!(ENDED),
        }
    }
}

pub struct Origin {
    /// Ended with this value.
    _process: Process,
    pub addr: SocketAddr,
}

impl Origin {
    /// On any free port of this address.
    pub fn start(ip: Ipv4Addr, cpu: Option<usize>) -> anyhow::Result<Origin> {
        Origin::listen(own_command(cpu)?, SocketAddr::from((ip, 0)))
    }

    /// By a command that runs this program.
    pub fn listen(mut command: Command, addr: SocketAddr) -> anyhow::Result<Origin> {
        command.args(["origin", "--listen", &addr.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let output = process.child.stdout.take().context("the origin has no output")?;
        let line = BufReader::new(output).lines().next();
        let line = line.with_context(|| format!("no origin on {addr}; it says why above"))??;
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

/// A client process, asked one line at a time.
pub struct Client(Obedient);

/// How a client process connects.
pub struct Connects<'a> {
    pub target: SocketAddr,
    pub source: Ipv4Addr,
    /// Addresses from `source` on that connections come from in turn: one has some 28,000 ports.
    pub sources: u8,
    pub path: &'static str,
    pub silent: bool,
    /// Where it is the origin too.
    pub serve: Option<SocketAddr>,
    pub cpu: Option<usize>,
    /// Whom to trust under TLS; in the clear without it.
    pub authority: Option<&'a Path>,
}

impl Connects<'_> {
    /// Echoes in the clear, from anywhere, on any core.
    pub fn to(target: SocketAddr) -> Connects<'static> {
        Connects {
            target,
            source: Ipv4Addr::LOCALHOST,
            sources: 1,
            path: "/echo",
            silent: false,
            serve: None,
            cpu: None,
            authority: None,
        }
    }
}

impl Client {
    pub fn start(how: &Connects<'_>) -> anyhow::Result<Client> {
        let mut command = own_command(how.cpu)?;
        command.args(["client", "--target", &how.target.to_string(), "--path", how.path]);
        let [a, b, c, d] = how.source.octets();
        let last = Ipv4Addr::new(a, b, c, d + (how.sources - 1));
        let source = match how.sources {
            1 => how.source.to_string(),
            _ => format!("{}-{last}", how.source),
        };
        command.args(["--source", &source]);
        if how.silent {
            command.arg("--silent");
        }
        if let Some(addr) = how.serve {
            command.args(["--serve", &addr.to_string()]);
        }
        if let Some(path) = how.authority {
            command.arg("--authority").arg(path);
        }
        Ok(Client(Obedient::start(command)?))
    }

    /// A process that makes TLS connections and ends them; see `knocker`.
    pub fn knocker(
        target: SocketAddr,
        serve: SocketAddr,
        authority: &Path,
        cpu: usize,
    ) -> anyhow::Result<Client> {
        let mut command = own_command(Some(cpu))?;
        command.args(["knocker", "--target", &target.to_string()]);
        command.args(["--serve", &serve.to_string()]).arg("--authority").arg(authority);
        Ok(Client(Obedient::start(command)?))
    }

    /// Gives a line to the client, see `client` for what it may say, and waits for the answer.
    pub fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        self.0.tell(line)?;
        let answer = self.0.hear(PATIENCE).with_context(|| format!("{line:?}"))?;
        answer.with_context(|| format!("{line:?}: no answer in {PATIENCE:?}"))
    }

    /// Opens connections until `n` are open.
    pub fn open(&mut self, n: usize) -> anyhow::Result<()> {
        let answer = self.ask(&format!("open {n}"))?;
        if answer["open"] != n {
            bail!("{n} connections were wanted: {}", brief(answer));
        }
        Ok(())
    }
}

/// An answer without its histograms, for a message.
pub fn brief(mut answer: Value) -> Value {
    if let Some(figures) = answer.as_object_mut() {
        figures.retain(|_, figure| figure.get("hdr").is_none());
    }
    answer
}

/// The sum of one figure over answers.
pub fn sum(answers: &[Value], figure: &str) -> u64 {
    answers.iter().map(|answer| answer[figure].as_u64().unwrap_or(0)).sum()
}
