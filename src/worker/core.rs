//! What all set-up tasks of one core share. Not here: anything that another core could see, but
//! through `stats`.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::latch::Latch;
use super::log::{Log, wall_us};
use super::pool::Pool;
use super::series::SeriesIndex;
use crate::limits::{DESCRIPTORS_REST, SETUPS_FREED};
use crate::net::runtime::now;
use crate::proto::h1::{Date, Scheme};
use crate::snapshot::{Domain, Geo, Reader, Snapshot};
use crate::stats::{CoreStats, DomainCounters, Refusal, Stats};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

pub struct Core {
    pub index: usize,
    pub stats: Arc<Stats>,
    pub engine: Engine,
    pub pool: Pool,
    /// Set once and for all when the process is going away.
    pub draining: Latch,
    /// Set while another set-up may begin.
    pub room: Latch,
    /// Where idle connections wait to be told to make room.
    pub idle: Latch,
    pub log: Log,
    boot: Instant,
    /// The second that an answer was last written in: a clock that is not set says 0, and no Date.
    date: Cell<(u64, Option<Date>)>,
    view: RefCell<View>,
    rng: RefCell<StdRng>,
    series: RefCell<SeriesIndex>,
    setups: Cell<usize>,
    setups_max: usize,
    /// Counts connections to origins, so that source addresses are used in turn.
    dialled: Cell<usize>,
    /// A lower limit for now, and until when.
    scarce: Cell<Option<(usize, Instant)>>,
}

/// The snapshot of this core. Set-ups hold it by `Rc`, so that the count inside its `Arc`, a word
/// that all cores share, is written when a new snapshot comes and not for each request.
#[expect(clippy::redundant_allocation, reason = "the outer count is this core's own")]
struct View {
    reader: Reader,
    current: Rc<Arc<Snapshot>>,
}

impl Core {
    pub fn new(
        index: usize,
        stats: Arc<Stats>,
        engine: Engine,
        mut reader: Reader,
        log: Log,
        boot: Instant,
        setups_max: usize,
    ) -> Core {
        let current = Rc::new(Arc::clone(reader.snapshot()));
        let room = Latch::default();
        room.set();
        Core {
            index,
            stats,
            engine,
            pool: Pool::default(),
            draining: Latch::default(),
            room,
            idle: Latch::default(),
            log,
            boot,
            date: Cell::new((0, None)),
            view: RefCell::new(View { reader, current }),
            rng: RefCell::new(rand::make_rng()),
            series: RefCell::default(),
            setups: Cell::new(0),
            setups_max,
            dialled: Cell::new(0),
            scarce: Cell::new(None),
        }
    }

    /// The newest snapshot; the caller keeps what it got for as long as its request lasts.
    pub fn snapshot(&self) -> Rc<Arc<Snapshot>> {
        let view = &mut *self.view.borrow_mut();
        let newest = view.reader.snapshot();
        if !Arc::ptr_eq(newest, &view.current) {
            view.current = Rc::new(Arc::clone(newest));
        }
        Rc::clone(&view.current)
    }

    /// Where the next connection to `origin` comes from: the configured addresses of its family in
    /// turn, `None` where there is none.
    pub fn next_source(&self, origin: SocketAddr) -> Option<IpAddr> {
        let turn = self.dialled.replace(self.dialled.get().wrapping_add(1));
        let snapshot = self.snapshot();
        let same = |source: &&IpAddr| source.is_ipv4() == origin.is_ipv4();
        let sources = snapshot.http.source_addresses.iter();
        let count = sources.clone().filter(same).count();
        sources.filter(same).nth(turn.checked_rem(count)?).copied()
    }

    pub fn own(&self) -> &CoreStats {
        &self.stats.cores()[self.index]
    }

    pub fn domain(&self, slot: u32) -> &DomainCounters {
        self.own().domain(slot)
    }

    /// The series that a client at `ip` counts in when it asks `domain` for a WebSocket.
    pub fn series_of(&self, domain: &Domain, geo: &Arc<Geo>, ip: IpAddr, scheme: Scheme) -> u32 {
        let from = (ip, scheme);
        self.series.borrow_mut().find(self.own(), &domain.name, domain.slot, geo, from)
    }

    /// Counts a connection or request that was refused before its domain was known.
    pub fn count_refused(&self, refusal: Refusal) {
        self.own().core.refused[refusal as usize].add(1);
    }

    /// Time on the process clock.
    pub fn uptime(&self) -> Duration {
        now().saturating_duration_since(self.boot)
    }

    /// The present for the Date of an answer; written once per second.
    pub fn date(&self) -> Option<Date> {
        let second = wall_us() / 1_000_000;
        let (written, date) = self.date.get();
        if written == second {
            return date;
        }
        let date = Date::new(second);
        self.date.set((second, date));
        date
    }

    pub fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    pub fn new_request_id(&self) -> u128 {
        self.rng.borrow_mut().random()
    }

    pub fn setups(&self) -> usize {
        self.setups.get()
    }

    /// Counts a set-up for as long as the returned value lives.
    pub fn begin_setup(self: &Rc<Core>) -> SetUp {
        self.count_setups(self.setups.get() + 1);
        SetUp(Rc::clone(self))
    }

    fn count_setups(&self, n: usize) {
        self.setups.set(n);
        self.own().core.setups.set(n as u64);
        let limit = self.setup_limit();
        let freed = limit.div_ceil(SETUPS_FREED);
        if n >= limit {
            self.room.clear();
            self.idle.release(freed);
        } else if n <= limit - freed && !self.room.is_set() {
            self.room.set();
        }
    }

    fn setup_limit(&self) -> usize {
        match self.scarce.get() {
            Some((limit, until)) if now() < until => limit,
            _ => self.setups_max,
        }
    }

    /// The process has no descriptor left: gives up what only waits, and does with fewer set-ups
    /// for a while.
    pub fn shed(&self) {
        self.pool.clear();
        let limit = (self.setups.get() * 3 / 4).clamp(1, self.setups_max);
        self.scarce.set(Some((limit, now() + DESCRIPTORS_REST)));
        self.count_setups(self.setups.get());
    }

    /// Looks whether a lower limit is over.
    pub fn refresh_limit(&self) {
        if self.scarce.get().is_some_and(|(_, until)| until <= now()) {
            self.scarce.set(None);
            self.count_setups(self.setups.get());
        }
    }
}

/// A place among the set-ups of a core, given back when dropped, also by a panic.
pub struct SetUp(Rc<Core>);

impl Drop for SetUp {
    fn drop(&mut self) {
        self.0.count_setups(self.0.setups.get() - 1);
    }
}
