//! The way of bytes where a leg is encrypted: records are opened in the buffer that they were
//! received into, judged, sealed there for the other leg and sent from there.
//!
//! ```text
//!   received   [hdr|....|tag][hdr|.........|tag][hdr|..
//!   opened          |....|.........|                      small records close ranks: one run
//!   sealed     [hdr|..............|tag]                   one record in the place of many
//! ```
//!
//! Everything of a buffer is opened before anything is sealed, and everything sealed before
//! anything is queued: what the kernel may read is never written to, and records leave in the order
//! in which they were sealed. Not here: TLS itself (`net::records`).

use std::collections::VecDeque;
use std::ops::Range;

use super::{State, interval_ticks};
use crate::limits::{
    AEAD_CONTEXT_IDLE, AEAD_CONTEXTS_MAX, BUFFER_HEADROOM, BUFFER_TAILROOM, RECORD_COMPACT_MAX,
    RECORD_PLAINTEXT_MAX,
};
use crate::net::buffers::{Buffer, Size};
use crate::net::records::{Alert, Duty, Fault, HEADER_BYTES, Opened, RECORD_BYTES_MAX, Session};
use crate::proto::ws::close;
use crate::stats::{Cause, Side};
use crate::tunnel::{Action, CloseOrder, Leg};
use crate::worker::table::{Fin, Inbound, Life, Partial, Piece, SecuredLeg};

/// Ticks in which every warm session is looked at once.
const COOLING_ROUND: usize = 10;

/// What the engine keeps for encrypted legs, beside the legs themselves.
#[derive(Default)]
pub(super) struct Secure {
    /// Sessions whose AEAD contexts are in memory: key, generation, leg.
    warm: VecDeque<(u32, u32, Leg)>,
    /// AEAD contexts were given back: the allocators may have memory that the kernel could have.
    pub(super) cooled: bool,
    // Kept between deliveries so that one allocates nothing.
    runs: Vec<Range<usize>>,
    planned: Vec<Action>,
    steps: Vec<Step>,
}

/// What follows from a delivery, sealed where it has to be.
enum Step {
    /// A part of the delivered buffer.
    Own {
        to: Leg,
        range: Range<usize>,
        framing: usize,
    },
    /// In a buffer of its own.
    Apart {
        to: Leg,
        piece: Piece,
    },
    Fin(Leg),
}

/// Whether all of a delivery could be sealed.
#[derive(PartialEq, Eq)]
enum Sealed {
    All,
    /// Buffers or keys ran out: the leg cannot be written to any more.
    Short,
}

/// How plaintext goes on.
#[derive(Clone, Copy)]
enum Leaves {
    Clear,
    Sealed,
}

/// How the records of a delivery ended.
enum End {
    /// With the last byte.
    Whole,
    /// Within a record, of which the bytes from here on are there.
    Within {
        from: usize,
        needed: usize,
    },
    Closed,
    Fault(Fault),
}

impl State {
    /// Takes `n` bytes received into `buffer` from a tunnel of which a leg is encrypted.
    pub(super) fn deliver_secured(&mut self, key: u32, leg: Leg, buffer: Buffer, n: usize) {
        let received = BUFFER_HEADROOM..BUFFER_HEADROOM + n;
        let Some(entry) = self.table.entry(key) else { return self.ring.pool().recycle(buffer) };
        match &mut entry.secured[leg as usize] {
            None => self.pass_on(key, leg, buffer, received),
            Some(secured) if secured.inbound != Inbound::Open => self.ring.pool().recycle(buffer),
            Some(secured) => match secured.partial.take() {
                None => self.open_records(key, leg, buffer, received),
                Some(partial) => self.complete_record(key, leg, partial, buffer, received),
            },
        }
    }

    /// Takes bytes that were in the clear already when they came here.
    pub(super) fn deliver_plaintext(&mut self, key: u32, leg: Leg, buffer: Buffer, n: usize) {
        match self.table.entry(key).is_none_or(|entry| entry.is_plain()) {
            true => self.deliver(key, leg, buffer, n),
            false => self.pass_on(key, leg, buffer, BUFFER_HEADROOM..BUFFER_HEADROOM + n),
        }
    }

    fn pass_on(&mut self, key: u32, leg: Leg, buffer: Buffer, plain: Range<usize>) {
        self.secure.runs.push(plain);
        self.pass_runs(key, leg, buffer);
    }

