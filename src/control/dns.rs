//! Origin names: asked at start, asked again by their TTL, the last good answer kept for as long as
//! it takes.
//!
//! Cores never wait for a name: they see addresses in the snapshot. Not here: building that
//! snapshot (`publish`).

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::limits::{ADDRESSES_PER_ORIGIN_MAX, DNS_TTL_MAX, DNS_TTL_MIN};

/// Questions under way at once; bounds what a node with thousands of names does to its resolver.
const QUESTIONS_MAX: usize = 64;
/// A question without an answer after this long has failed.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// A name that cannot be resolved is asked again after [`DNS_TTL_MIN`], then less and less often up
/// to this.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What a name stands for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub addresses: Vec<IpAddr>,
    pub ttl: Duration,
}

/// Who answers questions; a trait so that tests can.
pub trait Lookup: Send + Sync + 'static {
    fn lookup(&self, name: &str) -> impl Future<Output = Result<Answer, String>> + Send;

    /// Reads anew what the answers depend on, such as the hosts file.
    fn refresh(&self) {}
}

/// All names of the configuration, with their last good answers.
#[derive(Debug)]
pub struct Names<L> {
    lookup: Arc<L>,
    entries: Mutex<HashMap<Arc<str>, Entry>>,
    /// Something became due earlier than whoever sleeps knows.
    due: Notify,
}

#[derive(Debug)]
struct Entry {
    /// Empty while there never was an answer. Sorted, so that a resolver's rotation is not a
    /// change.
    addresses: Arc<[IpAddr]>,
    due: Instant,
    failures: u32,
}

impl<L: Lookup> Names<L> {
    pub fn new(lookup: L) -> Names<L> {
        Names { lookup: Arc::new(lookup), entries: Mutex::default(), due: Notify::new() }
    }

    /// Makes `names` the ones that are asked for. Waits for the answers of those that are new, but
    /// no longer than `wait`; what comes later is found by [`Names::changed`].
    pub async fn want(&self, names: &HashSet<Arc<str>>, wait: Duration) {
        let now = Instant::now();
        let new: Vec<Arc<str>> = {
            let mut entries = self.lock();
            entries.retain(|name, _| names.contains(name));
            let new: Vec<_> = names.iter().filter(|n| !entries.contains_key(*n)).cloned().collect();
            for name in &new {
                let entry = Entry { addresses: Arc::new([]), due: now, failures: 0 };
                entries.insert(Arc::clone(name), entry);
            }
            new
        };
        if !new.is_empty() {
            self.ask(new, now + wait).await;
            self.due.notify_one();
        }
    }

    /// Asks every name anew soon, with the hosts file and resolver settings of today.
    pub fn refresh(&self) {
        self.lookup.refresh();
        let now = Instant::now();
        for entry in self.lock().values_mut() {
            entry.due = now;
        }
        self.due.notify_one();
    }

    /// Empty when `name` was never resolved, or is not wanted.
    pub fn addresses(&self, name: &str) -> Arc<[IpAddr]> {
        let entries = self.lock();
        entries.get(name).map(|entry| Arc::clone(&entry.addresses)).unwrap_or_default()
    }

