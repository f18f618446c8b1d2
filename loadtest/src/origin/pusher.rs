//! Pushes: clients of the same length and interval are served together at each tick. Ticks are
//! reckoned from the first, so that a late one moves none. Not here: the clients' own frames.

use std::time::{Duration, Instant};

use anyhow::ensure;
use slab::Slab;

use super::Counts;
use super::peer::Peer;
use crate::timer::{earlier, monotonic_ns};
use crate::{pattern, ws};

/// What each message begins with: its number and the time of its sending.
pub const HEAD: usize = 16;
/// A peer that has not read this much gets nothing more until it has.
const WAITING_MAX: usize = 64 * 1024;
/// Intervals and lengths that are served at a time; clients of others get nothing.
const GROUPS_MAX: usize = 64;
/// Ticks that are made up for at once; a server that is further behind leaves the rest out.
const LATE_MAX: u32 = 16;

/// Appends the message of `len` bytes with this number.
pub fn append(number: u64, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&monotonic_ns().to_le_bytes());
    pattern::append(pattern::seed(number), HEAD, len - HEAD, out);
}

#[derive(Default)]
pub struct Pusher {
    groups: Vec<Group>,
    /// Those who get something only when it is told.
    waiting: Vec<Member>,
    told: Option<Group>,
}

struct Group {
    len: usize,
    interval: Duration,
    next: Instant,
    members: Vec<Member>,
}

#[derive(Clone, Copy)]
struct Member {
    key: usize,
    /// Keys are used again, ids are not.
    id: u64,
}

impl Pusher {
    pub fn subscribe(&mut self, key: usize, id: u64, len: usize, interval: Duration) {
        let member = Member { key, id };
        if interval.is_zero() {
            self.waiting.push(member);
            return;
        }
        let same = |group: &&mut Group| (group.len, group.interval) == (len, interval);
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.members.push(member);
        } else if self.groups.len() < GROUPS_MAX {
            self.groups.push(Group { members: vec![member], ..Group::new(len, interval) });
        }
    }

    /// # Errors
    /// The length has no room for a message's head.
    pub fn begin(&mut self, len: usize, interval: Duration) -> anyhow::Result<()> {
        ensure!(len >= HEAD, "pushes of {len} bytes: at least {HEAD}, for number and time");
        self.stop();
        let members = std::mem::take(&mut self.waiting);
        self.told = Some(Group { members, ..Group::new(len, interval) });
        Ok(())
    }

    pub fn stop(&mut self) {
        self.waiting.extend(self.told.take().into_iter().flat_map(|group| group.members));
    }

    pub fn wakes_at(&self) -> Option<Instant> {
        let next = |group: &Group| Some(group.next);
        let first = self.groups.iter().map(next).fold(None, earlier);
        earlier(first, self.told.as_ref().and_then(next))
    }

    pub fn push_due(&mut self, now: Instant, peers: &mut Slab<Peer>, counts: &mut Counts) {
        for group in self.groups.iter_mut().chain(&mut self.told) {
            for _ in 0..LATE_MAX {
                if group.next > now {
                    break;
                }
                group.push(peers, counts);
            }
            if group.next <= now {
                group.next = now + group.interval;
            }
        }
        self.groups.retain(|group| !group.members.is_empty());
    }
}

impl Group {
    fn new(len: usize, interval: Duration) -> Group {
        Group { len, interval, next: Instant::now() + interval, members: Vec::new() }
    }

    fn push(&mut self, peers: &mut Slab<Peer>, counts: &mut Counts) {
        self.next += self.interval;
        self.members.retain(|member| {
            let Some(peer) = peers.get_mut(member.key).filter(|peer| peer.id == member.id) else {
                return false;
            };
            let Some(number) = peer.next_push() else { return false };
            if peer.link.waiting() > WAITING_MAX {
                counts.skipped += 1;
                return true;
            }
            let out = peer.link.out();
            ws::header(out, true, ws::BINARY, self.len as u64, None);
            append(number, self.len, out);
            peer.pushed();
            counts.pushed += 1;
            // What fails here is the end of the peer, which an event announces too.
            let _ = peer.link.flush();
            true
        });
    }
}
