//! The tunnel engine of one core: takes over both sockets after a verified 101 and drives every
//! tunnel from one ring.
//!
//! ```text
//!   completion ──► flow (which tunnel?) ──► tunnel (what do the bytes mean?) ──► submission
//! ```
//!
//! One way, in that order; no task, no future and no allocation per message. Here: the handle,
//! adoption and the loop. Not here: the way of bytes ([`flow`]), ends ([`end`]), orders of the
//! control plane ([`orders`]).

mod end;
mod first;
mod flow;
mod orders;
mod secure;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use self::orders::Orders;
use self::secure::Secure;
use super::latch::{First, Latch, first};
use super::log::Log;
use super::table::{Entry, Io, Life, SecuredLeg, Table};
use super::wheel::Wheel;
use crate::limits::{BATCHES_PER_TURN, BUFFER_HEADROOM, COMPLETIONS_PER_BATCH};
use crate::net::buffers::{Buffer, Size};
use crate::net::event::Event;
use crate::net::probe::FileKind;
use crate::net::ring::{Completion, Op, Ring, Token};
use crate::net::runtime;
use crate::net::tls::Secured;
use crate::snapshot::{Command, Domain, Endpoint, Snapshot};
use crate::stats::{Admitted, ConnId, Stats};
use crate::tunnel::{Action, Leg, Now, TICK_MS, Tunnel};

/// Everything a verified 101 leaves behind. Both sockets are idle: no operation in flight, nothing
/// more to write.
#[derive(Debug)]
pub struct Upgraded {
    pub client: OwnedFd,
    pub origin: OwnedFd,
    /// The real client, a PROXY header respected.
    pub client_addr: SocketAddr,
    pub endpoint: Endpoint,
    /// Bytes read behind the upgrade request, and behind the 101.
    pub early_from_client: Vec<u8>,
    pub early_from_origin: Vec<u8>,
    /// TLS of the client and of the origin.
    pub secured: [Option<Secured>; 2],
    pub domain: Arc<Domain>,
    /// Where this core counts it (`stats::CoreStats::series`).
    pub series: u32,
    pub admitted: Admitted,
    /// RSV bits that the agreed extensions allow: 0x40 for permessage-deflate, 0x70 for any other.
    pub reserved_bits: u8,
}

/// Why the engine did not take a tunnel; its sockets are closed then and the admission is given
/// back.
#[derive(Debug)]
pub enum AdoptError {
    /// Every slot of the registered files is taken.
    TableFull,
    /// The kernel refused to register the sockets.
    Register(io::Error),
}

pub struct EngineConfig {
    /// Index of this core in `stats`.
    pub core: usize,
    /// Where sockets are held.
    pub files: FileKind,
    /// Tunnels that the table holds.
    pub tunnels: u32,
    pub stats: Arc<Stats>,
    pub log: Log,
    /// Start of the process clock.
    pub boot: Instant,
}

/// Pooled buffers that were not used for so many ticks give their memory back.
const POOL_ROUND_TICKS: u32 = 10;

/// A handle to this core's engine; it cannot leave the core.
#[derive(Clone)]
pub struct Engine(Rc<Shared>);

struct Shared {
    event: Event,
    /// Set by an adoption until the engine has looked after it.
    adopted: Latch,
    state: RefCell<State>,
}

struct State {
    ring: Ring,
    table: Table,
    wheel: Wheel,
    orders: Orders,
    /// Receives that found no buffer: key, generation, leg.
    starved: VecDeque<(u32, u32, Leg)>,
    /// Queued behind both peers' Closes: key, generation, leg. Said at the end of the batch, or
    /// at the start of the turn behind an adoption.
    last_words: Vec<(u32, u32, Leg)>,
    rng: StdRng,
    now: Now,
    core: usize,
    stats: Arc<Stats>,
    log: Log,
    boot: Instant,
    // Kept between turns so that a turn allocates nothing.
    batch: Vec<Completion>,
    actions: Vec<Action>,
    due: Vec<u32>,
    secure: Secure,
}

impl Engine {
    /// Must be called on the core's thread, inside its runtime.
    ///
    /// # Errors
    /// What the kernel refused: the ring, its file table or its buffers.
    pub fn new(config: EngineConfig) -> io::Result<Engine> {
        let event = Event::new()?;
        let ring = Ring::new(config.files, config.tunnels * 2, &event)?;
        let now = Now::from_us(config.boot.elapsed().as_micros() as u64);
        let state = State {
            ring,
            table: Table::new(config.tunnels),
            wheel: Wheel::new(config.tunnels, now.tick),
            orders: Orders::default(),
            starved: VecDeque::new(),
            last_words: Vec::new(),
            rng: rand::make_rng(),
            now,
            core: config.core,
            stats: config.stats,
            log: config.log,
            boot: config.boot,
            batch: Vec::with_capacity(COMPLETIONS_PER_BATCH),
            actions: Vec::with_capacity(64),
            due: Vec::new(),
            secure: Secure::default(),
        };
        Ok(Engine(Rc::new(Shared { event, adopted: Latch::default(), state: RefCell::new(state) })))
    }

