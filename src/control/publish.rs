//! From a checked configuration to the snapshot that cores read: builds it, publishes it, tells the
//! cores.
//!
//! A reload loads and checks first; whatever is wrong changes nothing. Not here: files and their
//! check (`config`), asking for names (`dns`), when to reload (`lifecycle`, `control_socket`).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::{error, info, warn};

use super::billing::BillingError;
use super::billing::gate::Gate;
use super::certs::keyring::{Circumstances, Occasion};
use super::certs::{Challenges, Keyring, Reading, Served, expiry};
use super::config::tls::{Acme, Certificate};
use super::config::{
    Admin, DomainConfig, Loaded, OriginAddress, OriginConfig, Problems, ServerConfig, WouldBe,
};
use super::cores::{Closing, Cores};
use super::dns::{Lookup, Names};
use super::geo::Atlas;
use super::registry::{Full, Registry};
use crate::limits::FORMER_ENDPOINTS_MAX;
use crate::snapshot::{
    Domain, Endpoint, Filter, Hosts, Origin, OriginScheme, Snapshot, SnapshotCell, Transport,
};
use crate::stats::{Cause, Stats};

/// Wait for the names of the first snapshot, then for those that a reload brings: it must be live
/// within 1 s.
pub const FIRST_NAMES_WAIT: Duration = Duration::from_secs(3);
const NEW_NAMES_WAIT: Duration = Duration::from_millis(500);
/// RFC 6455 7.4.1 as extended by the IANA registry: 1012 service restart, the client may come
/// again.
const CLOSE_RESTART: u16 = 1012;

/// Reads and checks the configuration, with the texts of some domains in the place of their files;
/// called off the runtime's threads.
pub type Load = Arc<dyn Fn(&WouldBe) -> Result<Loaded, Rejected> + Send + Sync>;

/// Why a configuration was not taken. Nothing changed.
#[derive(Debug, Clone, Default, Serialize, thiserror::Error)]
#[error("{detail}")]
pub struct Rejected {
    /// For people: every problem, with its place.
    pub detail: String,
    /// The same for programs, one object each.
    pub problems: Vec<serde_json::Value>,
}

impl From<Problems> for Rejected {
    fn from(problems: Problems) -> Rejected {
        let list = serde_json::to_value(&problems).ok();
        let list = list.and_then(|value| value.as_array().cloned()).unwrap_or_default();
        Rejected { detail: problems.to_string(), problems: list }
    }
}

/// A configuration was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub generation: u64,
    pub hash: Box<str>,
    pub domains: usize,
    pub added: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
    /// Settings that differ from the running ones and need a restart; the running ones stay.
    pub restart_needed: Vec<Box<str>>,
}

/// How often reloads went well and did not.
#[derive(Debug, Default)]
pub struct Reloads {
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
}

/// What a process starts with.
#[derive(Debug)]
pub struct First {
    pub loaded: Loaded,
    pub keyring: Keyring,
    pub atlas: Atlas,
    /// Whether clients come over TLS: `server.listen_tls`, or sockets of the service manager.
    pub listening: bool,
}

impl First {
    /// # Errors
    /// Every problem of the files that the configuration names.
    pub fn of(loaded: Loaded, listening: bool) -> Result<First, Problems> {
        let (occasion, now) = (Occasion::Start, Timestamp::now());
        let circumstances = Circumstances { occasion, now, listening };
        let keyring = Keyring::read(&loaded, &Keyring::default(), circumstances).accepted()?;
        let atlas = Atlas::read(&loaded.server.geo, &Atlas::default())?;
        Ok(First { loaded, keyring, atlas, listening })
    }
}

