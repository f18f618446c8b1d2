//! What the process asks of the kernel for itself: its descriptor limit, and descriptors that pass
//! from one program to its successor. Not here: what those descriptors are for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Raises the soft limit of open descriptors to the hard one; returns what holds now.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: as above; the kernel only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
            limit = wanted;
        }
    }
    Ok(limit.rlim_cur)
}

/// Takes a descriptor that this process was started with, by the number that its environment names.
/// It is not passed on to programs that this one starts.
///
/// # Errors
/// No such descriptor is open, or it is one of the three standard ones.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    set_close_on_exec(fd, true)?;
    // SAFETY: the call above succeeded, so `fd` is open. Nobody else owns it: callers take each
    // number that the environment names once, at start, before anything else opens descriptors.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the programs that this one starts from now on inherit `fd`, under the same number.
pub fn pass_on(fd: BorrowedFd<'_>) -> io::Result<RawFd> {
    set_close_on_exec(fd.as_raw_fd(), false)?;
    Ok(fd.as_raw_fd())
}

fn set_close_on_exec(fd: RawFd, close: bool) -> io::Result<()> {
    let flags = if close { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an integer and touches no memory of ours; a closed `fd` is reported as
    // EBADF.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn a_passed_on_descriptor_reaches_the_next_program() {
        let (reader, writer) = io::pipe().unwrap();
        let fd = pass_on(writer.as_fd()).unwrap();
        // Not `>&`, which some shells take only with one digit.
        let script = format!("echo here > /proc/self/fd/{fd}");
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        set_close_on_exec(fd, true).unwrap();
        let status =
            Command::new("sh").args(["-c", &script]).stderr(std::process::Stdio::null()).status();
        assert!(!status.unwrap().success());
        drop(writer);
        assert_eq!(io::read_to_string(reader).unwrap(), "here\n");
    }

    #[test]
    fn only_open_descriptors_are_inherited() {
        for fd in [-1, 2, 1 << 20] {
            assert_eq!(inherited(fd).unwrap_err().raw_os_error(), Some(libc::EBADF), "{fd}");
        }
    }

    #[test]
    fn the_limit_reaches_the_hard_one() {
        let limit = raise_descriptor_limit().unwrap();
        assert!(limit > 0);
        assert_eq!(raise_descriptor_limit().unwrap(), limit);
    }
}
