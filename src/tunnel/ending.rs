//! How a tunnel ends: close handshakes (RFC 6455 7.1), half-close, resets. Not here: the sockets'
//! own closing.

use super::leg::{Leg, LegState, Mark};
use super::{Action, Control, Now, Tunnel, reached, ticks};
use crate::limits::{CLOSE_BOUNDARY_WAIT, CLOSE_WAIT, PEER_CLOSE_WAIT};
use crate::proto::ws::{Violation, close};
use crate::stats::{Cause, Outcome, Side};

/// A wish of the edge to end a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseOrder {
    pub side: Side,
    pub cause: Cause,
    /// Close codes for the client and for the origin; each is one that may stand on the wire.
    pub codes: [u16; 2],
    pub reason: Box<str>,
}

impl CloseOrder {
    /// 1001 to both.
    pub fn going_away(cause: Cause, reason: &str) -> CloseOrder {
        CloseOrder::both(Side::Edge, cause, close::GOING_AWAY, reason)
    }

    /// The same code to both.
    pub fn both(side: Side, cause: Cause, code: u16, reason: &str) -> CloseOrder {
        CloseOrder { side, cause, codes: [code, code], reason: reason.into() }
    }

    /// `leg` broke a rule of the domain: 1008 to it.
    pub(super) fn policy(cause: Cause, leg: Leg, reason: &str) -> CloseOrder {
        CloseOrder::fault(cause, leg, close::POLICY, reason)
    }

    /// `leg` is gone.
    pub(super) fn dead(cause: Cause, leg: Leg, reason: &str) -> CloseOrder {
        CloseOrder::fault(cause, leg, close::GOING_AWAY, reason)
    }

    pub(super) fn violation(leg: Leg, violation: Violation) -> CloseOrder {
        let cause = match violation {
            Violation::FrameTooBig => Cause::FrameTooBig,
            Violation::MessageTooBig => Cause::MessageTooBig,
            _ => Cause::ProtocolError,
        };
        CloseOrder::fault(cause, leg, violation.close_code(), violation.reason())
    }

    /// `code` to the leg at fault; to the other one 1001 when the client is, 1011 when the origin
    /// is. A dead peer is nobody's fault but its own: both get 1001 (design 6).
    fn fault(cause: Cause, leg: Leg, code: u16, reason: &str) -> CloseOrder {
        let other = match leg {
            Leg::Origin if cause != Cause::HeartbeatTimeout => close::INTERNAL,
            _ => close::GOING_AWAY,
        };
        let mut codes = [other; 2];
        codes[leg as usize] = code;
        CloseOrder { side: leg.side(), cause, codes, reason: reason.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// A Close passed between the peers, or one of ours is on its way.
    Closing,
    /// Both directions are finished; the sockets may be closed once what is queued has left, and
    /// must be at [`Tunnel::timer`]'s last deadline.
    Done,
}

/// What is kept only while a tunnel ends.
#[derive(Debug)]
pub(super) struct Ending {
    /// `None` while the peers close by themselves.
    order: Option<CloseOrder>,
    stage: Stage,
    deadline: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A Close waits for a frame boundary, or the peers close by themselves.
    Boundary,
    /// Close frames went both ways, or ours are out; only answers and FINs are missing.
    Handshake,
    /// FIN is under way, what comes is thrown away so that the last bytes are not lost to a reset.
    Fin,
    Over,
}

impl Ending {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Boundary | Stage::Handshake)
    }
}

impl Tunnel {
    pub fn phase(&self) -> Phase {
        match &self.ending {
            None => Phase::Open,
            Some(ending) if ending.stage == Stage::Over => Phase::Done,
            Some(_) => Phase::Closing,
        }
    }

    /// Whether one direction was ended by a FIN while the other lives.
    pub fn is_half_closed(&self) -> bool {
        self.legs.iter().any(|leg| leg.has(Mark::Eof))
    }

    /// Whether neither peer has anything of worth to say, so that what is left is to close both
    /// sockets: both Close frames passed and one peer has left, or each answered the edge's own
    /// Close or has left. RFC 6455 5.5.1: nothing follows a Close.
    pub fn is_parted(&self) -> bool {
        if self.has_order() {
            let answered = |leg: &LegState| leg.has(Mark::CloseReceived) && leg.has(Mark::Ignored);
            return Leg::BOTH.iter().all(|leg| !self.owes_close(*leg))
                && self.legs.iter().all(|leg| leg.is_over() || answered(leg));
        }
        self.is_closed_by_peers() && self.legs.iter().any(LegState::is_over)
    }

    /// Whether the peers' own Close frames passed both ways, so that only FINs are missing.
    pub fn is_closed_by_peers(&self) -> bool {
        !self.has_order() && self.legs.iter().all(|leg| leg.has(Mark::CloseWritten))
    }

    /// Text of the Close frames that [`Control::Close`] asks for.
    pub fn close_reason(&self) -> &str {
        self.ending.as_ref().and_then(|e| e.order.as_ref()).map_or("", |order| &order.reason)
    }

    /// Ends the tunnel: a Close to each side at its next frame boundary, 1 s for the answers, then
    /// FIN. Call [`Tunnel::timer`] when [`Tunnel::end_deadline`] says. A second order changes
    /// nothing.
    pub fn close(&mut self, order: CloseOrder, now: Now, out: &mut Vec<Action>) {
        if self.ending.as_ref().is_some_and(|e| e.order.is_some() || !e.is_open()) {
            return;
        }
        self.outcome.get_or_insert(Outcome {
            side: order.side,
            cause: order.cause,
            close_code: order.codes[Leg::Client as usize],
        });
        let deadline = now.tick.wrapping_add(ticks(CLOSE_BOUNDARY_WAIT));
        self.ending =
            Some(Box::new(Ending { order: Some(order), stage: Stage::Boundary, deadline }));
        for leg in Leg::BOTH {
            self.legs[leg as usize].take(Mark::PingWanted);
            if self.owes_close(leg) && self.may_inject(leg) {
                self.send_owed_close(leg, out);
            }
        }
        self.settle(now, out);
    }