    /// Asks again whatever is due; returns when an answer differs from the one before. Call it for
    /// ever.
    pub async fn changed(&self) {
        loop {
            let next = self.lock().values().map(|entry| entry.due).min();
            match next {
                None => self.due.notified().await,
                Some(due) if due > Instant::now() => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.due.notified() => {}
                    }
                }
                Some(_) => {
                    let now = Instant::now();
                    let due: Vec<Arc<str>> = self
                        .lock()
                        .iter()
                        .filter(|(_, entry)| entry.due <= now)
                        .map(|(name, _)| Arc::clone(name))
                        .collect();
                    if self.ask(due, now + QUESTION_TIMEOUT).await {
                        return;
                    }
                }
            }
        }
    }

    /// True when an answer changed. Names without an answer at the deadline stay due soon.
    async fn ask(&self, names: Vec<Arc<str>>, deadline: Instant) -> bool {
        let mut changed = false;
        let mut questions = JoinSet::new();
        let mut left = names.into_iter();
        loop {
            while questions.len() < QUESTIONS_MAX
                && let Some(name) = left.next()
            {
                let lookup = Arc::clone(&self.lookup);
                questions.spawn(async move {
                    let answer = timeout_at(deadline, lookup.lookup(&name)).await;
                    (name, answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
                });
            }
            match questions.join_next().await {
                None => return changed,
                Some(Ok((name, answer))) => changed |= self.note(&name, answer),
                Some(Err(panic)) => warn!(%panic, "a name lookup failed"),
            }
        }
    }

    fn note(&self, name: &Arc<str>, answer: Result<Answer, String>) -> bool {
        let now = Instant::now();
        let mut entries = self.lock();
        // Gone: a reload dropped the name meanwhile.
        let Some(entry) = entries.get_mut(name) else { return false };
        match answer.and_then(usable) {
            Ok(answer) => {
                entry.due = now + answer.ttl.clamp(DNS_TTL_MIN, DNS_TTL_MAX);
                if std::mem::take(&mut entry.failures) > 0 {
                    info!(%name, "origin name resolves again");
                }
                if *entry.addresses == *answer.addresses {
                    return false;
                }
                info!(%name, addresses = ?answer.addresses, "origin name resolved");
                entry.addresses = answer.addresses.into();
                true
            }
            Err(error) => {
                if entry.failures == 0 {
                    let kept = entry.addresses.len();
                    warn!(%name, %error, kept, "an origin name does not resolve");
                }
                let doublings = entry.failures.min(8);
                entry.due = now + (DNS_TTL_MIN * (1 << doublings)).min(RETRY_MAX);
                entry.failures = entry.failures.saturating_add(1);
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn usable(mut answer: Answer) -> Result<Answer, String> {
    answer.addresses.sort_unstable();
    answer.addresses.dedup();
    answer.addresses.truncate(ADDRESSES_PER_ORIGIN_MAX);
    if answer.addresses.is_empty() { Err("no address".to_owned()) } else { Ok(answer) }
}

/// The resolver of the machine: /etc/hosts, then the servers of /etc/resolv.conf, or `servers`
/// instead of those.
pub struct SystemResolver {
    servers: Box<[SocketAddr]>,
    resolver: Mutex<TokioResolver>,
}

impl SystemResolver {
    /// To be called on the runtime that the lookups will run on.
    ///
    /// # Errors
    /// When /etc/resolv.conf cannot be understood.
    pub fn new(servers: &[SocketAddr]) -> Result<SystemResolver, String> {
        let resolver = Mutex::new(resolver(servers)?);
        Ok(SystemResolver { servers: servers.into(), resolver })
    }

    fn current(&self) -> MutexGuard<'_, TokioResolver> {
        self.resolver.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let read = |error| format!("cannot set up name resolution: {error}");
    let mut builder = if servers.is_empty() {
        match TokioResolver::builder_tokio() {
            Ok(builder) => builder,
            // A container may have no resolv.conf, and a node may use addresses and /etc/hosts
            // only.
            Err(error) => {
                warn!(%error, "no usable /etc/resolv.conf: only /etc/hosts answers for names");
                let none = ResolverConfig::from_name_servers(Vec::new());
                TokioResolver::builder_with_config(none, TokioRuntimeProvider::default())
            }
        }
    } else {
        let servers = servers.iter().map(|addr| {
            let mut server = NameServerConfig::udp_and_tcp(addr.ip());
            for connection in &mut server.connections {
                connection.port = addr.port();
            }
            server
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // `Names` keeps the answers; a second cache would only hide changes.
    options.cache_size = 0;
    builder.build().map_err(read)
}

impl Lookup for SystemResolver {
    async fn lookup(&self, name: &str) -> Result<Answer, String> {
        // RFC 6761 6.3: localhost names are loopback, whatever a server says.
        if name == "localhost" || name.ends_with(".localhost") {
            let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Answer { addresses, ttl: DNS_TTL_MAX });
        }
        let resolver = self.current().clone();
        let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
        let ttl = found.valid_until().saturating_duration_since(std::time::Instant::now());
        Ok(Answer { addresses: found.iter().collect(), ttl })
    }

    fn refresh(&self) {
        match resolver(&self.servers) {
            Ok(fresh) => *self.current() = fresh,
            Err(error) => warn!(%error, "keeping the resolver settings of before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Answers from a script; waits for ever when it is at its end.
    #[derive(Default)]
    struct Script(Mutex<VecDeque<Result<Answer, String>>>);

    impl Lookup for Script {
        async fn lookup(&self, _name: &str) -> Result<Answer, String> {
            let next = self.0.lock().unwrap().pop_front();
            match next {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    fn answer(addresses: &[&str], ttl: u64) -> Result<Answer, String> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Answer { addresses, ttl: Duration::from_secs(ttl) })
    }

    fn names(script: Vec<Result<Answer, String>>) -> (Names<Script>, HashSet<Arc<str>>) {
        (Names::new(Script(Mutex::new(script.into()))), HashSet::from(["o.test".into()]))
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_is_kept_through_failures() {
        let script = vec![
            answer(&["192.0.2.2", "192.0.2.1"], 10),
            Err("SERVFAIL".to_owned()),
            answer(&["192.0.2.1", "192.0.2.2"], 10),
            answer(&["192.0.2.9"], 10),
        ];
        let (names, wanted) = names(script);
        names.want(&wanted, Duration::from_secs(3)).await;
        let first = names.addresses("o.test");
        assert_eq!(*first, ["192.0.2.1", "192.0.2.2"].map(|a| a.parse::<IpAddr>().unwrap()));

        let start = Instant::now();
        names.changed().await;
        // TTL 10 s, failure and 5 s, the same in another order and 10 s, then the change.
        assert_eq!(start.elapsed().as_secs(), 25);
        assert_eq!(*names.addresses("o.test"), ["192.0.2.9".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_bounded_and_unknown_names_are_dropped() {
        let (names, wanted) = names(vec![]);
        let start = Instant::now();
        names.want(&wanted, Duration::from_secs(3)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(names.addresses("o.test").is_empty());
        names.want(&HashSet::new(), Duration::ZERO).await;
        assert!(names.lock().is_empty());
    }

    #[tokio::test]
    async fn localhost_is_loopback() {
        let resolver = SystemResolver::new(&["127.0.0.1:1".parse().unwrap()]).unwrap();
        let answer = resolver.lookup("a.localhost").await.unwrap();
        assert!(answer.addresses.iter().all(IpAddr::is_loopback));
    }
}