    /// Set-up flags of the ring, for people.
    pub fn flags(&self) -> &'static str {
        self.0.state.borrow().ring.flags()
    }

    /// Whether another tunnel would find a place. Asked before an origin is troubled.
    pub fn has_room(&self) -> bool {
        self.0.state.borrow().table.has_room()
    }

    /// Whether sessions gave up AEAD contexts since [`Engine::clear_cooled`].
    pub fn has_cooled(&self) -> bool {
        self.0.state.borrow().secure.cooled
    }

    pub fn clear_cooled(&self) {
        self.0.state.borrow_mut().secure.cooled = false;
    }

    pub fn tunnels(&self) -> usize {
        self.0.state.borrow().table.len()
    }

    /// Takes over both sockets of an upgraded connection.
    ///
    /// # Errors
    /// [`AdoptError`]; nothing is left behind then.
    pub fn adopt(&self, upgraded: Upgraded) -> Result<ConnId, AdoptError> {
        let id = self.0.state.borrow_mut().adopt(upgraded);
        self.0.adopted.set();
        id
    }

    /// Carries out a command; `snapshot` is the newest one.
    pub fn command(&self, command: Command, snapshot: &Snapshot) {
        let state = &mut *self.0.state.borrow_mut();
        state.refresh_clock();
        state.command(command, snapshot);
        state.pump();
    }

    /// Runs the engine whenever its ring has something, or a tunnel was adopted.
    ///
    /// # Errors
    /// The core's runtime failed.
    pub async fn drive(self) -> io::Result<()> {
        match first(self.follow_ring(), self.follow_adoptions()).await {
            First::Left(failed) => failed,
            First::Right(()) => Ok(()),
        }
    }

    async fn follow_ring(&self) -> io::Result<()> {
        loop {
            self.0.event.wait().await?;
            self.0.state.borrow_mut().pump();
        }
    }

    /// One turn for all tunnels that were adopted since the last: each entry into the kernel costs
    /// as much as one of their receives.
    async fn follow_adoptions(&self) {
        loop {
            self.0.adopted.wait().await;
            self.0.adopted.clear();
            self.0.state.borrow_mut().pump();
        }
    }

    /// Timers, pace and gauges, once per tick: another task of the core.
    pub async fn tick(self) {
        loop {
            runtime::sleep(Duration::from_millis(TICK_MS)).await;
            self.0.state.borrow_mut().tick();
        }
    }
}

impl State {
    fn refresh_clock(&mut self) {
        self.now = Now::from_us(self.boot.elapsed().as_micros() as u64);
    }

    /// Works until nothing is left to do, or enough for one turn.
    fn pump(&mut self) {
        self.say_last_words();
        self.ring.hush();
        for _ in 0..BATCHES_PER_TURN {
            if !self.ring.has_work() {
                self.ring.listen();
                if !self.ring.has_work() {
                    return;
                }
                self.ring.hush();
            }
            self.ring.enter();
            self.take_batch();
        }
        // Other tasks first; the event brings us back.
        self.ring.listen();
        self.ring.wake();
    }

    fn take_batch(&mut self) {
        self.refresh_clock();
        let mut batch = std::mem::take(&mut self.batch);
        self.ring.reap(&mut batch);
        for completion in batch.drain(..) {
            self.complete(completion);
        }
        self.batch = batch;
        self.say_last_words();
        if !self.starved.is_empty() {
            self.feed_starved();
        }
    }

    fn complete(&mut self, completion: Completion) {
        let token = completion.token;
        let known = self
            .table
            .entry(token.key)
            .is_some_and(|entry| entry.generation & Token::GENERATION_MASK == token.generation);
        if !known {
            // Every operation of a tunnel completes before its key is free, so this is a cancel of
            // long ago at most.
            if let Some(buffer) = completion.buffer {
                self.ring.pool().recycle(buffer);
            }
            return;
        }
        let leg = Leg::BOTH[usize::from(token.leg)];
        match token.op {
            Op::Receive => self.on_received(token.key, leg, completion),
            Op::Send => self.on_sent(token.key, leg, completion.result),
            Op::Shutdown | Op::Cancel => self.on_settled(token.key),
            Op::Close => self.on_closed(token.key),
        }
    }