    /// Puts the missing bytes of a record behind those that are there, then goes on with the rest.
    /// The one place where bytes of a frame are copied: a record that two receives were needed for.
    fn complete_record(
        &mut self,
        key: u32,
        leg: Leg,
        mut partial: Partial,
        buffer: Buffer,
        mut rest: Range<usize>,
    ) {
        loop {
            let have = partial.start as usize..partial.end as usize;
            let needed = record_bytes(&self.ring.pool().bytes(&partial.buffer)[have.clone()]);
            if have.len() >= needed.min(RECORD_BYTES_MAX) {
                self.open_records(key, leg, partial.buffer, have);
                break;
            }
            if rest.is_empty() {
                self.keep_partial(key, leg, partial);
                break;
            }
            let Some(roomy) = self.with_room(partial, needed) else {
                self.ring.pool().recycle(buffer);
                return self.shed(key);
            };
            partial = roomy;
            let more = rest.start..rest.end.min(rest.start + needed - have.len());
            rest.start = more.end;
            let at = partial.end as usize;
            partial.end += more.len() as u32;
            self.ring.pool().copy(&buffer, more, &partial.buffer, at);
        }
        let open = self.table.entry(key).is_some_and(|entry| {
            let secured = entry.secured[leg as usize].as_ref();
            entry.life == Life::Open && secured.is_some_and(|s| s.inbound == Inbound::Open)
        });
        match open && !rest.is_empty() {
            true => self.open_records(key, leg, buffer, rest),
            false => self.ring.pool().recycle(buffer),
        }
    }

    /// The same bytes in a buffer that has room for a record of `needed` bytes; `None`, and the
    /// buffer is given back, when there is none.
    fn with_room(&mut self, partial: Partial, needed: usize) -> Option<Partial> {
        let whole = self.ring.pool().bytes(&partial.buffer).len() - BUFFER_TAILROOM;
        if partial.start as usize + needed <= whole {
            return Some(partial);
        }
        let have = partial.start as usize..partial.end as usize;
        let moved = self.taken_partial(&partial.buffer, have, needed);
        self.ring.pool().recycle(partial.buffer);
        moved
    }

    fn taken_partial(
        &mut self,
        from: &Buffer,
        have: Range<usize>,
        needed: usize,
    ) -> Option<Partial> {
        let small = needed <= self.ring.pool().room(Size::Small);
        let buffer = self.take_buffer(if small { Size::Small } else { Size::Record })?;
        let end = BUFFER_HEADROOM + have.len();
        self.ring.pool().copy(from, have, &buffer, BUFFER_HEADROOM);
        Some(Partial { buffer, start: BUFFER_HEADROOM as u32, end: end as u32 })
    }

    fn keep_partial(&mut self, key: u32, leg: Leg, partial: Partial) {
        let entry = self.table.entry(key);
        match entry.and_then(|entry| entry.secured[leg as usize].as_mut()) {
            Some(secured) => secured.partial = Some(partial),
            None => self.ring.pool().recycle(partial.buffer),
        }
    }

    pub(super) fn drop_partial(&mut self, key: u32, leg: Leg) {
        let entry = self.table.entry(key);
        let secured = entry.and_then(|entry| entry.secured[leg as usize].as_mut());
        if let Some(partial) = secured.and_then(|secured| secured.partial.take()) {
            self.ring.pool().recycle(partial.buffer);
        }
    }

    /// Opens the records of `buffer` and does what follows from them.
    fn open_records(&mut self, key: u32, leg: Leg, buffer: Buffer, records: Range<usize>) {
        let now = self.now;
        let Some(entry) = self.table.entry(key) else { return self.ring.pool().recycle(buffer) };
        let leaves = match entry.secured[leg.peer() as usize] {
            Some(_) => Leaves::Sealed,
            None => Leaves::Clear,
        };
        let Some(secured) = &mut entry.secured[leg as usize] else {
            return self.ring.pool().recycle(buffer);
        };
        secured.used_at = now.tick;
        let session = &mut secured.session;
        let bytes = self.ring.pool().bytes_mut(&buffer);
        let end = open_all(session, bytes, records.clone(), leaves, &mut self.secure.runs);
        if let End::Closed = end {
            secured.inbound = Inbound::Closed;
        }
        self.list_warm(key, leg);
        self.do_duty(key, leg);
        let buffer = match end {
            End::Within { from, needed } => {
                match self.set_aside(key, leg, buffer, from..records.end, needed) {
                    Some(buffer) => buffer,
                    None => return,
                }
            }
            _ => buffer,
        };
        self.pass_runs(key, leg, buffer);
        match end {
            End::Whole | End::Within { .. } => {}
            End::Closed => {
                if let Some(entry) = self.table.entry(key) {
                    entry.tunnel.eof(leg, now, &mut self.actions);
                    self.apply(key, None);
                }
            }
            End::Fault(fault) => self.break_off(key, leg, fault),
        }
    }

