//! Messages that an origin pushes, as they arrive: each begins with its number on this connection
//! and the time of its sending, and goes on with the pattern of its number. Not here: frames.

use crate::origin::pusher;
use crate::pattern;
use crate::timer;

use super::tally::Tally;
use super::work::{Listen, Work};

/// Where one connection is.
#[derive(Default)]
pub struct Pushed {
    /// The number that should be next; whatever comes first is right.
    expected: Option<u64>,
    head: [u8; pusher::HEAD],
    got: usize,
}

impl Pushed {
    pub fn data(&mut self, mut bytes: &[u8], tally: &mut Tally) {
        if self.got < pusher::HEAD {
            let take = bytes.len().min(pusher::HEAD - self.got);
            self.head[self.got..self.got + take].copy_from_slice(&bytes[..take]);
            self.got += take;
            bytes = &bytes[take..];
        }
        if !bytes.is_empty() {
            let seed = pattern::seed(self.number());
            tally.wrong_bytes += pattern::wrong_bytes(seed, self.got, bytes);
            self.got += bytes.len();
        }
    }

    /// The message is whole.
    pub fn end(&mut self, tally: &mut Tally, work: &mut Work) {
        let got = std::mem::take(&mut self.got);
        if got < pusher::HEAD {
            tally.wrong_bytes += (pusher::HEAD - got) as u64;
            return;
        }
        tally.pushed += 1;
        tally.echoed_bytes += got as u64;
        let number = self.number();
        let expected = self.expected.unwrap_or(number);
        self.expected = Some(expected.max(number.saturating_add(1)));
        let Work::Listen(listen) = work else { return };
        listen.received += 1;
        match number.checked_sub(expected) {
            Some(left_out) => listen.lost += left_out,
            None => listen.repeated += 1,
        }
        self.time(listen);
    }

    fn number(&self) -> u64 {
        self.head.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
    }

    fn time(&self, listen: &mut Listen) {
        let sent = self.head.last_chunk().map_or(0, |time| u64::from_le_bytes(*time));
        // Later than now only from another machine, whose clock says nothing here.
        if let Some(ns) = timer::monotonic_ns().checked_sub(sent) {
            listen.latency.record(std::time::Duration::from_nanos(ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, len: usize) -> Vec<u8> {
        let mut message = Vec::new();
        pusher::append(number, len, &mut message);
        message
    }

    #[test]
    fn what_is_left_out_repeated_or_changed_is_found() {
        let (mut tally, mut work) = (Tally::default(), Work::Listen(Box::default()));
        let mut pushed = Pushed::default();
        let mut changed = message(8, 100);
        changed[50] ^= 1;
        for bytes in [message(3, 64), message(4, 16), message(7, 64), message(7, 64), changed] {
            for piece in bytes.chunks(7) {
                pushed.data(piece, &mut tally);
            }
            pushed.end(&mut tally, &mut work);
        }
        let Work::Listen(listen) = work else { panic!("the work stays what it is") };
        assert_eq!((listen.received, listen.lost, listen.repeated), (5, 2, 1));
        assert_eq!((tally.wrong_bytes, listen.latency.count()), (1, 5));
        assert_eq!(tally.pushed, 5);
    }
}
