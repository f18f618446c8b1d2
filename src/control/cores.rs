//! Asking every core at once: sends commands to their mailboxes and gathers the answers.
//!
//! Not here: the mailboxes themselves (`worker`), and what people see of the answers
//! (`control_socket`).

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::snapshot::command::Progress;
use crate::snapshot::{Command, ConnRow, CoreHandle, Filter, Listed, Order, Pace};
use crate::stats::Cause;

/// A core that has not answered a question for this long is left out of the answer. Answers take
/// microseconds; a core that needs longer is stuck, and whoever asks should learn the rest.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Handles to all cores. Clones are handles to the same set, empty until [`Cores::started`].
#[derive(Debug, Clone, Default)]
pub struct Cores(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    handles: OnceLock<Box<[CoreHandle]>>,
    /// The next number of a closing.
    numbers: AtomicU64,
}

/// Rows of all cores.
#[derive(Debug, Default)]
pub struct Listing {
    pub rows: Vec<ConnRow>,
    /// How many match, listed or not.
    pub matched: usize,
    /// Cores that did not answer; their tunnels are missing.
    pub silent: usize,
}

/// Which tunnels to close, and how.
#[derive(Debug, Clone)]
pub struct Closing {
    pub filter: Filter,
    pub cause: Cause,
    pub code: u16,
    pub reason: Box<str>,
    /// All cores together; `None` closes as fast as they can.
    pub per_second: Option<u32>,
}

/// What [`Cores::close`] began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// What [`Cores::closing`] calls it.
    pub number: u64,
    /// How many tunnels are being closed.
    pub matched: usize,
}

/// What [`Cores::closing`] has not come to yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub tunnels: usize,
    /// Cores that did not answer; theirs are missing.
    pub silent: usize,
}

impl Listing {
    /// Whether there are more than the limit.
    pub fn is_truncated(&self) -> bool {
        self.matched > self.rows.len()
    }
}

impl Cores {
    /// To be called once, when the workers run.
    pub fn started(&self, handles: Vec<CoreHandle>) {
        let fresh = self.0.handles.set(handles.into());
        debug_assert!(fresh.is_ok(), "workers are started once");
    }

    pub fn len(&self) -> usize {
        self.handles().len()
    }

    pub fn is_empty(&self) -> bool {
        self.handles().is_empty()
    }

    /// At most `limit` rows: the first by `order`, or any. No core answers with more, so that for a
    /// moment cores times `limit` rows are in memory, however many tunnels there are.
    pub async fn list(&self, filter: &Filter, order: Option<Order>, limit: usize) -> Listing {
        let answers = self
            .ask(filter, ANSWER_WAIT, |_, reply| Command::List {
                filter: filter.clone(),
                order,
                limit,
                reply: Box::new(move |listed| answered(reply, listed)),
            })
            .await;
        let mut all = Listing::default();
        for answer in answers {
            let Some(Listed { rows, matched }) = answer else {
                all.silent += 1;
                continue;
            };
            all.matched += matched;
            all.rows.extend(rows);
        }
        if let Some(order) = order {
            let rank = |row: &ConnRow| order.of(row.age_ms, row.idle_ms, &row.figures);
            all.rows.sort_by_key(|row| (Reverse(rank(row)), row.id));
        }
        all.rows.truncate(limit);
        all
    }

    /// Begins to close. What matches is found out now; a connection that opens later is left alone.
    pub async fn close(&self, closing: &Closing) -> Begun {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let paces = match closing.per_second {
            None => vec![None; self.asked(&closing.filter).len()],
            Some(rate) => {
                let counted = self.count(&closing.filter).await;
                paces(rate, &counted).into_iter().map(Some).collect()
            }
        };
        let answers = self
            .ask(&closing.filter, ANSWER_WAIT, |i, reply| Command::Close {
                filter: closing.filter.clone(),
                cause: closing.cause,
                code: closing.code,
                reason: closing.reason.clone(),
                pace: paces[i],
                number,
                reply: Box::new(move |n| answered(reply, n)),
            })
            .await;
        Begun { number, matched: answers.into_iter().flatten().sum() }
    }