    /// Keeps the beginning of a record for when its rest comes. Answers the buffer if something
    /// else is in it too; `None` as well when the tunnel had to go.
    fn set_aside(
        &mut self,
        key: u32,
        leg: Leg,
        buffer: Buffer,
        have: Range<usize>,
        needed: usize,
    ) -> Option<Buffer> {
        let pool = self.ring.pool();
        let whole = pool.bytes(&buffer).len() - BUFFER_TAILROOM;
        let small = whole <= BUFFER_HEADROOM + pool.room(Size::Small);
        if self.secure.runs.is_empty() && small && have.start + needed <= whole {
            let (start, end) = (have.start as u32, have.end as u32);
            self.keep_partial(key, leg, Partial { buffer, start, end });
            return None;
        }
        match self.taken_partial(&buffer, have, needed) {
            Some(partial) => {
                self.keep_partial(key, leg, partial);
                Some(buffer)
            }
            None => {
                self.secure.runs.clear();
                self.ring.pool().recycle(buffer);
                self.shed(key);
                None
            }
        }
    }

    /// Hands the runs of plaintext in `buffer` to the tunnel and does what it says.
    fn pass_runs(&mut self, key: u32, leg: Leg, buffer: Buffer) {
        if self.table.entry(key).is_none_or(|entry| entry.life != Life::Open) {
            self.secure.runs.clear();
            return self.ring.pool().recycle(buffer);
        }
        let mut runs = std::mem::take(&mut self.secure.runs);
        let mut planned = std::mem::take(&mut self.secure.planned);
        let mut steps = std::mem::take(&mut self.secure.steps);
        for run in runs.drain(..) {
            self.judge(key, leg, &buffer, run, &mut planned);
        }
        let sealed = self.seal_steps(key, leg, &buffer, &planned, &mut steps);
        planned.clear();
        for step in steps.drain(..) {
            match step {
                Step::Own { to, range, framing } => {
                    let buffer = self.ring.pool().share(&buffer);
                    self.queue(key, to, Piece { buffer, range, framing });
                }
                Step::Apart { to, piece } => self.queue(key, to, piece),
                Step::Fin(leg) => self.want_fin(key, leg),
            }
        }
        self.ring.pool().recycle(buffer);
        (self.secure.runs, self.secure.planned, self.secure.steps) = (runs, planned, steps);
        if sealed == Sealed::Short {
            return self.fail(key, leg.peer());
        }
        self.list_warm(key, leg.peer());
        self.do_duty(key, leg.peer());
        self.follow_ending(key);
    }

    /// What the tunnel says to one run; ranges are those of the buffer.
    fn judge(
        &mut self,
        key: u32,
        leg: Leg,
        buffer: &Buffer,
        run: Range<usize>,
        out: &mut Vec<Action>,
    ) {
        let now = self.now;
        let Some(entry) = self.table.entry(key) else { return };
        let pool = self.ring.pool();
        let held = entry.tunnel.held(leg);
        let start = run.start - held.len();
        if !held.is_empty() {
            pool.bytes_mut(buffer)[start..run.start].copy_from_slice(held);
        }
        let bytes = &pool.bytes(buffer)[start..run.end];
        let websocket = &entry.domain.websocket;
        let messages = entry.tunnel.received(leg, bytes, now, websocket, &mut self.actions);
        let bytes = pool.bytes_mut(buffer);
        for action in self.actions.drain(..) {
            match action {
                Action::Forward(range) => {
                    plan_forward(bytes, start + range.start..start + range.end, out);
                }
                other => out.push(other),
            }
        }
        self.count_received(key, leg, run.len(), messages);
    }

