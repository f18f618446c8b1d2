//! What the fuzz target `record` runs, and sessions with given keys for it and for measurements:
//! any records in, and a panic where a promise of the record layer does not hold. The corpus under
//! `fuzz/corpus/record` is replayed here by `cargo test`.

use super::protection::{Keys, SUITES, Scheme};
use super::schedule::Schedule;
use super::{
    ALERT, APPLICATION_DATA, CONTROL_RECORD_BYTES_MAX, Duty, Fault, HANDSHAKE, HEADROOM_MAX,
    Inbound, LIMIT_LOG2_MAX, Opened, Outbound, RECORD_BYTES_MAX, Session, Side, TAILROOM_MAX,
};
use crate::limits::{LATE_HANDSHAKE_BYTES_MAX, RECORD_PLAINTEXT_MAX};

/// A server's session and its client's, without a handshake: as good as none for secrecy.
///
/// # Panics
/// When no suite has this description.
pub fn pair(description: &str) -> [Session; 2] {
    let suite = SUITES.iter().position(|suite| suite.name == description);
    let suite = suite.expect("the description of a suite") as u8;
    [session(Side::Server, suite), session(Side::Client, suite)]
}

/// The input is a list of what the peer sends: sealed records of any kind with any content, or
/// bytes as they are. However they come, a record is judged when it is whole, nothing behind it is
/// touched, data comes out as it went in, and what is kept is bounded.
pub fn record(data: &[u8]) {
    let Some((&choice, items)) = data.split_first() else { return };
    let suite = (choice & 0x7f) % SUITES.len() as u8;
    let (side, peer) = match choice & 0x80 {
        0 => (Side::Server, Side::Client),
        _ => (Side::Client, Side::Server),
    };
    let mut link = Link { receiver: session(side, suite), sender: session(peer, suite) };
    for item in Items(items) {
        let mut bytes = link.made(&item);
        if item.flip && !bytes.is_empty() {
            let at = usize::from(item.extra) * 8191 % bytes.len();
            bytes[at] ^= 1 << (item.extra % 8);
        }
        if !link.take(&bytes, &item) {
            break;
        }
    }
}

fn session(side: Side, suite: u8) -> Session {
    let of_client = Keys { key: [0x0c; 32], iv: [0x1c; 12] };
    let of_server = Keys { key: [0x05; 32], iv: [0x15; 12] };
    let (sealing, opening) = match side {
        Side::Client => (of_client, of_server),
        Side::Server => (of_server, of_client),
    };
    let given = || Schedule::Given { sealing: sealing.clone(), opening: opening.clone() };
    let renews = SUITES[usize::from(suite)].scheme == Scheme::Tls13;
    Session {
        schedule: renews.then(given),
        working: None,
        sealed: 0,
        opened: 0,
        sealing: sealing.clone(),
        opening: opening.clone(),
        suite,
        limit_log2: LIMIT_LOG2_MAX,
        empties: 0,
        lates: 0,
        side,
        inbound: Inbound::Open,
        outbound: Outbound::Open,
    }
}

/// One thing that the peer sends.
struct Item<'a> {
    /// Content type of a sealed record; `None`: `content` as it is.
    kind: Option<u8>,
    flip: bool,
    /// Padding of a sealed record, or where the flipped bit is.
    extra: u8,
    content: &'a [u8],
    /// `content` as often as this.
    times: usize,
}

struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (&[what, extra, len], rest) = self.0.split_first_chunk::<3>()?;
        let (content, rest) = rest.split_at(usize::from(len).min(rest.len()));
        self.0 = rest;
        let kind = match what & 7 {
            0 => None,
            1 => Some(ALERT),
            2 => Some(HANDSHAKE),
            3 => Some(extra),
            _ => Some(APPLICATION_DATA),
        };
        let times = if what & 16 == 0 { 1 } else { 64 };
        Some(Item { kind, flip: what & 8 != 0, extra, content, times })
    }
}

struct Link {
    receiver: Session,
    sender: Session,
}

