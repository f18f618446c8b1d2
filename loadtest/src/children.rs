//! The processes of a scenario: our own origins and clients, and the proxy under test. Each is
//! ended by its own id when it is dropped. Not here: which proxy, see `proxy`.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Descriptors that a process of ours may use. Also what the scenarios hold a proxy to.
pub const DESCRIPTORS: u64 = 20_000;

/// Whatever runs the command is replaced by it, so that the id is the program's own. The kernel
/// ends it when this program dies, however that happens.
pub fn command(cpu: Option<usize>, descriptors: u64, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "sh"]);
    let pinned = cpu.map_or(String::new(), |cpu| format!("taskset -c {cpu} "));
    command.arg("-c").arg(format!("ulimit -n {descriptors} && exec {pinned}\"$@\""));
    command.arg("sh").arg(program);
    command
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
        anyhow::ensure!(status.success(), "kill -s {name} {}", self.id());
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

pub struct Origin {
    /// Ended with this value.
    _process: Process,
    pub addr: SocketAddr,
}

impl Origin {
    pub fn start(ip: Ipv4Addr, cpu: Option<usize>) -> anyhow::Result<Origin> {
        let mut command = command(cpu, DESCRIPTORS, &own_path()?);
        command.args(["origin", "--listen", &format!("{ip}:0")]).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let out = process.child.stdout.take().context("origin has no output")?;
        let line = BufReader::new(out).lines().next().context("origin ended at once")??;
        Ok(Origin { _process: process, addr: line.parse()? })
    }
}

pub struct Client {
    _process: Process,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

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
        let mut command = command(how.cpu, DESCRIPTORS, &own_path()?);
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
        Client::run(command)
    }

    /// A process that makes TLS connections and ends them; see `knocker`.
    pub fn knocker(
        target: SocketAddr,
        serve: SocketAddr,
        authority: &Path,
        cpu: usize,
    ) -> anyhow::Result<Client> {
        let mut command = command(Some(cpu), DESCRIPTORS, &own_path()?);
        command.args(["knocker", "--target", &target.to_string()]);
        command.args(["--serve", &serve.to_string()]).arg("--authority").arg(authority);
        Client::run(command)
    }

    fn run(mut command: Command) -> anyhow::Result<Client> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let input = process.child.stdin.take().context("client has no input")?;
        let output = process.child.stdout.take().context("client has no output")?;
        Ok(Client { _process: process, input, output: BufReader::new(output).lines() })
    }

    /// Gives a line to the client; see `client` for what it may say.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{line}")?;
        Ok(self.input.flush()?)
    }

    /// The answer to the oldest line that has none yet.
    pub fn hear(&mut self) -> anyhow::Result<Value> {
        let line = self.output.next().context("a client process ended")??;
        Ok(serde_json::from_str(&line)?)
    }

    pub fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        self.tell(line)?;
        self.hear()
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

pub fn own_path() -> anyhow::Result<String> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}