    /// Seals what goes to an encrypted leg, in order and before anything is queued.
    fn seal_steps(
        &mut self,
        key: u32,
        from: Leg,
        buffer: &Buffer,
        planned: &[Action],
        steps: &mut Vec<Step>,
    ) -> Sealed {
        // Behind this the buffer may be written to.
        let mut floor = 0;
        for i in 0..planned.len() {
            match planned[i].clone() {
                Action::Forward(range) => {
                    let next = planned[i + 1..].iter().find_map(|later| match later {
                        Action::Forward(later) => Some(later.start),
                        _ => None,
                    });
                    let ceiling = next.unwrap_or(usize::MAX);
                    let (to, free) = (from.peer(), floor..ceiling);
                    match self.seal_forward(key, to, buffer, range, free, steps) {
                        Some(end) => floor = end,
                        None => return Sealed::Short,
                    }
                }
                Action::Send { to, frame } => {
                    let piece = self.control_piece(key, to, frame);
                    steps.extend(piece.map(|piece| Step::Apart { to, piece }));
                }
                Action::ShutdownWrite(leg) => steps.push(Step::Fin(leg)),
            }
        }
        Sealed::All
    }

    /// One range of the buffer towards `to`, in place if `free` has the room for it, else in a
    /// buffer of its own. Answers the end of what must not be written to any more; `None` when
    /// buffers or keys did not suffice.
    fn seal_forward(
        &mut self,
        key: u32,
        to: Leg,
        buffer: &Buffer,
        range: Range<usize>,
        free: Range<usize>,
        steps: &mut Vec<Step>,
    ) -> Option<usize> {
        let tick = self.now.tick;
        let entry = self.table.entry(key)?;
        let Some(secured) = &mut entry.secured[to as usize] else {
            push_own(steps, to, range.clone(), 0);
            return Some(range.end);
        };
        secured.used_at = tick;
        let session = &mut secured.session;
        let bytes = self.ring.pool().bytes_mut(buffer);
        let framing = session.headroom() + session.tailroom();
        let added = framing * range.len().div_ceil(RECORD_PLAINTEXT_MAX);
        let first = range.start.saturating_sub(session.headroom());
        let records = first..first + range.len() + added;
        if first >= free.start && records.end <= free.end.min(bytes.len()) {
            seal_side_by_side(session, bytes, range)?;
            let end = records.end;
            push_own(steps, to, records, added);
            return Some(end);
        }
        let mut rest = range.clone();
        while !rest.is_empty() {
            let chunk = rest.start..rest.end.min(rest.start + RECORD_PLAINTEXT_MAX);
            rest.start = chunk.end;
            let piece = self.sealed_copy(key, to, buffer, chunk)?;
            steps.push(Step::Apart { to, piece });
        }
        Some(range.end)
    }

    fn sealed_copy(
        &mut self,
        key: u32,
        to: Leg,
        from: &Buffer,
        range: Range<usize>,
    ) -> Option<Piece> {
        let small = range.len() <= self.ring.pool().room(Size::Small);
        let buffer = self.take_buffer(if small { Size::Small } else { Size::Record })?;
        let plain = BUFFER_HEADROOM..BUFFER_HEADROOM + range.len();
        self.ring.pool().copy(from, range, &buffer, plain.start);
        self.sealed(key, to, buffer, plain)
    }

    /// Makes a piece of bytes in a buffer of their own: as they are, or sealed where `to` is
    /// encrypted. `None` when the keys are worn.
    pub(super) fn sealed(
        &mut self,
        key: u32,
        to: Leg,
        buffer: Buffer,
        plain: Range<usize>,
    ) -> Option<Piece> {
        let tick = self.now.tick;
        let entry = self.table.entry(key);
        let Some(secured) = entry.and_then(|entry| entry.secured[to as usize].as_mut()) else {
            return Some(Piece { buffer, range: plain, framing: 0 });
        };
        secured.used_at = tick;
        match secured.session.seal(self.ring.pool().bytes_mut(&buffer), plain.clone()) {
            Ok(range) => {
                let framing = range.len() - plain.len();
                self.list_warm(key, to);
                Some(Piece { buffer, range, framing })
            }
            Err(_) => {
                self.ring.pool().recycle(buffer);
                None
            }
        }
    }

