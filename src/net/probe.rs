//! What this kernel and this host offer, asked before anything else starts; an error names what is
//! missing and how to allow it. Not here: what the program does about it (exit code 77 is `cli`'s).

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, types};

pub use self::capacity::Capacity;

mod capacity;

/// The oldest kernel that has all we need: multishot receive (6.0), DEFER_TASKRUN (6.1).
pub const KERNEL_MIN: (u32, u32) = (6, 1);

/// How long an end that is on its way may take.
const CLOSE_PATIENCE: Duration = Duration::from_millis(100);

/// How completions are delivered. io.md 8: the plain ring costs 1.3 to 1.7 times as much CPU as the
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL.
    Defer,
    /// COOP_TASKRUN, SUBMIT_ALL.
    Coop,
    None,
}

impl Flags {
    pub const BEST_FIRST: [Flags; 3] = [Flags::Defer, Flags::Coop, Flags::None];

    pub fn name(self) -> &'static str {
        match self {
            Flags::Defer => "single_issuer, defer_taskrun, submit_all",
            Flags::Coop => "coop_taskrun, submit_all",
            Flags::None => "none",
        }
    }
}

/// Where the sockets of tunnels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Registered with the ring: they take no descriptor.
    Registered,
    /// On kernels that hold registered files back after their close
    /// (`docs/decisions/015-closed-files-that-are-held-back.md`).
    Descriptors,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// As `uname -r` prints it.
    pub kernel: String,
    pub flags: Flags,
    pub files: FileKind,
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}, io_uring flags: {}", self.kernel, self.flags.name())?;
        match self.files {
            FileKind::Registered => Ok(()),
            FileKind::Descriptors => f.write_str(
                "; descriptors for tunnels (before Linux 6.13 closed registered files are held \
                 back)",
            ),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    TooOld {
        kernel: String,
    },
    /// ENOSYS: built without io_uring, or hidden by a seccomp profile that answers so.
    NotBuilt {
        kernel: String,
    },
    /// EPERM or EACCES; the value of `kernel.io_uring_disabled`, where there is one.
    Forbidden {
        disabled: Option<u8>,
    },
    MissingOperations {
        kernel: String,
        names: Vec<&'static str>,
    },
    /// Nothing is forbidden and yet it fails, such as ENOMEM under a memory limit.
    Failed {
        step: &'static str,
        error: String,
    },
}

impl std::error::Error for ProbeError {}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = KERNEL_MIN;
        match self {
            ProbeError::TooOld { kernel } => write!(
                f,
                "this kernel is Linux {kernel}, needed is {major}.{minor} or newer: install a \
                 newer kernel, there is no fallback without io_uring"
            ),
            ProbeError::NotBuilt { kernel } => write!(
                f,
                "io_uring is missing (io_uring_setup: ENOSYS) on Linux {kernel}: use a kernel \
                 built with CONFIG_IO_URING=y; in a container, a seccomp profile may hide it: \
                 allow it as packaging/seccomp-io_uring.json does"
            ),
            ProbeError::Forbidden { disabled } => f.write_str(forbidden(*disabled)),
            ProbeError::MissingOperations { kernel, names } => write!(
                f,
                "io_uring of Linux {kernel} lacks {}: needed is a kernel {major}.{minor} or newer \
                 without these removed",
                names.join(", ")
            ),
            ProbeError::Failed { step, error } => write!(
                f,
                "io_uring does not work ({step}: {error}): check the memory limit of the control \
                 group and RLIMIT_MEMLOCK"
            ),
        }
    }
}

/// By the value of sysctl kernel.io_uring_disabled.
fn forbidden(disabled: Option<u8>) -> &'static str {
    match disabled {
        Some(2) => {
            "io_uring is switched off (io_uring_setup: EPERM, sysctl kernel.io_uring_disabled is \
             2): set `sysctl -w kernel.io_uring_disabled=0`, or 1 and put hawser's group into \
             kernel.io_uring_group"
        }
        Some(1) => {
            "io_uring is allowed to one group only (io_uring_setup: EPERM, sysctl \
             kernel.io_uring_disabled is 1): set `sysctl -w kernel.io_uring_group=GID` to a group \
             of the user that runs hawser, or `sysctl -w kernel.io_uring_disabled=0`"
        }
        _ => {
            "io_uring is forbidden (io_uring_setup: EPERM) though sysctl \
             kernel.io_uring_disabled does not forbid it: a seccomp profile or a security module \
             does. Run the container with \
             `--security-opt seccomp=packaging/seccomp-io_uring.json`, or remove io_uring from \
             the unit's SystemCallFilter"
        }
    }
}

