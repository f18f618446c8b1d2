//! Masking a payload in place, at an address of any alignment. Not here: whose payload; the edge
//! masks only control frames of its own and those that it has to understand.

use std::hint::black_box;

use hawser::proto::ws::mask;

use super::Case;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LENGTHS: [usize; 3] = [64, 1024, 64 * 1024];
/// Of the cache.
const LINE: usize = 64;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in LENGTHS {
        for (offset, how) in [(0, "aligned"), (3, "not aligned")] {
            let name = format!("mask {length} bytes, {how}");
            cases.push(Case::new(name, (length as u64, "byte"), move || {
                let mut memory = vec![0_u8; LINE + offset + length];
                let at = memory.as_ptr().align_offset(LINE) + offset;
                move || mask::apply(black_box(KEY), black_box(&mut memory[at..at + length]))
            }));
        }
        let name = format!("copy {length} bytes");
        cases.push(
            Case::new(name, (length as u64, "byte"), move || {
                let (from, mut to) = (vec![7; length], vec![0; length]);
                move || {
                    to.copy_from_slice(black_box(&from));
                    black_box(&mut to);
                }
            })
            .floor(),
        );
    }
    cases
}