impl Link {
    fn made(&mut self, item: &Item<'_>) -> Vec<u8> {
        let content = item.content.repeat(item.times);
        let Some(kind) = item.kind else { return content };
        let mut buffer = vec![0; HEADROOM_MAX];
        buffer.extend_from_slice(&content[..content.len().min(RECORD_PLAINTEXT_MAX)]);
        let mut inner = kind;
        let tls13 = self.sender.suite().scheme == Scheme::Tls13;
        if tls13 && item.extra > 0 && !item.flip {
            // The real type, then zeros, and a zero where sealing puts the type.
            buffer.push(kind);
            buffer.resize(buffer.len() + usize::from(item.extra) - 1, 0);
            inner = 0;
        }
        let plain = HEADROOM_MAX..buffer.len();
        buffer.resize(buffer.len() + TAILROOM_MAX, 0);
        let record = self.sender.seal_record(inner, &mut buffer, plain);
        buffer[record].to_vec()
    }

    /// Whether the connection goes on.
    fn take(&mut self, bytes: &[u8], item: &Item<'_>) -> bool {
        let before = self.receiver.opened;
        for given in (0..bytes.len()).step_by(bytes.len() / 7 + 1) {
            match self.receiver.open(&mut bytes[..given].to_vec()) {
                Ok(Opened::Partial { needed }) => {
                    assert!(given < needed && needed <= RECORD_BYTES_MAX, "{given} of {needed}");
                    assert_eq!(self.receiver.opened, before);
                }
                other => {
                    assert!(item.kind.is_none() || item.flip || other.is_err(), "{other:?}");
                    return self.judged(&other);
                }
            }
        }
        let behind = [0xa5; 9];
        let mut input = [bytes, &behind].concat();
        let opened = self.receiver.open(&mut input);
        if item.kind.is_some() {
            assert_eq!(input[bytes.len()..], behind, "bytes behind the record were touched");
        }
        if let Ok(Opened::Data { plain, record }) = &opened {
            assert!(plain.end <= *record && *record == bytes.len());
            let mut content = item.content.repeat(item.times);
            content.truncate(RECORD_PLAINTEXT_MAX);
            if item.kind == Some(0) {
                // The type is padding then, and the last of the content that is none is the type.
                content.truncate(plain.len());
            }
            assert_eq!(input[plain.clone()], content);
        }
        self.judged(&opened)
    }

    fn judged(&mut self, opened: &Result<Opened, Fault>) -> bool {
        if let Some(working) = &self.receiver.working {
            assert!(working.partial.len() < 4 + LATE_HANDSHAKE_BYTES_MAX);
        }
        match opened {
            Ok(Opened::Data { .. } | Opened::Handled { .. }) => {}
            Ok(Opened::Partial { .. }) => return false,
            Ok(Opened::Closed { .. }) => {
                assert_eq!(self.receiver.open(&mut [9; 9]), Ok(Opened::Closed { record: 9 }));
                return false;
            }
            Err(fault) => {
                assert_eq!(self.receiver.open(&mut [0; 64]), Err(*fault));
                assert_eq!(self.receiver.duty(), None);
                return false;
            }
        }
        if self.receiver.opened == 0 {
            let schedule = self.sender.schedule.as_mut().expect("only TLS 1.3 has new keys");
            self.sender.sealing = schedule.next_sealing().expect("given keys always have a next");
            (self.sender.sealed, self.sender.working) = (0, None);
        }
        self.answer();
        true
    }

    /// What the receiver owes arrives.
    fn answer(&mut self) {
        while let Some(duty) = self.receiver.duty() {
            let mut out = [0; CONTROL_RECORD_BYTES_MAX];
            let len = match duty {
                Duty::KeyUpdate => self.receiver.seal_key_update(&mut out),
                Duty::Warning(alert) => self.receiver.seal_alert(alert, &mut out),
                Duty::Close => panic!("after a handful of records"),
            };
            let record = self.sender.open(&mut out[..len]);
            assert!(matches!(record, Ok(Opened::Handled { record }) if record == len));
            // What it counts of them is not what is tested.
            (self.sender.lates, self.sender.empties) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn corpus_of_record() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/record");
        let mut count = 0;
        for input in std::fs::read_dir(&folder).expect("the corpus is committed") {
            let input = std::fs::read(input.unwrap().path()).unwrap();
            record(&input);
            for suite in 0..SUITES.len() as u8 {
                for side in [0, 0x80] {
                    record(&[&[side | suite], input.get(1..).unwrap_or_default()].concat());
                }
            }
            count += 1;
        }
        assert!(count >= 10, "{count} inputs in {}", folder.display());
    }
}