/// How the admin listener may be reached.
#[derive(Debug, Clone)]
pub struct Access {
    pub admin: Admin,
    /// `None`: it speaks plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// The only writer of the [`SnapshotCell`].
pub struct Publisher<L> {
    cell: SnapshotCell,
    stats: Arc<Stats>,
    cores: Cores,
    names: Names<L>,
    load: Load,
    gate: Gate,
    state: Mutex<State>,
    /// Held by whoever reads files for the next snapshot, which may take long; [`Publisher::state`]
    /// is held only to publish it, so that challenges, names and plans do not wait for a disk.
    reading: Mutex<()>,
    /// The last generation published.
    published: watch::Sender<u64>,
    served: RwLock<Arc<[Served]>>,
    configured: RwLock<Arc<Loaded>>,
    access: RwLock<Arc<Access>>,
    pub reloads: Arc<Reloads>,
}

struct State {
    /// What was started with, and so holds until the end for all that needs a restart.
    running: ServerConfig,
    loaded: Arc<Loaded>,
    /// As in [`First`].
    listening: bool,
    keyring: Arc<Keyring>,
    atlas: Atlas,
    challenges: Challenges,
    registry: Registry,
    generation: u64,
}

impl State {
    /// Those of a change to what runs.
    fn circumstances(&self) -> Circumstances {
        let (occasion, now) = (Occasion::Change, Timestamp::now());
        Circumstances { occasion, now, listening: self.listening }
    }
}

impl<L: Lookup> Publisher<L> {
    pub fn new(
        first: First,
        load: Load,
        names: Names<L>,
        stats: Arc<Stats>,
        cores: Cores,
        gate: Gate,
    ) -> Publisher<L> {
        let First { loaded, keyring, atlas, listening } = first;
        let access = Access { admin: loaded.server.admin.clone(), tls: keyring.admin() };
        let loaded = Arc::new(loaded);
        let configured = RwLock::new(Arc::clone(&loaded));
        let state = State {
            running: loaded.server.clone(),
            loaded,
            listening,
            keyring: Arc::new(keyring),
            atlas,
            challenges: Challenges::default(),
            registry: Registry::default(),
            generation: 0,
        };
        Publisher {
            cell: SnapshotCell::default(),
            stats,
            cores,
            names,
            load,
            gate,
            state: Mutex::new(state),
            reading: Mutex::default(),
            published: watch::Sender::new(0),
            served: RwLock::default(),
            configured,
            access: RwLock::new(Arc::new(access)),
            reloads: Arc::default(),
        }
    }

    /// Whether domains may have WebSocket.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    pub fn cell(&self) -> &SnapshotCell {
        &self.cell
    }

    pub fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Publishes the configuration that [`Publisher::new`] got. Names that do not answer within
    /// `wait` stay without endpoints until they do.
    pub async fn first(&self, wait: Duration) -> Result<(), Full> {
        let mut state = self.state.lock().await;
        self.names.want(&names_of(&state.loaded), wait).await;
        let (loaded, keyring) = (Arc::clone(&state.loaded), Arc::clone(&state.keyring));
        look(&self.gate).await;
        self.publish(&mut state, loaded, Arc::clone(&keyring))?;
        tell(&keyring);
        self.gate.tell(&state.loaded.domains);
        Ok(())
    }

