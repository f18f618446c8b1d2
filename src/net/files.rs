//! Where a ring has the sockets of its operations: registered with it, where they take no place in
//! the process' table of descriptors, or as descriptors, on kernels that hold registered files back
//! after their close (`docs/decisions/015-closed-files-that-are-held-back.md`).
//!
//! Not here: which of the two (`probe`), and the operations (`ring`).

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use io_uring::Submitter;

use super::probe::FileKind;

/// The sockets of one ring, by slot.
#[derive(Debug)]
pub(super) enum Table {
    Registered,
    /// As long as the highest slot that was used.
    Descriptors(Vec<Option<OwnedFd>>),
}

impl Table {
    /// With room for `slots`.
    pub(super) fn new(files: FileKind, slots: u32, ring: &Submitter<'_>) -> io::Result<Table> {
        match files {
            FileKind::Registered => {
                ring.register_files_sparse(slots)?;
                Ok(Table::Registered)
            }
            FileKind::Descriptors => Ok(Table::Descriptors(Vec::new())),
        }
    }

    /// Puts two sockets into `slot` and the next one. On an error they are closed.
    pub(super) fn install(
        &mut self,
        slot: u32,
        sockets: [OwnedFd; 2],
        ring: &Submitter<'_>,
    ) -> io::Result<()> {
        match self {
            Table::Registered => {
                let raw = [sockets[0].as_raw_fd(), sockets[1].as_raw_fd()];
                ring.register_files_update(slot, &raw)?;
            }
            Table::Descriptors(held) => {
                let at = slot as usize;
                if held.len() < at + 2 {
                    held.resize_with(at + 2, || None);
                }
                for (place, socket) in held[at..].iter_mut().zip(sockets) {
                    *place = Some(socket);
                }
            }
        }
        Ok(())
    }
}

/// The descriptor in a slot. The kernel refuses an operation on an empty one (EBADF).
#[inline]
pub(super) fn raw(held: &[Option<OwnedFd>], slot: u32) -> RawFd {
    held.get(slot as usize).and_then(Option::as_ref).map_or(-1, AsRawFd::as_raw_fd)
}

/// Leaves the slot empty: who asked for the descriptor closes it.
pub(super) fn take(held: &mut [Option<OwnedFd>], slot: u32) -> RawFd {
    held.get_mut(slot as usize).and_then(Option::take).map_or(-1, IntoRawFd::into_raw_fd)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use io_uring::IoUring;

    use super::*;

    #[test]
    fn descriptors_stay_in_their_slots_until_they_are_taken() {
        let ring = IoUring::new(8).unwrap();
        let mut table = Table::new(FileKind::Descriptors, 64, &ring.submitter()).unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        let numbers = [a.as_raw_fd(), b.as_raw_fd()];
        table.install(4, [a.into(), b.into()], &ring.submitter()).unwrap();
        let Table::Descriptors(held) = &mut table else { unreachable!("asked for") };
        assert_eq!([raw(held, 4), raw(held, 5)], numbers);
        assert_eq!([raw(held, 0), raw(held, 6)], [-1, -1]);
        assert_eq!(take(held, 4), numbers[0]);
        assert_eq!([raw(held, 4), take(held, 4)], [-1, -1]);
    }
}
