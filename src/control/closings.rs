//! Closings of many tunnels at a pace: what was ordered, by whom, and how far it is. Not here:
//! closing (`cores`).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use jiff::Timestamp;

use super::cores::{Begun, Closing, Cores};
use crate::limits::CLOSINGS_KEPT_MAX;
use crate::snapshot::command::Progress;

/// The last closings, the newest last.
#[derive(Debug, Default)]
pub struct Closings(Mutex<VecDeque<Kept>>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Kept {
    pub number: u64,
    /// Which ones, for people.
    pub about: String,
    pub code: u16,
    pub reason: Box<str>,
    pub per_second: Option<u32>,
    /// Tunnels that matched when it began.
    pub matched: usize,
    pub begun: Timestamp,
    /// Id of the access key.
    pub by: String,
    pub state: State,
    /// Left open by a stop that not every core answered.
    spared: usize,
}

/// So many cores did not answer: ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent(pub usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// So many are still to be told.
    Running(usize),
    Done,
    /// So many were left open.
    Stopped(usize),
}

impl Kept {
    /// Tunnels that were told to close.
    pub fn told(&self) -> usize {
        match self.state {
            State::Running(left) | State::Stopped(left) => self.matched.saturating_sub(left),
            State::Done => self.matched,
        }
    }
}

impl Closings {
    /// Begins one; `None` when as many as may be are running.
    pub async fn begin(
        &self,
        cores: &Cores,
        closing: &Closing,
        about: String,
        by: &str,
    ) -> Option<Begun> {
        let running = |kept: &&Kept| matches!(kept.state, State::Running(_));
        if self.all(cores).await.iter().filter(running).count() >= CLOSINGS_KEPT_MAX {
            return None;
        }
        let begun = cores.close(closing).await;
        let kept = Kept {
            number: begun.number,
            about,
            code: closing.code,
            reason: closing.reason.clone(),
            per_second: closing.per_second,
            matched: begun.matched,
            begun: Timestamp::now(),
            by: by.to_owned(),
            state: State::Running(begun.matched),
            spared: 0,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CLOSINGS_KEPT_MAX {
            let over = all.iter().position(|kept| !matches!(kept.state, State::Running(_)));
            all.remove(over.unwrap_or(0));
        }
        all.push_back(kept);
        Some(begun)
    }

    /// All that are remembered, as far as they are now, the newest first.
    pub async fn all(&self, cores: &Cores) -> Vec<Kept> {
        let all: Vec<Kept> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().rev().cloned().collect()
        };
        // At the same time: a core that hangs is waited for once.
        let looked_at = all.into_iter().map(|mut kept| async move {
            let _ = self.look(cores, &mut kept, Progress::Look).await;
            kept
        });
        join_all(looked_at).await
    }

    pub async fn find(&self, cores: &Cores, number: u64) -> Option<Kept> {
        let mut kept = self.remembered(number)?;
        let _ = self.look(cores, &mut kept, Progress::Look).await;
        Some(kept)
    }

    /// Leaves open what it has not come to.
    pub async fn stop(&self, cores: &Cores, number: u64) -> Option<Result<Kept, Silent>> {
        let mut kept = self.remembered(number)?;
        let all = self.look(cores, &mut kept, Progress::Stop).await;
        Some(all.map(|()| kept))
    }

    fn remembered(&self, number: u64) -> Option<Kept> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|kept| kept.number == number).cloned()
    }

    /// Brings one that was running up to date. As long as a core is silent it is not over.
    async fn look(&self, cores: &Cores, kept: &mut Kept, ask: Progress) -> Result<(), Silent> {
        if !matches!(kept.state, State::Running(_)) {
            return Ok(());
        }
        let left = cores.closing(kept.number, ask).await;
        if ask == Progress::Stop {
            kept.spared += left.tunnels;
        }
        let is_heard = left.silent == 0;
        match (ask, left.tunnels, kept.spared) {
            _ if !is_heard => {}
            (Progress::Look, 0, 0) | (Progress::Stop, _, 0) => kept.state = State::Done,
            (Progress::Look, 0, spared) | (Progress::Stop, _, spared) => {
                kept.state = State::Stopped(spared);
            }
            (Progress::Look, left, spared) => kept.state = State::Running(left + spared),
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter_mut().find(|known| known.number == kept.number) {
            // Somebody may have stopped it in between.
            match known.state {
                State::Running(_) => known.clone_from(kept),
                State::Done | State::Stopped(_) => kept.state = known.state,
            }
        }
        if is_heard { Ok(()) } else { Err(Silent(left.silent)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::control::cores::fake;
    use crate::snapshot::Filter;
    use crate::stats::Cause;

    fn closing() -> Closing {
        Closing {
            filter: Filter::default(),
            cause: Cause::Killed,
            code: 1012,
            reason: "moving".into(),
            per_second: Some(1),
        }
    }

    #[tokio::test]
    async fn one_that_was_stopped_stays_so() {
        let (cores, _) = fake::cores(2);
        let closings = Closings::default();
        let begun = closings.begin(&cores, &closing(), "domain a.test".into(), "K").await.unwrap();
        let state = |kept: Option<Kept>| kept.map(|kept| (kept.state, kept.told()));
        let found = closings.find(&cores, begun.number).await;
        assert_eq!(state(found), Some((State::Running(2), 0)));
        let stopped = closings.stop(&cores, begun.number).await;
        assert_eq!(state(stopped.and_then(Result::ok)), Some((State::Stopped(2), 0)));
        let found = closings.find(&cores, begun.number).await;
        assert_eq!(state(found), Some((State::Stopped(2), 0)));
        assert!(closings.find(&cores, 99).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_that_does_not_answer_is_not_one_that_is_done() {
        let (cores, silence) = fake::cores_that_fall_silent(2);
        let closings = Closings::default();
        let begun = closings.begin(&cores, &closing(), String::new(), "K").await.unwrap();
        silence.store(true, Ordering::Relaxed);
        let found = closings.find(&cores, begun.number).await.unwrap();
        assert_eq!(found.state, State::Running(2));
        let stopped = closings.stop(&cores, begun.number).await.unwrap();
        assert_eq!(stopped.unwrap_err(), Silent(2));
        silence.store(false, Ordering::Relaxed);
        let stopped = closings.stop(&cores, begun.number).await.unwrap();
        assert_eq!(stopped.unwrap().state, State::Stopped(2));
    }

    #[tokio::test]
    async fn the_number_of_running_ones_is_bounded() {
        let (cores, _) = fake::cores(1);
        let closings = Closings::default();
        for _ in 0..CLOSINGS_KEPT_MAX {
            assert!(closings.begin(&cores, &closing(), String::new(), "K").await.is_some());
        }
        assert!(closings.begin(&cores, &closing(), String::new(), "K").await.is_none());
        let newest = closings.all(&cores).await[0].number;
        assert!(closings.stop(&cores, newest).await.is_some_and(|stopped| stopped.is_ok()));
        assert!(closings.begin(&cores, &closing(), String::new(), "K").await.is_some());
        assert_eq!(closings.all(&cores).await.len(), CLOSINGS_KEPT_MAX);
        assert!(closings.find(&cores, newest).await.is_none(), "the one that was over");
    }
}