    /// Loads, checks and publishes; or changes nothing and says why.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub async fn reload(&self) -> Result<Reloaded, Rejected> {
        let result = self.try_reload().await;
        match &result {
            Ok(Reloaded { generation, hash, added, removed, restart_needed, .. }) => {
                self.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
                info!(generation, %hash, ?added, ?removed, "configuration reloaded");
                for setting in restart_needed {
                    warn!(setting, "this setting changed but needs a restart; the old value stays");
                }
            }
            Err(rejected) => {
                self.reloads.failed.fetch_add(1, Ordering::Relaxed);
                error!(problems = %rejected, "reload refused; the configuration of before stays");
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<Reloaded, Rejected> {
        let _reading = self.reading.lock().await;
        let read = self.read(&*self.state.lock().await, WouldBe::new());
        let (loaded, keyring, atlas) = read.await?;
        self.names.want(&names_of(&loaded), NEW_NAMES_WAIT).await;
        look(&self.gate).await;
        let mut state = self.state.lock().await;
        let old = self.cell.current();
        let restart_needed = restart_needed(&state.running, &loaded.server);
        let atlas_before = std::mem::replace(&mut state.atlas, atlas);
        if let Err(full) = self.publish(&mut state, Arc::new(loaded), Arc::clone(&keyring)) {
            state.atlas = atlas_before;
            return Err(reject(full.to_string()));
        }
        tell(&keyring);
        self.gate.tell(&state.loaded.domains);
        // Answers of before stay in use until the new ones are here.
        self.names.refresh();
        let new = self.cell.current();
        Ok(Reloaded {
            generation: new.generation,
            hash: new.hash.clone(),
            domains: new.hosts.len(),
            added: missing_from(&old, &new),
            removed: missing_from(&new, &old),
            restart_needed,
        })
    }

    /// What [`Publisher::reload`] would say if domains had these texts. Changes nothing.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub async fn check(&self, would_be: WouldBe) -> Result<(), Rejected> {
        let read = self.read(&*self.state.lock().await, would_be);
        read.await.map(drop)
    }

    /// Gets a configuration, and reads its certificates and what it has of places: all wait for
    /// disks.
    fn read(
        &self,
        state: &State,
        would_be: WouldBe,
    ) -> impl Future<Output = Result<(Loaded, Arc<Keyring>, Atlas), Rejected>> + use<L> {
        let (before, atlas_before) = (Arc::clone(&state.keyring), state.atlas.clone());
        let (circumstances, load) = (state.circumstances(), Arc::clone(&self.load));
        let work = tokio::task::spawn_blocking(move || {
            let loaded = load(&would_be)?;
            let keyring = Keyring::read(&loaded, &before, circumstances).accepted()?;
            let atlas = Atlas::read(&loaded.server.geo, &atlas_before)?;
            Ok((loaded, Arc::new(keyring), atlas))
        });
        async move {
            work.await.map_err(|panic| {
                reject(format!("the check of the configuration failed: {panic}"))
            })?
        }
    }

    /// Follows the names, for ever: an answer that changed makes a new snapshot.
    pub async fn follow_names(&self) {
        loop {
            self.names.changed().await;
            self.republish(&mut *self.state.lock().await);
        }
    }

    /// Looks whether a plan has come into effect, and publishes what that changes. Returns whether
    /// it is news.
    ///
    /// # Errors
    /// The database cannot be read; nothing changed.
    pub async fn look_at_plans(&self) -> Result<bool, BillingError> {
        let gate = self.gate.clone();
        let looked = tokio::task::spawn_blocking(move || gate.look(Timestamp::now())).await;
        let news = looked.map_err(|panic| BillingError::Refused(panic.to_string()))??;
        if news {
            self.republish(&mut *self.state.lock().await);
        }
        Ok(news)
    }

    /// An endpoint went down: closes its tunnels where the domain says so.
    pub async fn endpoint_down(&self, addr: SocketAddr) {
        let snapshot = self.cell.current();
        let holds = |domain: &&Arc<Domain>| known_endpoints(domain).any(|e| e.addr == addr);
        let lost = snapshot.hosts.iter().filter(holds).filter_map(|domain| {
            Some(Lost {
                domain: Arc::clone(&domain.name),
                addr,
                rate: domain.close_on_origin_down?,
            })
        });
        close_lost(&self.cores, lost.collect(), "origin is down").await;
    }

    /// Until when the operator wants a drain to last.
    pub async fn drain_window(&self) -> Duration {
        self.state.lock().await.loaded.server.drain_window
    }

    /// Certificates in use, as of the last snapshot.
    pub fn served(&self) -> Arc<[Served]> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the last snapshot was made from.
    pub fn configured(&self) -> Arc<Loaded> {
        Arc::clone(&self.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the admin listener may be reached, as of the last snapshot.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The issuer of certificates, and the domains that want one from it.
    pub async fn acme_wanted(&self) -> (Acme, Vec<Arc<str>>) {
        let state = self.state.lock().await;
        let wants =
            |config: &&DomainConfig| config.enabled && config.tls.certificate == Certificate::Acme;
        let names = state.loaded.domains.iter().filter(wants).map(|d| Arc::clone(&d.name));
        (state.loaded.server.acme.clone(), names.collect())
    }

    /// Changes the answers to challenges, and publishes them. Returns the generation that has them.
    pub async fn challenge(&self, change: impl FnOnce(&mut Challenges) + Send) -> u64 {
        let mut state = self.state.lock().await;
        change(&mut state.challenges);
        self.republish(&mut state);
        state.generation
    }

    /// Reads the issued certificates anew, and nothing else.
    ///
    /// # Errors
    /// Those that are no good; the old ones stay in use in their place.
    pub async fn reread_issued(&self) -> Result<(), Rejected> {
        let _reading = self.reading.lock().await;
        let read = {
            let state = self.state.lock().await;
            let (loaded, before) = (Arc::clone(&state.loaded), Arc::clone(&state.keyring));
            let circumstances = state.circumstances();
            move || (Keyring::read_issued(&loaded, &before, circumstances), loaded)
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (Reading { keyring, problems }, loaded) =
            read.map_err(|panic| reject(format!("reading certificates failed: {panic}")))?;
        let mut state = self.state.lock().await;
        self.publish(&mut state, loaded, Arc::new(keyring))
            .map_err(|full| reject(full.to_string()))?;
        Problems::none_or(problems, ()).map_err(Rejected::from)
    }

    fn republish(&self, state: &mut State) {
        let (loaded, keyring) = (Arc::clone(&state.loaded), Arc::clone(&state.keyring));
        if let Err(full) = self.publish(state, loaded, keyring) {
            // The same domains had their slots a moment ago.
            error!(%full, "a change could not be published");
        }
    }

    fn publish(
        &self,
        state: &mut State,
        loaded: Arc<Loaded>,
        keyring: Arc<Keyring>,
    ) -> Result<(), Full> {
        let old = self.cell.current();
        // A tunnel gives its admission back when it ends.
        let in_use = |slot| self.stats.admission(slot).active() > 0;
        let generation = state.generation + 1;
        let addresses = |name: &str| self.names.addresses(name);
        let tls =
            Tls { keyring: &keyring, challenges: &state.challenges, listening: state.listening };
        let allowed = self.gate.allowed(&loaded);
        let new = build(&allowed, &old, generation, &mut state.registry, &tls, addresses, in_use)?;
        drop(allowed);
        let new = Snapshot { geo: Arc::clone(state.atlas.geo()), ..new };
        state.generation = generation;
        let access = Access { admin: loaded.server.admin.clone(), tls: keyring.admin() };
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        state.loaded = Arc::clone(&loaded);
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(keyring.served());
        state.keyring = keyring;
        let lost = lost(&old, &new);
        self.cell.publish(Arc::new(new));
        drop(old);
        state.registry.forget_endpoints();
        self.published.send_replace(generation);
        self.cores.snapshot_changed();
        if !lost.is_empty() {
            let cores = self.cores.clone();
            tokio::spawn(async move { close_lost(&cores, lost, "origin was removed").await });
        }
        Ok(())
    }
}

impl<L> std::fmt::Debug for Publisher<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("reloads", &self.reloads).finish_non_exhaustive()
    }
}

/// A database that cannot be read leaves the gate as it is: it is looked at again soon.
async fn look(gate: &Gate) {
    let gate = gate.clone();
    let looked = tokio::task::spawn_blocking(move || gate.look(Timestamp::now())).await;
    if let Ok(Err(error)) = looked {
        warn!(%error, "billing plans cannot be read");
    }
}

/// What an operator should know of the certificates that were just taken over.
fn tell(keyring: &Keyring) {
    for warning in keyring.warnings() {
        warn!(about = warning.about, way_out = warning.way_out, "{}", warning.what);
    }
    expiry::tell(keyring.served(), Timestamp::now());
}

fn reject(detail: String) -> Rejected {
    Rejected { problems: vec![serde_json::json!({ "message": detail })], detail }
}

/// Settings of `hawser.toml` that differ and cannot be taken over by a running process.
fn restart_needed(running: &ServerConfig, new: &ServerConfig) -> Vec<Box<str>> {
    // Every field is named, so that a new one must be judged here.
    let ServerConfig {
        listen,
        listen_by: _,
        listen_tls,
        workers,
        state_dir,
        http: _,
        tls: _,
        acme: _,
        admin,
        drain_window: _,
        access_log,
        health,
        name_servers,
        geo: _,
        billing: _,
    } = running;
    let differs = [
        ("server.listen", *listen != new.listen),
        ("server.listen_tls", *listen_tls != new.listen_tls),
        ("server.workers", *workers != new.workers),
        ("server.state_dir", *state_dir != new.state_dir),
        ("admin.listen", admin.listen != new.admin.listen),
        ("log.access", *access_log != new.access_log),
        ("health", *health != new.health),
        ("dns.servers", *name_servers != new.name_servers),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.into()).collect()
}

/// The domains that are not stopped.
fn served(loaded: &Loaded) -> impl Iterator<Item = &DomainConfig> {
    loaded.domains.iter().filter(|domain| domain.enabled)
}

fn names_of(loaded: &Loaded) -> HashSet<Arc<str>> {
    let origins = served(loaded).flat_map(|domain| &domain.origins);
    let name = |origin: &OriginConfig| match &origin.address {
        OriginAddress::Name(name) => Some(Arc::clone(name)),
        OriginAddress::Ip(_) => None,
    };
    origins.filter_map(name).collect()
}

/// What a snapshot has of TLS.
pub struct Tls<'a> {
    pub keyring: &'a Keyring,
    pub challenges: &'a Challenges,
    /// Whether clients come over TLS.
    pub listening: bool,
}

/// The snapshot of a configuration, to follow `before`. Without side effects but for slots and
/// endpoints that `registry` hands out and takes back.
///
/// # Errors
/// [`Full`]: the domains are more than there are slots.
pub fn build(
    loaded: &Loaded,
    before: &Snapshot,
    generation: u64,
    registry: &mut Registry,
    tls: &Tls<'_>,
    addresses: impl Fn(&str) -> Arc<[IpAddr]>,
    in_use: impl Fn(u32) -> bool,
) -> Result<Snapshot, Full> {
    let names: HashSet<&str> = served(loaded).map(|domain| &*domain.name).collect();
    registry.retire(|name| names.contains(name));
    let before = by_name(before);
    let mut domains = Vec::with_capacity(loaded.domains.len());
    for config in served(loaded) {
        let slot = registry.slot(&config.name, &in_use)?;
        let used = transports(config.websocket.origin_scheme, tls.listening);
        let before = before.get(&*config.name).copied();
        let origin = |o: &OriginConfig| {
            let origin = origin(o, used, registry, &addresses);
            Arc::new(Origin { former: former(before, &origin), ..origin })
        };
        let origins = config.origins.iter().map(origin).collect();
        domains.push(Arc::new(domain(config, slot, origins, tls.keyring)));
    }
    Ok(Snapshot {
        generation,
        hash: loaded.hash.clone(),
        hosts: Hosts::new(domains),
        geo: Arc::default(),
        http: loaded.server.http.clone(),
        tls: loaded.server.tls.handshakes.clone(),
        certificates: tls.keyring.certificates(tls.challenges),
        http_challenges: tls.challenges.http.clone(),
    })
}

/// The transports that a domain may use towards its origins.
fn transports(scheme: OriginScheme, listening: bool) -> &'static [Transport] {
    match scheme {
        OriginScheme::Http => &[Transport::Plain],
        OriginScheme::Https => &[Transport::Tls],
        OriginScheme::Follow if listening => &[Transport::Plain, Transport::Tls],
        OriginScheme::Follow => &[Transport::Plain],
    }
}