    /// How many tunnels of each core match; `None` of a core that did not answer.
    async fn count(&self, filter: &Filter) -> Vec<Option<usize>> {
        let answers = self
            .ask(filter, ANSWER_WAIT, |_, reply| Command::List {
                filter: filter.clone(),
                order: None,
                limit: 0,
                reply: Box::new(move |listed| answered(reply, listed)),
            })
            .await;
        answers.into_iter().map(|answer| answer.map(|listed: Listed| listed.matched)).collect()
    }

    /// How many tunnels [`Cores::close`] has not come to yet; [`Progress::Stop`] leaves them open.
    pub async fn closing(&self, number: u64, ask: Progress) -> Left {
        let answers = self.progress(number, ask).await;
        let silent = answers.iter().filter(|answer| answer.is_none()).count();
        Left { tunnels: answers.into_iter().flatten().sum(), silent }
    }

    async fn progress(&self, number: u64, ask: Progress) -> Vec<Option<usize>> {
        self.ask(&Filter::default(), ANSWER_WAIT, |_, reply| Command::Closing {
            number,
            ask,
            reply: Box::new(move |n| answered(reply, n)),
        })
        .await
    }

    pub fn snapshot_changed(&self) {
        for core in self.handles() {
            core.send(Command::SnapshotChanged);
        }
    }

    /// Returns when every core is empty, or at `window` plus `grace`. True: all are.
    pub async fn drain(&self, window: Duration, grace: Duration, code: u16, reason: &str) -> bool {
        let answers = self
            .ask(&Filter::default(), window + grace, |_, reply| Command::Drain {
                window,
                code,
                reason: reason.into(),
                reply: Box::new(move |()| answered(reply, ())),
            })
            .await;
        answers.iter().all(Option::is_some)
    }

    /// Whether every core takes and answers a message.
    pub async fn alive(&self) -> bool {
        // The cheapest question: nothing has this number.
        self.progress(u64::MAX, Progress::Look).await.iter().all(Option::is_some)
    }

    pub fn stop(&self) {
        for core in self.handles() {
            core.send(Command::Stop);
        }
    }

    fn handles(&self) -> &[CoreHandle] {
        self.0.handles.get().map_or(&[], |handles| handles)
    }

    /// The cores that can have what matches: one for an id, else all.
    fn asked(&self, filter: &Filter) -> &[CoreHandle] {
        let all = self.handles();
        match filter.id {
            Some(id) => {
                let core = id.core() as usize;
                all.get(core..=core).unwrap_or(&[])
            }
            None => all,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        filter: &Filter,
        wait: Duration,
        command: impl Fn(usize, oneshot::Sender<T>) -> Command,
    ) -> Vec<Option<T>> {
        let mut answers = Vec::new();
        for (i, core) in self.asked(filter).iter().enumerate() {
            let (reply, answer) = oneshot::channel();
            // A core that is gone drops the command and with it the sender, which ends the wait.
            core.send(command(i, reply));
            answers.push(answer);
        }
        let deadline = tokio::time::Instant::now() + wait;
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            all.push(timeout(left, answer).await.ok().and_then(Result::ok));
        }
        all
    }
}

/// Whoever asked may have given up meanwhile.
fn answered<T>(reply: oneshot::Sender<T>, answer: T) {
    let _ = reply.send(answer);
}