    /// FIN from `leg`. Passed on once what is queued has left (RFC 9293 3.6: the other direction
    /// lives on).
    pub fn eof(&mut self, leg: Leg, now: Now, out: &mut Vec<Action>) {
        self.legs[leg as usize].set(Mark::Eof);
        let code = self.legs[leg as usize].close_code;
        self.outcome.get_or_insert(Outcome {
            side: leg.side(),
            cause: Cause::PeerEof,
            close_code: code,
        });
        if !self.has_order() {
            self.shutdown_write(leg.peer(), out);
        }
        self.settle(now, out);
    }

    /// `leg` was reset, or a write to it failed, or it broke TLS, as `cause` says: nothing comes
    /// from it and no frame reaches it.
    pub fn failed(&mut self, leg: Leg, cause: Cause, now: Now, out: &mut Vec<Action>) {
        let first = !self.legs[leg as usize].has(Mark::Dead);
        self.legs[leg as usize].set(Mark::Dead);
        // After both Closes passed, a reset is only an untidy FIN.
        let closed = self.legs.iter().all(|l| l.has(Mark::CloseReceived));
        if first && !closed && !self.has_order() {
            let reason = if cause == Cause::TlsError { "TLS failed" } else { "peer is gone" };
            self.close(CloseOrder::dead(cause, leg, reason), now, out);
        } else if first && !self.has_order() {
            self.shutdown_write(leg.peer(), out);
        }
        self.settle(now, out);
    }

    pub(super) fn has_order(&self) -> bool {
        self.ending.as_ref().is_some_and(|e| e.order.is_some())
    }

    /// Starts the clock of the peers' own close handshake.
    pub(super) fn expect_end(&mut self, now: Now) {
        let deadline = now.tick.wrapping_add(ticks(PEER_CLOSE_WAIT));
        self.ending.get_or_insert_with(|| {
            Box::new(Ending { order: None, stage: Stage::Boundary, deadline })
        });
    }

    /// Whether our order's Close for `leg` has not been written yet.
    pub(super) fn owes_close(&self, leg: Leg) -> bool {
        self.has_order() && self.legs[leg as usize].is_writable()
    }

    pub(super) fn send_owed_close(&mut self, leg: Leg, out: &mut Vec<Action>) {
        if let Some(order) = self.ending.as_ref().and_then(|e| e.order.as_ref()) {
            self.legs[leg as usize].set(Mark::CloseWritten);
            out.push(Action::Send { to: leg, frame: Control::Close(order.codes[leg as usize]) });
        }
    }

    /// Moves the ending on as far as it goes.
    pub(super) fn settle(&mut self, now: Now, out: &mut Vec<Action>) {
        let over = self.legs.each_ref().map(|leg| leg.is_over());
        if self.ending.is_none() && over == [true, true] {
            self.expect_end(now);
        }
        let Some(ending) = self.ending.as_deref() else { return };
        let late = reached(now.tick, ending.deadline);
        match ending.stage {
            Stage::Over => {}
            _ if over == [true, true] => self.enter_stage(Stage::Over, now),
            Stage::Fin if late => self.enter_stage(Stage::Over, now),
            Stage::Fin => {}
            // A side is finished when it answered or left; one that broke framing cannot answer.
            Stage::Boundary | Stage::Handshake if late || self.is_answered() => {
                self.finish_handshake(late, now, out);
            }
            Stage::Boundary if self.is_closed_both_ways() => {
                self.enter_stage(Stage::Handshake, now);
            }
            Stage::Boundary | Stage::Handshake => {}
        }
    }

    /// Whether both sides answered an order of ours, or left.
    fn is_answered(&self) -> bool {
        // Ignored: its whole Close came, or it broke framing and no answer of it could be read.
        let finished = |leg: &LegState| leg.is_over() || leg.has(Mark::Ignored);
        self.has_order() && self.legs.iter().all(finished)
    }

    /// Whether nothing more will be written to either side but a FIN.
    fn is_closed_both_ways(&self) -> bool {
        self.legs.iter().all(|leg| !leg.is_writable())
    }

    /// The tick at which [`Tunnel::timer`] has to look at the ending again; `None` while it is
    /// open.
    pub fn end_deadline(&self) -> Option<u32> {
        self.ending.as_ref().map(|ending| ending.deadline)
    }

    fn finish_handshake(&mut self, late: bool, now: Now, out: &mut Vec<Action>) {
        let unanswered = !self.has_order() && !self.is_closed_both_ways();
        if late
            && unanswered
            && let Some(outcome) = &mut self.outcome
        {
            outcome.cause = Cause::CloseTimeout;
        }
        for leg in Leg::BOTH {
            self.shutdown_write(leg, out);
        }
        self.enter_stage(Stage::Fin, now);
    }

    fn shutdown_write(&mut self, leg: Leg, out: &mut Vec<Action>) {
        let state = &mut self.legs[leg as usize];
        if !state.has(Mark::FinSent) && !state.has(Mark::Dead) {
            state.set(Mark::FinSent);
            out.push(Action::ShutdownWrite(leg));
        }
    }

    fn enter_stage(&mut self, stage: Stage, now: Now) {
        if let Some(ending) = &mut self.ending {
            ending.stage = stage;
            ending.deadline = now.tick.wrapping_add(ticks(CLOSE_WAIT));
        }
    }
}