fn domain(
    config: &DomainConfig,
    slot: u32,
    origins: Box<[Arc<Origin>]>,
    keyring: &Keyring,
) -> Domain {
    Domain {
        name: Arc::clone(&config.name),
        slot,
        websocket: config.websocket.clone(),
        http: config.http.clone(),
        origins,
        origin_tls: keyring.origin(&config.name),
        client_auth: config.tls.client_auth,
        balance: config.balance.clone(),
        close_on_origin_down: config.close_on_origin_down,
        access: config.access.clone(),
        log: config.log,
    }
}

fn origin(
    config: &OriginConfig,
    used: &[Transport],
    registry: &mut Registry,
    addresses: &impl Fn(&str) -> Arc<[IpAddr]>,
) -> Origin {
    let addresses = match &config.address {
        OriginAddress::Ip(ip) => Arc::from([*ip]),
        OriginAddress::Name(name) => addresses(name),
    };
    let mut endpoints = |transport, port| -> Box<[Endpoint]> {
        if !used.contains(&transport) {
            return Box::default();
        }
        addresses.iter().map(|ip| registry.endpoint(SocketAddr::new(*ip, port))).collect()
    };
    Origin {
        address: config.address.to_string().into(),
        priority: config.priority,
        weight: config.weight,
        endpoints: endpoints(Transport::Plain, config.port),
        tls_endpoints: endpoints(Transport::Tls, config.https_port),
        former: Box::default(),
    }
}