/// Shares of `rate` closes per second, by how many tunnels each core has to close; their first
/// closes are spread over the time that one close of all cores together takes. A core that did not
/// answer is taken for an average one. One that had none may have some by now: it gets the share of
/// one core of many, beside the others'.
fn paces(rate: u32, counted: &[Option<usize>]) -> Vec<Pace> {
    let (cores, rate_e6) = (counted.len().max(1) as u64, u64::from(rate.max(1)) * Pace::ONE);
    let known = counted.iter().flatten().count().max(1);
    let average = counted.iter().flatten().sum::<usize>().div_ceil(known).max(1);
    let weights: Vec<u64> = counted.iter().map(|n| n.unwrap_or(average) as u64).collect();
    let all = weights.iter().sum::<u64>().max(1);
    let mut before = 0;
    let share = |(i, &weight): (usize, &u64)| {
        let saved_e6 = Pace::ONE - Pace::ONE * before / all;
        before += weight;
        match weight {
            0 => Pace {
                per_second_e6: rate_e6 / cores,
                saved_e6: Pace::ONE - Pace::ONE * i as u64 / cores,
            },
            weight => Pace { per_second_e6: rate_e6 * weight / all, saved_e6 },
        }
    };
    weights.iter().enumerate().map(share).collect()
}

#[cfg(test)]
pub mod fake {
    //! Cores that answer at once and remember what they were asked.

    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::snapshot::command::{CloseState, LegRow, StreamState};
    use crate::stats::ConnId;

    pub type Asked = Arc<Mutex<Vec<String>>>;

    /// `n` cores; the commands they got, as text.
    pub fn cores(n: usize) -> (Cores, Asked) {
        let asked = Asked::default();
        let handles = (0..n).map(|core| handle(core, Arc::clone(&asked))).collect();
        let cores = Cores::default();
        cores.started(handles);
        (cores, asked)
    }

    /// The same, until they are told to be silent.
    pub fn cores_that_fall_silent(n: usize) -> (Cores, Arc<AtomicBool>) {
        let silence = Arc::<AtomicBool>::default();
        let handles = (0..n).map(|core| {
            let (answering, silence) = (handle(core, Asked::default()), Arc::clone(&silence));
            CoreHandle::new(move |command| {
                !silence.load(Ordering::Relaxed) && answering.send(command)
            })
        });
        let cores = Cores::default();
        cores.started(handles.collect());
        (cores, silence)
    }

    /// The one tunnel of a core.
    fn row(core: usize) -> ConnRow {
        let addr = std::net::SocketAddr::from(([192, 0, 2, 1], 80));
        ConnRow {
            id: ConnId::new(core as u32, 0, 0),
            domain: "a.test".into(),
            client: addr,
            region: "unknown".into(),
            isp: "unknown".into(),
            origin: addr,
            tls: [None, None],
            age_ms: 0,
            idle_ms: 0,
            figures: Default::default(),
            state: "open",
            legs: [LEG; 2],
        }
    }

    const LEG: LegRow =
        LegRow { idle_ms: 0, last_frame: None, close: CloseState::None, stream: StreamState::Open };

