//! Asking every core at once: sends commands to their mailboxes and gathers the answers.
//!
//! Not here: the mailboxes themselves (`worker`), and what people see of the answers
//! (`control_socket`).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use crate::limits::LISTED_CONNECTIONS_MAX;
use crate::snapshot::{Command, ConnRow, CoreHandle, Filter};
use crate::stats::{Cause, ConnId};

/// A core that has not answered a question for this long is left out of the answer. Answers take
/// microseconds; a core that needs longer is stuck, and whoever asks should learn the rest.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Handles to all cores. Clones are handles to the same set, empty until [`Cores::started`].
#[derive(Debug, Clone, Default)]
pub struct Cores(Arc<OnceLock<Box<[CoreHandle]>>>);

/// Rows of all cores.
#[derive(Debug, Default)]
pub struct Listing {
    pub rows: Vec<ConnRow>,
    /// There were more than the limit.
    pub truncated: bool,
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

impl Cores {
    /// To be called once, when the workers run.
    pub fn started(&self, handles: Vec<CoreHandle>) {
        let fresh = self.0.set(handles.into());
        debug_assert!(fresh.is_ok(), "workers are started once");
    }

    pub fn len(&self) -> usize {
        self.handles().len()
    }

    pub fn is_empty(&self) -> bool {
        self.handles().is_empty()
    }

    pub async fn list(&self, filter: &Filter, limit: usize) -> Listing {
        let answers = self
            .ask(filter, ANSWER_WAIT, |_, reply| Command::List {
                filter: filter.clone(),
                limit,
                reply: Box::new(move |answer| answered(reply, answer)),
            })
            .await;
        let mut all = Listing::default();
        for answer in answers {
            let Some((rows, more)) = answer else {
                all.silent += 1;
                continue;
            };
            all.truncated |= more;
            all.rows.extend(rows);
        }
        all.truncated |= all.rows.len() > limit;
        all.rows.truncate(limit);
        all
    }

    /// How many tunnels are being closed.
    pub async fn close(&self, closing: &Closing) -> usize {
        match closing.per_second {
            // Each core closes at least one per second, which would be too many.
            Some(rate) if (rate as usize) < self.asked(&closing.filter).len() => {
                self.close_one_by_one(closing, rate).await
            }
            _ => self.close_on_all(closing).await,
        }
    }

    async fn close_one_by_one(&self, closing: &Closing, rate: u32) -> usize {
        let listing = self.list(&closing.filter, LISTED_CONNECTIONS_MAX).await;
        let (cores, closing) = (self.clone(), closing.clone());
        let ids: Vec<ConnId> = listing.rows.iter().map(|row| row.id).collect();
        let n = ids.len();
        tokio::spawn(async move {
            let mut pace = interval(Duration::from_secs(1) / rate.max(1));
            for id in ids {
                pace.tick().await;
                let filter = Filter { id: Some(id), ..closing.filter.clone() };
                cores.close_on_all(&Closing { filter, per_second: None, ..closing.clone() }).await;
            }
        });
        n
    }

    async fn close_on_all(&self, closing: &Closing) -> usize {
        let asked = self.asked(&closing.filter).len();
        let answers = self
            .ask(&closing.filter, ANSWER_WAIT, |i, reply| Command::Close {
                filter: closing.filter.clone(),
                cause: closing.cause,
                code: closing.code,
                reason: closing.reason.clone(),
                per_second: closing.per_second.map(|rate| share(rate, asked, i)),
                reply: Box::new(move |n| answered(reply, n)),
            })
            .await;
        answers.into_iter().flatten().sum()
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
        self.list(&Filter::default(), 0).await.silent == 0
    }

    pub fn stop(&self) {
        for core in self.handles() {
            core.send(Command::Stop);
        }
    }

    fn handles(&self) -> &[CoreHandle] {
        self.0.get().map_or(&[], |handles| handles)
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

/// Part of `rate` for the `i`-th of `n` cores.
fn share(rate: u32, n: usize, i: usize) -> u32 {
    let n = n.max(1) as u32;
    (rate / n + u32::from((i as u32) < rate % n)).max(1)
}

#[cfg(test)]
pub mod fake {
    //! Cores that answer at once and remember what they were asked.

    use std::sync::Mutex;

    use super::*;

    pub type Asked = Arc<Mutex<Vec<String>>>;

    /// `n` cores; the commands they got, as text.
    pub fn cores(n: usize) -> (Cores, Asked) {
        let asked = Asked::default();
        let handles = (0..n).map(|core| handle(core, Arc::clone(&asked))).collect();
        let cores = Cores::default();
        cores.started(handles);
        (cores, asked)
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
        }
    }

    fn handle(core: usize, asked: Asked) -> CoreHandle {
        CoreHandle::new(move |command| {
            let text = match command {
                Command::List { reply, .. } => {
                    reply((vec![row(core)], false));
                    "list".to_owned()
                }
                Command::Close { filter, cause, code, per_second, reply, .. } => {
                    reply(1);
                    let domain = filter.domain.as_deref().unwrap_or("-");
                    let origin = filter.origin.map_or("-".to_owned(), |o| o.to_string());
                    let rate = per_second.map_or("-".to_owned(), |r| r.to_string());
                    format!("close {domain} {origin} {} {code} {rate}/s", cause.name())
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

    #[test]
    fn a_rate_is_shared_out_whole() {
        for (rate, n, shares) in [(10, 4, vec![3, 3, 2, 2]), (4, 4, vec![1; 4])] {
            assert_eq!((0..n).map(|i| share(rate, n, i)).collect::<Vec<_>>(), shares, "{rate}/{n}");
        }
    }

    #[tokio::test]
    async fn an_id_is_asked_of_its_own_core_only() {
        let (cores, asked) = fake::cores(3);
        let filter = Filter { id: Some(ConnId::new(1, 0, 0)), ..Filter::default() };
        let closing = Closing {
            filter,
            cause: Cause::Killed,
            code: 1012,
            reason: "".into(),
            per_second: Some(5),
        };
        assert_eq!(cores.close(&closing).await, 1);
        assert_eq!(*asked.lock().unwrap(), ["1: close - - killed 1012 5/s"]);
        let filter = Filter { id: Some(ConnId::new(9, 0, 0)), ..Filter::default() };
        assert_eq!(cores.close(&Closing { filter, ..closing }).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_the_number_of_cores_is_kept() {
        let (cores, asked) = fake::cores(4);
        let closing = Closing {
            filter: Filter::default(),
            cause: Cause::Killed,
            code: 1012,
            reason: "".into(),
            per_second: Some(2),
        };
        assert_eq!(cores.close(&closing).await, 4);
        asked.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let closes = asked.lock().unwrap().clone();
        assert_eq!(closes.len(), 3, "at once, after 0.5 s and after 1 s: {closes:?}");
        assert!(closes[2].starts_with("2: close"), "{closes:?}");
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
        assert_eq!(cores.list(&Filter::default(), 10).await.silent, 2);
        assert!(!cores.alive().await);
    }
}