/// What a name stood for until `now`, the newest first, and before that as long as tunnels are
/// there: one may just be opening where the last answer led.
fn former(before: Option<&Domain>, now: &Origin) -> Box<[Endpoint]> {
    let origins = before.into_iter().flat_map(|domain| &domain.origins);
    let same: Vec<&Arc<Origin>> = origins.filter(|origin| is(origin, now)).collect();
    let last = same.iter().flat_map(|origin| origin.all_endpoints());
    let earlier = same.iter().flat_map(|origin| &origin.former);
    let earlier = earlier.filter(|endpoint| endpoint.state.tunnels() > 0);
    let mut former: Vec<Endpoint> = Vec::new();
    for endpoint in last.chain(earlier) {
        let known = now.all_endpoints().chain(&former).any(|other| other.addr == endpoint.addr);
        if !known && covers(now, endpoint) && former.len() < FORMER_ENDPOINTS_MAX {
            former.push(endpoint.clone());
        }
    }
    former.into()
}

/// Whether both are the same entry of the configuration, as far as an address or a name says so.
fn is(one: &Origin, other: &Origin) -> bool {
    one.address == other.address
}

/// Whether an endpoint that an origin had under some answer would still be one under that answer:
/// its ports are what they were.
fn covers(origin: &Origin, endpoint: &Endpoint) -> bool {
    origin.all_endpoints().any(|now| now.addr.port() == endpoint.addr.port())
}