    fn tick(&mut self) {
        self.refresh_clock();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now.tick, &mut due);
        for key in due.drain(..) {
            self.on_timer(key);
        }
        self.due = due;
        self.carry_out_orders();
        self.relieve_pressure();
        self.feed_starved();
        self.cool_idle_sessions();
        if self.now.tick.is_multiple_of(POOL_ROUND_TICKS) {
            self.ring.pool().give_back();
        }
        self.show_gauges();
        self.pump();
    }

    fn adopt(&mut self, upgraded: Upgraded) -> Result<ConnId, AdoptError> {
        self.refresh_clock();
        let failed = match self.table.has_room() {
            false => Some(AdoptError::TableFull),
            true => {
                let slot = self.table.vacant_key() * 2;
                let sockets = [upgraded.client, upgraded.origin];
                self.ring.install(slot, sockets).err().map(AdoptError::Register)
            }
        };
        if let Some(error) = failed {
            self.stats.admission(upgraded.domain.slot).leave(upgraded.admitted);
            return Err(error);
        }
        let tag = self.rng.random();
        let now = self.now;
        let tunnel = Tunnel::new(&upgraded.domain.websocket, upgraded.reserved_bits, tag, now);
        let mut undigested = [Vec::new(), Vec::new()];
        let mut unsent = [Vec::new(), Vec::new()];
        let mut secured = [None, None];
        for (i, leg) in upgraded.secured.into_iter().enumerate() {
            let Some(leg) = leg else { continue };
            secured[i] = Some(Box::new(SecuredLeg::new(*leg.session, now.tick)));
            (undigested[i], unsent[i]) = (leg.undigested, leg.unsent);
        }
        let interval = upgraded.domain.log.interval.filter(|_| upgraded.domain.log.enabled);
        let key = self.table.insert(|generation| Entry {
            tunnel,
            io: [Io::new(now.tick), Io::new(now.tick)],
            secured,
            generation,
            life: Life::Open,
            in_flight: 0,
            log_at: now.tick.wrapping_add(interval.map_or(0, interval_ticks)),
            series: upgraded.series,
            domain: upgraded.domain,
            admitted: Some(upgraded.admitted),
            endpoint: upgraded.endpoint,
            client: upgraded.client_addr,
        });
        let id = self.open(key);
        for (leg, records) in Leg::BOTH.into_iter().zip(unsent) {
            self.list_warm(key, leg);
            self.queue_unsent(key, leg, &records);
            self.do_duty(key, leg);
        }
        self.feed_early(key, Leg::Client, &upgraded.early_from_client, Self::deliver_plaintext);
        self.feed_early(key, Leg::Origin, &upgraded.early_from_origin, Self::deliver_plaintext);
        for (leg, bytes) in Leg::BOTH.into_iter().zip(undigested) {
            self.feed_early(key, leg, &bytes, Self::deliver_secured);
        }
        for leg in Leg::BOTH {
            self.arm_receive(key, leg);
        }
        self.on_timer(key);
        Ok(id)
    }

    /// Accounts for a new tunnel.
    fn open(&mut self, key: u32) -> ConnId {
        let Some(entry) = self.table.entry(key) else { unreachable!("it was just inserted") };
        entry.endpoint.state.tunnel_opened();
        let counters = self.stats.cores()[self.core].series(entry.series);
        counters.open(self.stats.period());
        ConnId::new(self.core as u32, entry.generation, key)
    }

    /// Bytes that were read behind a head belong to the tunnel; they take the way of received ones.
    fn feed_early(
        &mut self,
        key: u32,
        leg: Leg,
        bytes: &[u8],
        deliver: fn(&mut State, u32, Leg, Buffer, usize),
    ) {
        let piece_max = self.ring.pool().capacity(Size::Small);
        for piece in bytes.chunks(piece_max) {
            let Some(buffer) = self.take_buffer(Size::Small) else {
                self.fail(key, leg);
                return;
            };
            let room = &mut self.ring.pool().bytes_mut(&buffer)[BUFFER_HEADROOM..];
            room[..piece.len()].copy_from_slice(piece);
            deliver(self, key, leg, buffer, piece.len());
        }
    }

    fn show_gauges(&mut self) {
        let core = &self.stats.cores()[self.core].core;
        let (used, total) = self.ring.pool().usage();
        core.tunnels.set(self.table.len() as u64);
        core.buffers_used.set(used as u64);
        core.buffers_total.set(total as u64);
        core.ring_overflows.set(self.ring.overflows());
    }
}

/// The slot of a leg's socket in the registered files.
#[inline]
fn slot(key: u32, leg: Leg) -> u32 {
    key * 2 + leg as u32
}

fn interval_ticks(interval: Duration) -> u32 {
    (interval.as_millis() as u64 / TICK_MS).clamp(1, 1 << 30) as u32
}

#[cfg(test)]
mod tests;