    /// Records that were sealed before the tunnel came here.
    pub(super) fn queue_unsent(&mut self, key: u32, leg: Leg, records: &[u8]) {
        for part in records.chunks(self.ring.pool().room(Size::Small)) {
            let Some(buffer) = self.take_buffer(Size::Small) else { return self.fail(key, leg) };
            self.ring.pool().bytes_mut(&buffer)[..part.len()].copy_from_slice(part);
            self.queue(key, leg, Piece { buffer, range: 0..part.len(), framing: part.len() });
        }
    }

    pub(super) fn queue_alert(&mut self, key: u32, leg: Leg, alert: Alert) {
        self.queue_record(key, leg, |session, out| session.seal_alert(alert, out));
    }

    fn queue_record(
        &mut self,
        key: u32,
        leg: Leg,
        write: impl FnOnce(&mut Session, &mut [u8]) -> usize,
    ) {
        let Some(buffer) = self.take_buffer(Size::Small) else { return };
        let entry = self.table.entry(key);
        let Some(secured) = entry.and_then(|entry| entry.secured[leg as usize].as_mut()) else {
            return self.ring.pool().recycle(buffer);
        };
        let n = write(&mut secured.session, self.ring.pool().bytes_mut(&buffer));
        self.queue(key, leg, Piece { buffer, range: 0..n, framing: n });
    }

    /// Sends what the session itself owes its peer.
    pub(super) fn do_duty(&mut self, key: u32, leg: Leg) {
        let now = self.now;
        loop {
            let Some(entry) = self.table.entry(key) else { return };
            // Nothing may follow close_notify.
            if entry.io[leg as usize].fin != Fin::No {
                return;
            }
            let Some(secured) = &entry.secured[leg as usize] else { return };
            match secured.session.duty() {
                None => return,
                Some(Duty::KeyUpdate) => {
                    self.queue_record(key, leg, |session, out| session.seal_key_update(out));
                }
                Some(Duty::Warning(alert)) => self.queue_alert(key, leg, alert),
                Some(Duty::Close) => {
                    let reason = "the keys of this connection are worn";
                    let order =
                        CloseOrder::both(Side::Edge, Cause::TlsKeysWorn, close::RESTART, reason);
                    entry.tunnel.close(order, now, &mut self.actions);
                    return self.apply(key, None);
                }
            }
        }
    }

    /// `leg` broke TLS, or said that we did: an alert to it if one is due, FIN, and the end.
    fn break_off(&mut self, key: u32, leg: Leg, fault: Fault) {
        let now = self.now;
        let Some(entry) = self.table.entry(key) else { return };
        if let Some(secured) = &mut entry.secured[leg as usize] {
            secured.inbound = Inbound::Broken;
        }
        if let (Fault::Ours(alert), Fin::No) = (fault, entry.io[leg as usize].fin) {
            self.queue_alert(key, leg, alert);
        }
        let Some(entry) = self.table.entry(key) else { return };
        let io = &mut entry.io[leg as usize];
        if io.fin == Fin::No {
            // Not by want_fin: nothing follows a fatal alert, not even close_notify.
            io.fin = Fin::Wanted;
            if io.queued == 0 {
                self.send_fin(key, leg);
            }
        }
        if let Some(entry) = self.table.entry(key) {
            entry.tunnel.failed(leg, Cause::TlsError, now, &mut self.actions);
            self.apply(key, None);
        }
    }

    /// Remembers a session whose AEAD contexts are in memory. Beyond the limit the oldest one loses
    /// its own.
    pub(super) fn list_warm(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        let generation = entry.generation;
        let Some(secured) = &mut entry.secured[leg as usize] else { return };
        if secured.listed || !secured.session.is_warm() {
            return;
        }
        secured.listed = true;
        self.secure.warm.push_back((key, generation, leg));
        if self.secure.warm.len() > AEAD_CONTEXTS_MAX
            && let Some((key, generation, leg)) = self.secure.warm.pop_front()
            && let Some(secured) = self.warm_leg(key, generation, leg)
        {
            secured.listed = false;
            secured.session.cool();
        }
    }

    /// Gives back the AEAD contexts of sessions that fell silent; looks at a part of them each
    /// tick.
    pub(super) fn cool_idle_sessions(&mut self) {
        let now = self.now.tick;
        for _ in 0..self.secure.warm.len().div_ceil(COOLING_ROUND) {
            let Some((key, generation, leg)) = self.secure.warm.pop_front() else { return };
            let Some(secured) = self.warm_leg(key, generation, leg) else { continue };
            if now.wrapping_sub(secured.used_at) < interval_ticks(AEAD_CONTEXT_IDLE) {
                self.secure.warm.push_back((key, generation, leg));
            } else {
                secured.listed = false;
                secured.session.cool();
                self.secure.cooled = true;
            }
        }
    }

