//! One value for every address, as sorted tables that are searched without any other work.
//!
//! Not here: what the values stand for.

use std::net::IpAddr;

/// Addresses from `first` to `last` that share a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: u128,
    last: u128,
    value: u16,
}

/// Blocks by address, none inside another. Addresses between them have no value.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    v4: Vec<Block>,
    v6: Vec<Block>,
}

/// A range of addresses of one family, as CIDR writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    prefix: u8,
    address: IpAddr,
}

impl Range {
    pub fn new(address: IpAddr, prefix: u8) -> Range {
        Range { prefix, address }
    }

    fn block(self, value: u16) -> Block {
        let (first, width) = match self.address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let others = width - u32::from(self.prefix).min(width);
        let last = first | 1_u128.checked_shl(others).map_or(u128::MAX, |n| n - 1);
        Block { first, last, value }
    }
}

impl Blocks {
    /// Of ranges in any order, of which the one with the longest prefix counts.
    pub fn nested(mut ranges: Vec<(Range, u16)>) -> Blocks {
        ranges.sort_unstable();
        let mut all = Blocks::default();
        for same_length in ranges.chunk_by(|a, b| a.0.prefix == b.0.prefix) {
            let mut blocks = Blocks::default();
            for (range, value) in same_length {
                blocks.push(*range, *value);
            }
            all = all.painted_over(blocks);
        }
        all
    }

    /// Adds a range behind all those of its family that are there already.
    pub fn push(&mut self, range: Range, value: u16) {
        let family = if range.address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        push(family, range.block(value));
    }

    /// With the values of `over` wherever it has one.
    pub fn painted_over(self, over: Blocks) -> Blocks {
        Blocks { v4: painted(self.v4, over.v4), v6: painted(self.v6, over.v6) }
    }
}

/// Neighbours of one value become one block.
fn push(blocks: &mut Vec<Block>, block: Block) {
    debug_assert!(blocks.last().is_none_or(|last| last.last < block.first));
    match blocks.last_mut() {
        Some(last) if last.value == block.value && last.last + 1 == block.first => {
            last.last = block.last;
        }
        _ => blocks.push(block),
    }
}

fn painted(base: Vec<Block>, over: Vec<Block>) -> Vec<Block> {
    let mut all = Vec::with_capacity(base.len() + 2 * over.len());
    let mut base = base.into_iter().peekable();
    for top in over {
        while let Some(below) = base.peek_mut() {
            if below.first < top.first {
                push(&mut all, Block { last: below.last.min(top.first - 1), ..*below });
            }
            if below.last > top.last {
                below.first = below.first.max(top.last + 1);
                break;
            }
            base.next();
        }
        push(&mut all, top);
    }
    base.for_each(|block| push(&mut all, block));
    all
}

/// A value for every address; 0 where no block had one.
pub struct Spans {
    v4: Steps<u32>,
    v6: Steps<u128>,
}

impl Spans {
    pub fn new(blocks: &Blocks) -> Spans {
        let v4 = Steps::new(&blocks.v4, |at| u32::try_from(at).ok());
        Spans { v4, v6: Steps::new(&blocks.v6, Some) }
    }

    /// Two dozen comparisons, and nothing else.
    pub fn find(&self, ip: IpAddr) -> u16 {
        match ip {
            IpAddr::V4(v4) => self.v4.find(v4.into()),
            IpAddr::V6(v6) => self.v6.find(v6.into()),
        }
    }
}

/// Each value holds from its own address to the next one's.
struct Steps<A> {
    /// Ascending.
    starts: Box<[A]>,
    values: Box<[u16]>,
}

impl<A: Ord> Steps<A> {
    /// `address` gives nothing for what lies behind the last address.
    fn new(blocks: &[Block], address: impl Fn(u128) -> Option<A>) -> Steps<A> {
        let (mut starts, mut values): (Vec<A>, Vec<u16>) = (Vec::new(), Vec::new());
        let mut step = |at: Option<u128>, value| {
            let changes = values.last().copied().unwrap_or_default() != value;
            if let Some(at) = at.and_then(&address).filter(|_| changes) {
                starts.push(at);
                values.push(value);
            }
        };
        for (i, block) in blocks.iter().enumerate() {
            step(Some(block.first), block.value);
            let behind = block.last.checked_add(1);
            if blocks.get(i + 1).map(|next| next.first) != behind {
                step(behind, 0);
            }
        }
        Steps { starts: starts.into(), values: values.into() }
    }