fn known_endpoints(domain: &Domain) -> impl Iterator<Item = &Endpoint> {
    domain.origins.iter().flat_map(|origin| origin.known_endpoints())
}

fn by_name(snapshot: &Snapshot) -> HashMap<&str, &Domain> {
    snapshot.hosts.iter().map(|domain| (&*domain.name, &**domain)).collect()
}

/// Names of domains that `new` has and `old` has not.
pub fn missing_from(old: &Snapshot, new: &Snapshot) -> Vec<Arc<str>> {
    let had: HashSet<&str> = old.hosts.iter().map(|domain| &*domain.name).collect();
    let names = new.hosts.iter().map(|domain| &domain.name);
    let mut missing: Vec<_> = names.filter(|name| !had.contains(&***name)).cloned().collect();
    missing.sort_unstable();
    missing
}

/// An endpoint that a domain used until now, and whose tunnels it wants closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    pub domain: Arc<str>,
    pub addr: SocketAddr,
    /// Tunnels closed per second.
    pub rate: u32,
}

/// Endpoints that left the configuration of their domain: not those that a name's newest answer
/// merely lacks. A domain that left is not listed: its tunnels end with it.
pub fn lost(old: &Snapshot, new: &Snapshot) -> Vec<Lost> {
    let before = by_name(old);
    let mut all = Vec::new();
    for domain in new.hosts.iter() {
        let Some(rate) = domain.close_on_origin_down else { continue };
        let before = before.get(&*domain.name).copied();
        let now: HashSet<SocketAddr> = known_endpoints(domain).map(|e| e.addr).collect();
        let origins = before.into_iter().flat_map(|domain| &domain.origins);
        let gone: HashSet<SocketAddr> = origins
            .flat_map(|origin| origin.known_endpoints().map(move |endpoint| (origin, endpoint)))
            .filter(|(origin, endpoint)| {
                let stays = |now: &Arc<Origin>| is(now, origin) && covers(now, endpoint);
                !now.contains(&endpoint.addr) && !domain.origins.iter().any(stays)
            })
            .map(|(_, endpoint)| endpoint.addr)
            .collect();
        let lost =
            gone.into_iter().map(|addr| Lost { domain: Arc::clone(&domain.name), addr, rate });
        all.extend(lost);
    }
    all
}

async fn close_lost(cores: &Cores, lost: Vec<Lost>, reason: &str) {
    for Lost { domain, addr, rate } in lost {
        let filter =
            Filter { domain: Some((*domain).into()), origin: Some(addr), ..Filter::default() };
        let closing = Closing {
            filter,
            cause: Cause::OriginDown,
            code: CLOSE_RESTART,
            reason: reason.into(),
            per_second: Some(rate),
        };
        let tunnels = cores.close(&closing).await.matched;
        if tunnels > 0 {
            info!(%domain, endpoint = %addr, tunnels, rate, reason, "closing tunnels");
        }
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
pub mod testing;
