//! Certificates that the edge orders by itself (RFC 8555), for domains with `certificate = "acme"`:
//! one task for the whole node that finds what is missing or due, orders it, stores it, and has it
//! published. The old pair is served until a new one is there.
//!
//! Not here: reading pairs and giving them to the cores (`certs`, `publish`); answering the CA's
//! questions on a connection (`worker`).

pub mod answer;
pub mod ca;
pub mod order;
pub mod schedule;
pub mod store;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::task::{Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use answer::{Answer, Board};
use order::{Accounts, Failure, Issued};
use schedule::{Schedule, renewal};
use store::{Orders, Store};

use super::certs::Challenges;
use super::certs::pair::{Facts, Pair, Place, Wrong};
use super::certs::store::PairStore;
use super::config::tls::Acme;
use super::edge::{Edge, Phase};
use crate::limits::{ACME_ORDERS_MAX, TICK};

/// The longest sleep: the clock on the wall may be set, and a machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// Cores tell once per tick which snapshot they use; one that is silent for longer is stuck.
const CORES_WAIT: Duration = TICK.saturating_mul(10);
const CORES_ASK: Duration = Duration::from_millis(20);

/// Orders for as long as the process takes connections: a successor does so after it.
pub async fn run(edge: Arc<Edge>, state_dir: &Path) {
    let store = Store::of(state_dir);
    let known = store.orders().unwrap_or_else(|error| {
        warn!(%error, "how orders went before is not known");
        Orders::default()
    });
    let task = Task {
        reloads: edge.publisher.reloads.succeeded.load(Ordering::Relaxed),
        accounts: Arc::new(Accounts::new(store.clone())),
        pairs: PairStore::issued(state_dir),
        edge,
        store,
        known,
        directory: Box::default(),
        schedule: Schedule::default(),
        under_way: JoinSet::new(),
        names: HashMap::new(),
    };
    task.run().await;
}

struct Task {
    edge: Arc<Edge>,
    store: Store,
    pairs: PairStore,
    accounts: Arc<Accounts>,
    schedule: Schedule,
    /// As it is on disk.
    known: Orders,
    /// The one that is configured now.
    directory: Box<str>,
    under_way: JoinSet<Result<Obtained, Failure>>,
    names: HashMap<Id, Arc<str>>,
    /// As many as there were at the last look.
    reloads: u64,
}

/// A pair that is stored.
struct Obtained {
    renewal: SystemTime,
    not_after: SystemTime,
    directory: Box<str>,
}

/// What the main loop woke up for.
enum Event {
    Changed,
    Due,
    Ended(Result<(Id, Result<Obtained, Failure>), JoinError>),
    Leaving,
}

impl Task {
    async fn run(mut self) {
        let mut published = self.edge.publisher.published();
        let mut phase = self.edge.phase.subscribe();
        loop {
            let (settings, names) = self.edge.publisher.acme_wanted().await;
            self.look(&settings, &names).await;
            self.start_due(&settings);
            let pause = self.schedule.next().map_or(LOOK_AGAIN, until);
            let event = tokio::select! {
                _ = published.changed() => Event::Changed,
                () = sleep(pause.min(LOOK_AGAIN)), if self.has_room() => Event::Due,
                Some(ended) = self.under_way.join_next_with_id() => Event::Ended(ended),
                _ = phase.wait_for(|phase| *phase == Phase::Draining) => Event::Leaving,
            };
            match event {
                Event::Changed | Event::Due => {}
                Event::Ended(ended) => self.ended(ended).await,
                Event::Leaving => return,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < ACME_ORDERS_MAX
    }

    /// Takes in what the configuration says now, and reads the pairs that are not known yet.
    async fn look(&mut self, settings: &Acme, names: &[Arc<str>]) {
        self.directory = settings.directory.clone();
        let reloads = self.edge.publisher.reloads.succeeded.load(Ordering::Relaxed);
        if reloads != self.reloads {
            self.reloads = reloads;
            // An operator who repaired something reloads; waiting out the pause helps nobody.
            self.schedule.begin_anew();
            self.known.failed.clear();
        }
        let new = self.schedule.unknown(names);
        let (pairs, directory) = (self.pairs.clone(), settings.directory.clone());
        let issued_by = self.known.issued_by.clone();
        let renewals = spawn_blocking(move || {
            let one = |name: Arc<str>| {
                let elsewhere = issued_by.get(&name).is_some_and(|from| *from != directory);
                let due = if elsewhere { None } else { stored(&pairs, &name) };
                (name, due.unwrap_or(SystemTime::UNIX_EPOCH))
            };
            new.into_iter().map(one).collect::<BTreeMap<_, _>>()
        });
        let renewals = renewals.await.unwrap_or_default();
        self.schedule.want(names, &renewals, &self.known.failed);
    }

    fn start_due(&mut self, settings: &Acme) {
        let room = ACME_ORDERS_MAX.saturating_sub(self.under_way.len());
        for name in self.schedule.take_due(SystemTime::now(), room) {
            info!(domain = %name, directory = %settings.directory, "ordering a certificate");
            let obtaining = obtain(
                Arc::clone(&self.edge),
                Arc::clone(&self.accounts),
                self.pairs.clone(),
                settings.clone(),
                Arc::clone(&name),
            );
            let started = self.under_way.spawn(obtaining);
            self.names.insert(started.id(), name);
        }
    }

    async fn ended(&mut self, ended: Result<(Id, Result<Obtained, Failure>), JoinError>) {
        let (id, result) = ended.unwrap_or_else(|panic| {
            let words = format!("the order failed inside the edge: {panic}");
            (panic.id(), Err(Failure { words, retry_after: None }))
        });
        let Some(name) = self.names.remove(&id) else { return };
        match result {
            Ok(obtained) => {
                // A file of somebody else may be in the way; the next reload takes it over then.
                if let Err(error) = self.edge.publisher.reread_issued().await {
                    error!(domain = %name, %error, "the new certificate is stored and not in use");
                }
                let not_after = jiff::Timestamp::try_from(obtained.not_after).ok();
                let not_after = not_after.map(|time| time.to_string()).unwrap_or_default();
                info!(domain = %name, not_after, "new certificate");
                // The operator chose another directory in the meantime: once more, from there.
                let elsewhere = obtained.directory != self.directory;
                let renewal = if elsewhere { SystemTime::UNIX_EPOCH } else { obtained.renewal };
                self.schedule.succeeded(&name, renewal);
                self.known.issued_by.insert(Arc::clone(&name), obtained.directory);
            }
            Err(failure) => {
                let (now, chance) = (SystemTime::now(), rand::random());
                let words = &*failure.words;
                let pause = self.schedule.failed(&name, words, now, failure.retry_after, chance);
                let next_attempt_in = Duration::from_secs(pause.as_secs());
                error!(
                    domain = %name, error = words, ?next_attempt_in,
                    "no new certificate; what is in use stays, and `hawser reload` tries at once"
                );
            }
        }
        self.known.failed = self.schedule.attempts();
        let (store, known) = (self.store.clone(), self.known.clone());
        let kept = spawn_blocking(move || store.keep_orders(&known)).await;
        if let Ok(Err(error)) = kept {
            warn!(%error, "a restart will not know how orders went");
        }
    }
}

/// From the first question to the pair on disk.
async fn obtain(
    edge: Arc<Edge>,
    accounts: Arc<Accounts>,
    pairs: PairStore,
    settings: Acme,
    name: Arc<str>,
) -> Result<Obtained, Failure> {
    let issued = accounts.order(&settings, &name, &AllCores(edge)).await?;
    let storing = spawn_blocking(move || keep(&pairs, &name, &issued));
    let stored = storing.await.unwrap_or_else(|panic| Err(panic.to_string()));
    let (not_after, renewal) = stored.map_err(|words| Failure { words, retry_after: None })?;
    Ok(Obtained { renewal, not_after, directory: settings.directory })
}

struct AllCores(Arc<Edge>);

impl Board for AllCores {
    async fn put_up(&self, answer: Answer) -> Result<(), String> {
        let publisher = &self.0.publisher;
        let generation = publisher
            .challenge(|up| match answer {
                Answer::Http01 { token, key_authorization } => {
                    up.http.insert(token, key_authorization);
                }
                Answer::TlsAlpn01 { name, config } => {
                    up.tls_alpn.insert(name, config);
                }
            })
            .await;
        let cores = self.0.stats.cores();
        let behind = || cores.iter().any(|c| c.core.snapshot_generation.value() < generation);
        let waiting = async {
            while behind() {
                sleep(CORES_ASK).await;
            }
        };
        let waited = timeout(CORES_WAIT, waiting).await;
        waited.map_err(|_| "a core of this edge does not take over the answer".to_owned())
    }

    async fn take_down(&self, answers: Vec<Answer>) {
        let take = |up: &mut Challenges| {
            for answer in answers {
                match answer {
                    Answer::Http01 { token, .. } => drop(up.http.remove(&token)),
                    Answer::TlsAlpn01 { name, .. } => drop(up.tls_alpn.remove(&name)),
                }
            }
        };
        self.0.publisher.challenge(take).await;
    }
}

/// When the stored pair of a domain is due; `None`: there is none that can be used.
fn stored(pairs: &PairStore, name: &str) -> Option<SystemTime> {
    let paths = match pairs.find(name) {
        Ok(paths) => paths?,
        Err(error) => {
            warn!(domain = name, %error, "the issued pair is ordered anew");
            return None;
        }
    };
    let place = Place {
        certificate: paths.certificate,
        key: Some(paths.key),
        ocsp: None,
        named_by: format!("issued pair of {name}"),
    };
    match Pair::load(&place, |_| None) {
        Ok(pair) => Some(due(name, &pair.facts)),
        Err(problem) => {
            warn!(domain = name, %problem, "the issued pair is ordered anew");
            None
        }
    }
}

/// Looks at what the CA gave as a client would, and keeps it; tells its end and when it is due.
fn keep(
    pairs: &PairStore,
    name: &str,
    issued: &Issued,
) -> Result<(SystemTime, SystemTime), String> {
    let (chain, key) = (issued.chain.as_bytes(), issued.key.as_bytes());
    let pair = Pair::of_texts(chain, key, |_| None).map_err(|wrong| {
        let (Wrong::Chain((what, _)) | Wrong::Key((what, _))) = wrong;
        format!("the CA's certificate cannot be used: {what}")
    })?;
    let facts = &pair.facts;
    if let Some((what, _)) = facts.wrong_for(Some(name), jiff::Timestamp::now()) {
        return Err(format!("the CA's certificate cannot be used: {what}"));
    }
    let (not_after, due) = (wall(facts.not_after), due(name, facts));
    if due <= SystemTime::now() {
        return Err("the CA's certificate is due already: is the clock of this host right?".into());
    }
    pairs.write(name, chain, key).map_err(|error| error.to_string())?;
    Ok((not_after, due))
}

fn due(name: &str, facts: &Facts) -> SystemTime {
    // The same chance for one certificate in every process.
    let mut hasher = DefaultHasher::new();
    (name, facts.not_after).hash(&mut hasher);
    let chance = hasher.finish() as f64 / u64::MAX as f64;
    renewal(wall(facts.not_before), wall(facts.not_after), chance)
}

fn wall(unix: i64) -> SystemTime {
    let since = Duration::from_secs(u64::try_from(unix).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn until(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn issued(name: &str, from: SystemTime, to: SystemTime) -> Issued {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (from.into(), to.into());
        let key = KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Issued { chain, key: key.serialize_pem().into() }
    }

    #[test]
    fn a_pair_is_kept_and_found_with_the_same_due_time() {
        let dir = tempfile::tempdir().unwrap();
        let pairs = PairStore::issued(dir.path());
        assert_eq!(stored(&pairs, "a.test"), None);
        let now = SystemTime::now();
        let new = issued("a.test", now - DAY, now + 89 * DAY);
        let (not_after, due) = keep(&pairs, "a.test", &new).unwrap();
        assert!(due > now + 50 * DAY && due < now + 60 * DAY && not_after > now + 88 * DAY);
        assert_eq!(stored(&pairs, "a.test"), Some(due), "for the next process as well");
        // Damaged: as if there were none.
        let paths = pairs.find("a.test").unwrap().unwrap();
        std::fs::write(paths.key, "-----BEGIN").unwrap();
        assert_eq!(stored(&pairs, "a.test"), None);
    }

    #[test]
    fn what_clients_would_not_take_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let pairs = PairStore::issued(dir.path());
        let now = SystemTime::now();
        let good = issued("a.test", now - DAY, now + DAY);
        let other = issued("a.test", now - DAY, now + 2 * DAY);
        let cases = [
            (issued("b.test", now - DAY, now + 9 * DAY), "a.test"),
            (issued("a.test", now - 9 * DAY, now - DAY), "expired"),
            (issued("a.test", now + DAY, now + 9 * DAY), "valid only from"),
            (issued("a.test", now - 9 * DAY, now + DAY), "clock"),
            (Issued { chain: good.chain.clone(), key: other.key }, "key"),
            (Issued { chain: "<html>".into(), key: good.key }, "certificate"),
        ];
        for (wrong, word) in cases {
            let said = keep(&pairs, "a.test", &wrong).unwrap_err();
            assert!(said.contains(word) && said.contains("the CA's certificate"), "{said}");
            assert_eq!(pairs.find("a.test").unwrap(), None);
        }
    }
}
