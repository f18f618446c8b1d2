//! The client processes of a run and its origins: they are told and heard all together. Children
//! are in a process group of their own, so that Ctrl-C reaches only who started them. Not here:
//! what they are told.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::children::{self, Obedient, Origin};

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
    obedient: Obedient,
    /// Questions for its state that have no answer yet.
    asked: usize,
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
        let member = |list: &Vec<String>| -> anyhow::Result<Member> {
            let mut command = own_command()?;
            command.args(list);
            Ok(Member { obedient: Obedient::start(command)?, asked: 0 })
        };
        let members = arguments.iter().map(member).collect::<Result<_, _>>()?;
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
            member.obedient.tell(&line(i))?;
        }
        let line = line(0);
        let verb = line.split(' ').next().unwrap_or_default();
        let mut asked = Instant::now();
        let mut answers: Vec<Option<Value>> = vec![None; self.members.len()];
        let mut states = answers.clone();
        loop {
            for (i, member) in self.members.iter_mut().enumerate() {
                while answers[i].is_none()
                    && let Some(said) = member.obedient.hear(TICK / 5)?
                {
                    // Of several states the last is what was asked for.
                    let is_state = said["answers"] == "status" && member.asked > 0;
                    if said["answers"] == verb && !is_state {
                        answers[i] = Some(said);
                        continue;
                    }
                    member.asked -= usize::from(is_state);
                    states[i] = Some(said);
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
                    member.obedient.tell("status")?;
                    member.asked += 1;
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

/// An origin of the run.
pub fn origin(listen: SocketAddr) -> anyhow::Result<Origin> {
    Origin::listen(own_command()?, listen)
}

fn own_command() -> anyhow::Result<Command> {
    let mut command = children::bound(std::env::current_exe()?);
    command.process_group(0);
    Ok(command)
}
