//! The processes beside Hawser, and the watch over the machine while one
//! waits for them: nothing here waits without looking at the memory that is left. Not here: what
//! they are told.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::children::{Obedient, own_command};
use crate::measure;

/// How often the memory is looked at. Twenty thousand connections a second take 40 MB meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// Looks at the machine, and ends the run when it has to.
pub struct Watch {
    leave: u64,
    asked_to_end: Arc<AtomicBool>,
    pub least_available: u64,
}

impl Watch {
    /// Keeps `leave` bytes of memory available. From now on SIGINT and SIGTERM end a wait and not
    /// the process, so that everything is taken down in order.
    pub fn begin(leave: u64) -> anyhow::Result<Watch> {
        let asked_to_end = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked_to_end))?;
        }
        // Should the kernel run out of memory in spite of all, it ends us and no one else; whoever
        // we start inherits it.
        fs::write("/proc/self/oom_score_adj", "1000").context("oom_score_adj")?;
        Ok(Watch { leave, asked_to_end, least_available: available()? })
    }

    /// Bytes that can be had without pushing anybody out.
    pub fn available(&mut self) -> anyhow::Result<u64> {
        let now = available()?;
        self.least_available = self.least_available.min(now);
        Ok(now)
    }

    /// # Errors
    /// There is a reason to end.
    pub fn look(&mut self) -> anyhow::Result<()> {
        if self.asked_to_end.load(Ordering::Relaxed) {
            bail!("ended by a signal");
        }
        let available = self.available()?;
        if available < self.leave {
            bail!(
                "stopped: {} MiB of memory are available, and {} are to stay free (--leave)",
                available >> 20,
                self.leave >> 20
            );
        }
        Ok(())
    }

    /// Waits, looking.
    pub fn sleep(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look()?;
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

fn available() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    measure::bytes_of(&text, "MemAvailable").context("/proc/meminfo has no MemAvailable")
}

/// One process beside Hawser: of the crowd, or a client.
pub struct Member(Obedient);

impl Member {
    pub fn client(target: SocketAddr, source: Ipv4Addr) -> anyhow::Result<Member> {
        Member::start(&["crowd", "--target", &target.to_string(), "--source", &source.to_string()])
    }

    /// With the address on which it listens.
    pub fn origin(ip: Ipv4Addr) -> anyhow::Result<(Member, SocketAddr)> {
        let member = Member::start(&["crowd", "--listen", &format!("{ip}:0")])?;
        let said = member.0.hear(Duration::from_secs(20))?.context("an origin does not start")?;
        let addr = said["listen"].as_str().context("an origin says where it listens")?.parse()?;
        Ok((member, addr))
    }

    /// This program with these arguments, the verb first; one that obeys standard input.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Member> {
        let mut command = own_command(None)?;
        command.args(arguments);
        Ok(Member(Obedient::start(command)?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The answer to one line.
    pub fn ask(&mut self, line: &str, watch: &mut Watch, time: Duration) -> anyhow::Result<Value> {
        self.0.tell(line)?;
        self.hear(watch, Instant::now() + time).with_context(|| format!("{line:?}"))
    }

    fn hear(&self, watch: &mut Watch, until: Instant) -> anyhow::Result<Value> {
        loop {
            if let Some(answer) = self.0.hear(LOOK)? {
                return Ok(answer);
            }
            watch.look()?;
            ensure!(Instant::now() < until, "process {} did not answer in time", self.id());
        }
    }
}

/// Gives each its own line and hears them all.
pub fn ask_each(
    members: &mut [Member],
    line: impl Fn(usize) -> String,
    watch: &mut Watch,
    patience: Duration,
) -> anyhow::Result<Vec<Value>> {
    let until = Instant::now() + patience;
    for (i, member) in members.iter_mut().enumerate() {
        member.0.tell(&line(i))?;
    }
    members.iter().map(|member| member.hear(watch, until)).collect()
}

/// Gives all the same line and hears them all.
pub fn ask(
    members: &mut [Member],
    line: &str,
    watch: &mut Watch,
    patience: Duration,
) -> anyhow::Result<Vec<Value>> {
    ask_each(members, |_| line.to_owned(), watch, patience)
}