    fn warm_leg(&mut self, key: u32, generation: u32, leg: Leg) -> Option<&mut SecuredLeg> {
        let entry = self.table.entry(key).filter(|entry| entry.generation == generation)?;
        entry.secured[leg as usize].as_deref_mut()
    }
}

/// Bytes of the record that begins here, or of its header while that is not whole.
fn record_bytes(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER_BYTES,
    }
}

/// Opens records until the bytes end, and lists the plaintext. What leaves in the clear always
/// closes ranks: moving 48 KiB and sending once costs a sixth less than sending four records of
/// 16 KiB one after the other. What is sealed again does so when it is small: large records stand
/// side by side anyway, and leave in one send where they are.
fn open_all(
    session: &mut Session,
    bytes: &mut [u8],
    records: Range<usize>,
    leaves: Leaves,
    runs: &mut Vec<Range<usize>>,
) -> End {
    let mut at = records.start;
    while at < records.end {
        match session.open(&mut bytes[at..records.end]) {
            Ok(Opened::Partial { needed }) => return End::Within { from: at, needed },
            Ok(Opened::Handled { record }) => at += record,
            Ok(Opened::Closed { .. }) => return End::Closed,
            Ok(Opened::Data { plain, record }) => {
                add_run(bytes, at + plain.start..at + plain.end, leaves, runs);
                at += record;
            }
            Err(fault) => return End::Fault(fault),
        }
    }
    End::Whole
}

fn add_run(bytes: &mut [u8], plain: Range<usize>, leaves: Leaves, runs: &mut Vec<Range<usize>>) {
    if plain.is_empty() {
        return;
    }
    let joins = |run: &Range<usize>| match leaves {
        Leaves::Clear => true,
        Leaves::Sealed => {
            plain.len() <= RECORD_COMPACT_MAX && run.len() + plain.len() <= RECORD_PLAINTEXT_MAX
        }
    };
    match runs.last_mut() {
        Some(run) if joins(run) => {
            let end = run.end + plain.len();
            bytes.copy_within(plain, run.end);
            run.end = end;
        }
        _ => runs.push(plain),
    }
}

/// What was taken out between two pieces leaves a gap; small ones are moved up, for each piece
/// would need a record and a buffer of its own, and a peer decides how many Pongs there are.
fn plan_forward(bytes: &mut [u8], range: Range<usize>, out: &mut Vec<Action>) {
    if let Some(Action::Forward(last)) = out.last_mut()
        && range.len() <= RECORD_COMPACT_MAX
        && last.len() + range.len() <= RECORD_PLAINTEXT_MAX
    {
        let end = last.end + range.len();
        bytes.copy_within(range, last.end);
        last.end = end;
        return;
    }
    out.push(Action::Forward(range));
}

/// Seals a range of any length where it stands: what is behind the first record moves up to make
/// room for the headers and tags in front of it, beginning with the last. `None` when the keys are
/// worn.
fn seal_side_by_side(session: &mut Session, bytes: &mut [u8], range: Range<usize>) -> Option<()> {
    let framing = session.headroom() + session.tailroom();
    let chunk = |i: usize| {
        let start = range.start + i * RECORD_PLAINTEXT_MAX;
        start..range.end.min(start + RECORD_PLAINTEXT_MAX)
    };
    let count = range.len().div_ceil(RECORD_PLAINTEXT_MAX);
    for i in (1..count).rev() {
        bytes.copy_within(chunk(i), chunk(i).start + i * framing);
    }
    for i in 0..count {
        let Range { start, end } = chunk(i);
        session.seal(bytes, start + i * framing..end + i * framing).ok()?;
    }
    Some(())
}

/// Records that stand side by side leave in one send.
fn push_own(steps: &mut Vec<Step>, to: Leg, range: Range<usize>, framing: usize) {
    if let Some(Step::Own { to: last_to, range: last, framing: sum }) = steps.last_mut()
        && *last_to == to
        && last.end == range.start
    {
        last.end = range.end;
        *sum += framing;
        return;
    }
    steps.push(Step::Own { to, range, framing });
}