/// Tries everything that the workers will need.
///
/// # Errors
/// What is missing first.
pub fn probe() -> Result<ProbeReport, ProbeError> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim().to_owned();
    let (mut ring, flags) = best_ring().map_err(|e| explain("io_uring_setup", &e, &kernel))?;
    // A patched or renamed kernel may not say a number; then only what it can do counts.
    if version(&kernel).is_some_and(|seen| seen < KERNEL_MIN) {
        return Err(ProbeError::TooOld { kernel });
    }
    let mut supported = Probe::new();
    ring.submitter()
        .register_probe(&mut supported)
        .map_err(|e| explain("io_uring_register", &e, &kernel))?;
    let needed = [
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("SEND", opcode::Send::CODE),
        ("RECV", opcode::Recv::CODE),
        ("FILES_UPDATE", opcode::FilesUpdate::CODE),
    ];
    let names: Vec<_> = needed
        .into_iter()
        .filter(|(_, code)| !supported.is_supported(*code))
        .map(|n| n.0)
        .collect();
    if !names.is_empty() {
        return Err(ProbeError::MissingOperations { kernel, names });
    }
    let files = file_kind(&mut ring).map_err(|e| explain("registered files", &e, &kernel))?;
    Ok(ProbeReport { kernel, flags, files })
}

/// Bytes that whoever is not root may still write on the file system of a folder.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data; zeroes are a value of it.
    let mut found: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: the kernel reads a path that ends with its zero and writes one statvfs into `found`;
    // both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn best_ring() -> io::Result<(IoUring, Flags)> {
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in Flags::BEST_FIRST {
        let mut builder = IoUring::builder();
        match flags {
            Flags::Defer => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
            }
            Flags::Coop => {
                builder.setup_coop_taskrun().setup_submit_all();
            }
            Flags::None => {}
        }
        match builder.build(8) {
            Ok(ring) => return Ok((ring, flags)),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// What this kernel is good for, found by trying: versions say little about patched kernels.
fn file_kind(ring: &mut IoUring) -> io::Result<FileKind> {
    let (watched, _open) = UnixStream::pair()?;
    let (closed, mut peer) = UnixStream::pair()?;
    ring.submitter().register_files(&[watched.as_raw_fd(), closed.as_raw_fd()])?;
    drop((watched, closed));
    // Waits for as long as the ring is there, as the receive of an idle tunnel does.
    let wait = opcode::PollAdd::new(types::Fixed(0), libc::POLLIN as u32).build();
    let close = opcode::Close::new(types::Fixed(1)).build();
    // SAFETY: neither operation names memory of ours.
    unsafe { ring.submission().push_multiple(&[wait, close]) }
        .map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    ring.submit_and_wait(1)?;
    // It was closed within the call above, or will be when the other wait ends.
    peer.set_read_timeout(Some(CLOSE_PATIENCE))?;
    match peer.read(&mut [0]) {
        Ok(_) => Ok(FileKind::Registered),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(FileKind::Descriptors)
        }
        Err(e) => Err(e),
    }
}

fn explain(step: &'static str, error: &io::Error, kernel: &str) -> ProbeError {
    match error.raw_os_error() {
        Some(libc::ENOSYS) if version(kernel).is_some_and(|seen| seen < KERNEL_MIN) => {
            ProbeError::TooOld { kernel: kernel.to_owned() }
        }
        Some(libc::ENOSYS) => ProbeError::NotBuilt { kernel: kernel.to_owned() },
        Some(libc::EPERM | libc::EACCES) => ProbeError::Forbidden {
            disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
        },
        _ => ProbeError::Failed { step, error: error.to_string() },
    }
}

/// `6.18.44-something` is (6, 18).
fn version(kernel: &str) -> Option<(u32, u32)> {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes() {
        let report = probe().unwrap();
        assert!(version(&report.kernel).unwrap() >= KERNEL_MIN, "{report}");
        assert_eq!((report.flags, report.files), (Flags::Defer, FileKind::Registered));
    }

    #[test]
    fn a_report_says_what_is_not_as_it_should_be() {
        let report = |files| ProbeReport { kernel: "6.12.43".into(), flags: Flags::Coop, files };
        let text = report(FileKind::Registered).to_string();
        assert_eq!(text, "Linux 6.12.43, io_uring flags: coop_taskrun, submit_all");
        let text = report(FileKind::Descriptors).to_string();
        assert!(
            text.ends_with(
                "submit_all; descriptors for tunnels (before Linux 6.13 closed \
                                registered files are held back)"
            ),
            "{text}"
        );
    }

    #[test]
    fn versions() {
        for (text, expected) in [
            ("6.18.44-cloud-v2", Some((6, 18))),
            ("5.10.0", Some((5, 10))),
            ("6.1-rc3", Some((6, 1))),
            ("", None),
            ("kernel", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn every_error_names_cause_and_way_out() {
        let errno = io::Error::from_raw_os_error;
        let cases = [
            (explain("io_uring_setup", &errno(libc::ENOSYS), "5.4.0"), ["5.4.0", "6.1 or newer"]),
            (
                explain("io_uring_setup", &errno(libc::ENOSYS), "6.8.0"),
                ["ENOSYS", "CONFIG_IO_URING"],
            ),
            (ProbeError::Forbidden { disabled: Some(1) }, ["is 1", "io_uring_group"]),
            (ProbeError::Forbidden { disabled: Some(2) }, ["is 2", "io_uring_disabled=0"]),
            (
                ProbeError::Forbidden { disabled: Some(0) },
                ["EPERM", "packaging/seccomp-io_uring.json"],
            ),
            (
                explain("io_uring_setup", &errno(libc::ENOMEM), "6.8.0"),
                ["io_uring_setup", "memory"],
            ),
        ];
        for (error, parts) in cases {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