    fn handle(core: usize, asked: Asked) -> CoreHandle {
        CoreHandle::new(move |command| {
            let text = match command {
                Command::List { reply, .. } => {
                    reply(Listed { rows: vec![row(core)], matched: 1 });
                    "list".to_owned()
                }
                Command::Closing { number, ask, reply } => {
                    reply(1);
                    format!("closing {number} {ask:?}")
                }
                Command::Close { filter, cause, code, pace, reply, .. } => {
                    reply(1);
                    let domain = filter.domain.as_deref().unwrap_or("-");
                    let origin = filter.origin.map_or("-".to_owned(), |o| o.to_string());
                    let pace = pace.map_or("-".to_owned(), |pace| {
                        let saved = pace.saved_e6 as f64 / 1e6;
                        format!("{}/s from {saved}", pace.per_second_e6 as f64 / 1e6)
                    });
                    format!("close {domain} {origin} {} {code} {pace}", cause.name())
                }
                Command::SnapshotChanged => "snapshot".to_owned(),
                Command::Drain { reply, code, .. } => {
                    reply(());
                    format!("drain {code}")
                }
                Command::Stop => "stop".to_owned(),
            };
            asked.lock().unwrap().push(format!("{core}: {text}"));
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ConnId;

    #[test]
    fn a_rate_is_shared_out_by_what_there_is_to_close() {
        let e6 = |x: f64| (x * 1e6) as u64;
        let (five, none) = (Some(5), Some(0));
        let third = 1.0 / 3.0;
        for (rate, counted, shares) in [
            // One that had none when it was asked must not wait for ever with what came since.
            (
                10,
                &[Some(30), none, Some(10)][..],
                &[(7.5, 1.0), (10.0 * third, 2.0 * third), (2.5, 0.25)][..],
            ),
            // Less than one per second and core: the cores take turns.
            (1, &[five; 4], &[(0.25, 1.0), (0.25, 0.75), (0.25, 0.5), (0.25, 0.25)]),
            (7, &[none, none], &[(3.5, 1.0), (3.5, 0.5)]),
            // One that did not answer.
            (6, &[Some(4), None, Some(4)], &[(2.0, 1.0), (2.0, 2.0 * third), (2.0, third)]),
        ] {
            let shares: Vec<Pace> = shares
                .iter()
                .map(|&(rate, saved)| Pace { per_second_e6: e6(rate), saved_e6: e6(saved) })
                .collect();
            let near = |a: u64, b: u64| a.abs_diff(b) <= 1;
            for (seen, wanted) in paces(rate, counted).iter().zip(&shares) {
                let same = near(seen.per_second_e6, wanted.per_second_e6);
                assert!(same && near(seen.saved_e6, wanted.saved_e6), "{counted:?}: {seen:?}");
            }
        }
    }

    fn closing(filter: Filter, per_second: u32) -> Closing {
        let reason = "".into();
        Closing { filter, cause: Cause::Killed, code: 1012, reason, per_second: Some(per_second) }
    }

    #[tokio::test]
    async fn an_id_is_asked_of_its_own_core_only() {
        let (cores, asked) = fake::cores(3);
        let of = |core| Filter { id: Some(ConnId::new(core, 0, 0)), ..Filter::default() };
        assert_eq!(cores.close(&closing(of(1), 5)).await.matched, 1);
        assert_eq!(*asked.lock().unwrap(), ["1: list", "1: close - - killed 1012 5/s from 1"]);
        assert_eq!(cores.close(&closing(of(9), 5)).await.matched, 0);
    }

    #[tokio::test]
    async fn a_rate_below_the_number_of_cores_is_kept() {
        let (cores, asked) = fake::cores(4);
        let begun = cores.close(&closing(Filter::default(), 2)).await;
        assert_eq!(begun.matched, 4);
        let closes = asked.lock().unwrap().split_off(4);
        let starts = [1.0, 0.75, 0.5, 0.25];
        let expected = starts.iter().enumerate();
        let expected: Vec<_> = expected
            .map(|(core, saved)| format!("{core}: close - - killed 1012 0.5/s from {saved}"))
            .collect();
        assert_eq!(closes, expected);
        let left = cores.closing(begun.number, Progress::Stop).await;
        assert_eq!(left, Left { tunnels: 4, silent: 0 });
        let said = asked.lock().unwrap().last().cloned();
        assert_eq!(said.unwrap(), format!("3: closing {} Stop", begun.number));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_core_is_left_out_and_said() {
        let cores = Cores::default();
        let kept = std::sync::Mutex::new(Vec::new());
        cores.started(vec![
            CoreHandle::new(move |command| {
                kept.lock().unwrap().push(command);
                true
            }),
            CoreHandle::new(|_| false),
        ]);
        assert_eq!(cores.list(&Filter::default(), None, 10).await.silent, 2);
        assert_eq!(cores.closing(0, Progress::Look).await, Left { tunnels: 0, silent: 2 });
        assert!(!cores.alive().await);
    }
}