    fn find(&self, address: A) -> u16 {
        let steps = self.starts.partition_point(|start| *start <= address);
        steps.checked_sub(1).map_or(0, |last| self.values[last])
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn v4(address: u32, prefix: u8) -> Range {
        let masked = address & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Range::new(Ipv4Addr::from(masked).into(), prefix)
    }

    fn spans(ranges: &[(Range, u16)]) -> Spans {
        Spans::new(&Blocks::nested(ranges.to_vec()))
    }

    #[test]
    fn both_ends_of_both_families() {
        let everything = [
            (Range::new(Ipv4Addr::UNSPECIFIED.into(), 0), 1),
            (Range::new(Ipv4Addr::BROADCAST.into(), 32), 2),
            (Range::new(Ipv6Addr::UNSPECIFIED.into(), 0), 3),
            (Range::new(Ipv6Addr::from(u128::MAX).into(), 128), 4),
        ];
        let spans = spans(&everything);
        let cases = [
            ("0.0.0.0", 1),
            ("255.255.255.254", 1),
            ("255.255.255.255", 2),
            ("::", 3),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 3),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 4),
        ];
        for (ip, value) in cases {
            assert_eq!(spans.find(ip.parse().unwrap()), value, "{ip}");
        }
    }

    #[test]
    fn nothing_is_known_outside_of_the_blocks() {
        let spans = spans(&[(v4(0x0a00_0000, 8), 7), (v4(0x0c00_0000, 8), 7)]);
        for (ip, value) in [("9.255.255.255", 0), ("10.0.0.0", 7), ("11.0.0.0", 0), ("13.0.0.0", 0)]
        {
            assert_eq!(spans.find(ip.parse().unwrap()), value, "{ip}");
        }
        assert_eq!(spans.find("::1".parse().unwrap()), 0);
    }

    proptest! {
        /// Against the plain definition: rules before databases, the longest prefix among each.
        #[test]
        fn tables_say_what_the_ranges_say(
            base in proptest::collection::vec((any::<u32>(), 0..=32_u8, 0..5_u16), 0..12),
            over in proptest::collection::vec((any::<u32>(), 0..=32_u8, 0..5_u16), 0..12),
            asked in proptest::collection::vec(any::<u32>(), 0..12),
        ) {
            let ranges = |list: Vec<(u32, u8, u16)>| {
                let mut ranges: Vec<_> =
                    list.into_iter().map(|(ip, prefix, value)| (v4(ip, prefix), value)).collect();
                ranges.sort_unstable();
                ranges.dedup_by_key(|(range, _)| *range);
                ranges
            };
            let (base, over) = (ranges(base), ranges(over));
            let all = Blocks::nested(base.clone()).painted_over(Blocks::nested(over.clone()));
            let spans = Spans::new(&all);
            let ends = base.iter().chain(&over).flat_map(|(range, value)| {
                let block = range.block(*value);
                [block.first, block.last, block.first.wrapping_sub(1), block.last + 1]
            });
            let ends = ends.filter_map(|at| u32::try_from(at).ok()).collect::<Vec<_>>();
            for ip in asked.into_iter().chain(ends) {
                let longest = |list: &[(Range, u16)]| {
                    let holds = |(range, value): &&(Range, u16)| {
                        let block = range.block(*value);
                        (block.first..=block.last).contains(&u128::from(ip))
                    };
                    list.iter().filter(holds).max_by_key(|(range, _)| range.prefix).map(|r| r.1)
                };
                let expected = longest(&over).or_else(|| longest(&base)).unwrap_or(0);
                prop_assert_eq!(spans.find(Ipv4Addr::from(ip).into()), expected);
            }
        }
    }
}
