//! The table: each setting with what it does, the value for a size, how it is read, what it bounds,
//! the line that fixes it, and when to leave it alone. `tuning/README.md` is made from it.

use std::fmt;
use std::path::Path;

use super::host::Host;
use super::{Looked, Scale, State, Topic, grouped};
use crate::limits::{BACKLOG, REGISTERED_FILES_MAX};
use crate::net::probe::{Capacity, FileKind, KERNEL_MIN};

/// One setting of the host.
pub struct Check {
    pub name: &'static str,
    pub topic: Topic,
    pub does: &'static str,
    pub wanted: fn(Scale) -> Wanted,
    /// # Errors
    /// Why it cannot be read.
    pub read: fn(&Looked<'_>) -> Result<Seen, String>,
    pub breaks: Breaks,
    /// Connections that a number of it allows.
    pub bounds: Option<fn(&Looked<'_>, u64) -> u64>,
    pub fix: fn(Scale) -> String,
    /// How an operator sees that it holds.
    pub verify: &'static str,
    /// When not to touch it, and what else to know.
    pub care: &'static str,
}

/// What falling short of it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// It costs.
    Never,
    /// The edge cannot have its size when what it bounds is less.
    Size,
    Always,
}

/// The value that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    AtLeast(u64),
    AtMost(u64),
    OneOf(&'static [&'static str]),
    /// Whoever reads it judges it too.
    Said(&'static str),
}

/// The value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Number(u64),
    Unlimited,
    Word(String),
    /// It does not matter here, and why.
    Absent(&'static str),
    Judged {
        state: State,
        seen: String,
        fix: Option<String>,
    },
}

impl Wanted {
    pub fn is_met(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Wanted::AtLeast(least), Seen::Number(number)) => number >= least,
            (Wanted::AtLeast(_), Seen::Unlimited) => true,
            (Wanted::AtMost(most), Seen::Number(number)) => number <= most,
            (Wanted::OneOf(words), Seen::Word(word)) => words.contains(&word.as_str()),
            _ => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::AtLeast(least) => write!(f, "at least {}", grouped(*least)),
            Wanted::AtMost(most) => write!(f, "at most {}", grouped(*most)),
            Wanted::OneOf(words) => f.write_str(&words.join(" or ")),
            Wanted::Said(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Number(number) => f.write_str(&grouped(*number)),
            Seen::Unlimited => f.write_str("unlimited"),
            Seen::Word(word) => f.write_str(word),
            Seen::Absent(why) => f.write_str(why),
            Seen::Judged { seen, .. } => f.write_str(seen),
        }
    }
}

/// Of the host's memory for each connection: two sockets of the kernel, two receives that the ring
/// has armed, and what Hawser keeps of an idle tunnel (tuning/memory.md).
const BYTES_PER_CONNECTION: u64 = 10 * 1024;
/// Beside connections: the program, its buffers, the database.
const BYTES_BESIDE: u64 = 512 << 20;
/// Local ports of one source address that are enough for one origin.
const PORTS: u64 = 55_000;
/// What of the state directory is for its owner only.
const SECRETS: [&str; 8] = [
    "node.key",
    "admin.key",
    "hawser.db",
    "hawser.db-wal",
    "hawser.db-shm",
    "certs",
    "requests",
    "acme",
];
/// Bytes that the state directory's file system should have left, and those that it must.
const FREE_WANTED: u64 = 2 << 30;
const FREE_LEAST: u64 = 200 << 20;
/// TIME_WAIT sockets: what origins of two ranges of ports leave within a minute.
const TIME_WAIT: u64 = 131_072;
const DAY: i64 = 86_400;
/// Days before its end from which a certificate is spoken of.
const CERTIFICATE_DAYS: i64 = 20;

fn number(name: &'static str, place: usize, looked: &Looked<'_>) -> Result<Seen, String> {
    looked.host.sysctl_number(name, place).map(Seen::Number)
}

fn word(name: &'static str, looked: &Looked<'_>) -> Result<Seen, String> {
    Ok(Seen::Word(looked.host.sysctl(name)?.join(" ")))
}

fn limit(looked: &Looked<'_>, name: &str) -> Result<Seen, String> {
    Ok(looked.host.limit(name)?.map_or(Seen::Unlimited, Seen::Number))
}

/// `NAME = VALUE`, for a file below /etc/sysctl.d.
fn sysctl(name: &str, value: impl fmt::Display) -> String {
    format!("{name} = {value}")
}

pub const TABLE: &[Check] = &[
    Check {
        name: "Linux",
        topic: Topic::Kernel,
        does: "has the io_uring operations that every tunnel needs",
        wanted: |_| Wanted::Said("6.1 or newer"),
        read: kernel,
        breaks: Breaks::Always,
        bounds: None,
        fix: |_| String::new(),
        verify: "`uname -r`",
        care: "",
    },
    Check {
        name: "io_uring",
        topic: Topic::Kernel,
        does: "carries every connection; there is no other way",
        wanted: |_| Wanted::Said("permitted"),
        read: io_uring,
        breaks: Breaks::Always,
        bounds: None,
        fix: |_| String::new(),
        verify: "`hawser run` starts",
        care: "prefer `kernel.io_uring_disabled=1` with `kernel.io_uring_group` of the service \
               to 0 for everybody",
    },
    Check {
        name: "clock source",
        topic: Topic::Kernel,
        does: "is read for every timer; a slow one costs microseconds each time",
        wanted: |_| {
            Wanted::OneOf(&["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"])
        },
        read: |looked| {
            let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
            looked.host.text(path).map(Seen::Word)
        },
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| {
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource".to_owned()
        },
        verify: "`cat /sys/devices/system/clocksource/clocksource0/current_clocksource`",
        care: "where the kernel itself gave `tsc` up (`dmesg`), leave it",
    },
    Check {
        name: "transparent huge pages",
        topic: Topic::Kernel,
        does: "`always` makes sparse memory resident",
        wanted: |_| Wanted::OneOf(&["madvise", "never"]),
        read: |looked| {
            let text = looked.host.text("/sys/kernel/mm/transparent_hugepage/enabled")?;
            let chosen = text.split(['[', ']']).nth(1);
            let chosen = chosen.ok_or_else(|| format!("nothing is chosen in {text:?}"))?;
            Ok(Seen::Word(chosen.to_owned()))
        },
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
        verify: "`AnonHugePages` in `/proc/PID/smaps_rollup`",
        care: "it holds for the whole host: ask the other programs' owners",
    },
    Check {
        name: "processors",
        topic: Topic::Limits,
        does: "each worker keeps one busy; a quota below stops all of them at once",
        wanted: |_| Wanted::Said("one for each worker"),
        read: processors,
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| String::new(),
        verify: "`cat /sys/fs/cgroup/.../cpu.max`",
        care: "",
    },
    Check {
        name: "frequency governor",
        topic: Topic::Kernel,
        does: "`powersave` keeps processors slow that are mostly idle, as an edge's are",
        wanted: |_| Wanted::OneOf(&["performance", "schedutil", "ondemand"]),
        read: governor,
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| "cpupower frequency-set -g performance".to_owned(),
        verify: "`cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor`",
        care: "costs power; of `intel_pstate` and `amd_pstate` in active mode `powersave` is not \
               slow, leave it",
    },
    Check {
        name: "LimitNOFILE=",
        topic: Topic::Limits,
        does: "size of each worker's file table, two for each tunnel; handshakes in flight",
        wanted: |scale| Wanted::AtLeast(scale.descriptors()),
        read: |looked| limit(looked, "Max open files"),
        breaks: Breaks::Size,
        bounds: Some(|looked, limit| {
            let Scale { workers, files, .. } = looked.scale;
            let each = Capacity::of(limit, files, workers as usize).tunnels;
            workers * u64::from(each)
        }),
        fix: |scale| {
            let files = scale.descriptors();
            format!(
                "LimitNOFILE={files} (systemctl edit hawser; without systemd: ulimit -n {files})"
            )
        },
        verify: "`grep 'open files' /proc/PID/limits`; Hawser logs at start what it allows",
        care: "Hawser raises its soft limit to the hard one; more than 1,048,576 is of no use, a \
               worker's table ends there",
    },
    Check {
        name: "fs.nr_open",
        topic: Topic::Limits,
        does: "ceiling for the above",
        wanted: |_| Wanted::AtLeast(REGISTERED_FILES_MAX),
        read: |looked| number("fs.nr_open", 0, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("fs.nr_open", REGISTERED_FILES_MAX),
        verify: "`sysctl fs.nr_open`",
        care: "the kernel's default is enough, and systemd raises it further: never set it lower",
    },
    Check {
        name: "fs.file-max",
        topic: Topic::Limits,
        does: "open files of the whole host, registered ones among them",
        wanted: |scale| Wanted::AtLeast((4 * scale.connections).max(1_000_000)),
        read: |looked| number("fs.file-max", 0, looked),
        breaks: Breaks::Size,
        bounds: Some(|_, files| files / 2),
        fix: |scale| sysctl("fs.file-max", (4 * scale.connections).max(1_000_000)),
        verify: "`cat /proc/sys/fs/file-nr`",
        care: "hosts with systemd have no bound here: leave it when it is higher",
    },
    Check {
        name: "LimitMEMLOCK=",
        topic: Topic::Limits,
        does: "memory of rings and registered buffers on kernels that account it",
        wanted: |_| Wanted::AtLeast(64 << 20),
        read: |looked| limit(looked, "Max locked memory"),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| {
            "LimitMEMLOCK=infinity (systemctl edit hawser; without systemd: ulimit -l)".to_owned()
        },
        verify: "`grep 'locked memory' /proc/PID/limits`",
        care: "",
    },
    Check {
        name: "net.core.somaxconn",
        topic: Topic::Accepting,
        does: "caps the accept queue of each listener; every worker has its own",
        wanted: |_| Wanted::AtLeast(BACKLOG.unsigned_abs().into()),
        read: |looked| number("net.core.somaxconn", 0, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.core.somaxconn", 65_535),
        verify: "`ss -ltn` (Send-Q is the queue's size, Recv-Q what waits)",
        care: "Hawser asks for 4,096",
    },
    Check {
        name: "net.ipv4.tcp_syncookies",
        topic: Topic::Accepting,
        does: "answers without a queue when the queue of half-open connections is full",
        wanted: |_| Wanted::OneOf(&["1", "2"]),
        read: |looked| word("net.ipv4.tcp_syncookies", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_syncookies", 1),
        verify: "`sysctl net.ipv4.tcp_syncookies`",
        care: "the queue itself is as long as the accept queue; `tcp_max_syn_backlog` counts only \
               where this is 0",
    },
    Check {
        name: "net.ipv4.tcp_abort_on_overflow",
        topic: Topic::Accepting,
        does: "1 resets whom a full accept queue has no room for, who would else try again",
        wanted: |_| Wanted::OneOf(&["0"]),
        read: |looked| word("net.ipv4.tcp_abort_on_overflow", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_abort_on_overflow", 0),
        verify: "`sysctl net.ipv4.tcp_abort_on_overflow`",
        care: "0 is the kernel's default",
    },
    Check {
        name: "net.ipv4.tcp_migrate_req",
        topic: Topic::Accepting,
        does: "moves queued connections to another listener when one closes",
        wanted: |_| Wanted::OneOf(&["1"]),
        read: |looked| word("net.ipv4.tcp_migrate_req", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_migrate_req", 1),
        verify: "stop one of two processes on one port under load: no resets",
        care: "without it a stop can reset connections that wait in the accept queue",
    },
    Check {
        name: "net.ipv4.ip_local_port_range",
        topic: Topic::Origins,
        does: "ports for connections to origins, for each source address, origin address and port",
        wanted: |_| Wanted::AtLeast(PORTS),
        read: |looked| {
            let name = "net.ipv4.ip_local_port_range";
            let bound = |place| looked.host.sysctl_number(name, place);
            Ok(Seen::Number((bound(1)? + 1).saturating_sub(bound(0)?)))
        },
        breaks: Breaks::Size,
        bounds: Some(|looked, ports| ports.saturating_mul(looked.facts.endpoints)),
        fix: |_| sysctl("net.ipv4.ip_local_port_range", "10240 65535"),
        verify: "`ss -s`; \"no free source port\" in the access log",
        care: "more tunnels than ports need more origin addresses or `source_addresses`",
    },
    Check {
        name: "net.ipv4.tcp_tw_reuse",
        topic: Topic::Origins,
        does: "reuses ports of outgoing connections a second after their end; of clients that \
               vanish each leaves such a port for a minute",
        wanted: |_| Wanted::OneOf(&["1"]),
        read: |looked| word("net.ipv4.tcp_tw_reuse", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_tw_reuse", 1),
        verify: "`nstat -az TcpExtTWRecycled`",
        care: "outgoing connections only; needs `tcp_timestamps` on",
    },
    Check {
        name: "net.ipv4.tcp_timestamps",
        topic: Topic::Origins,
        does: "measures round trips and makes the reuse of ports safe; old lists switch it off",
        wanted: |_| Wanted::OneOf(&["1", "2"]),
        read: |looked| word("net.ipv4.tcp_timestamps", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_timestamps", 1),
        verify: "`ss -tio` shows `ts`",
        care: "1 is the kernel's default",
    },
    Check {
        name: "net.ipv4.ip_local_reserved_ports",
        topic: Topic::Origins,
        does: "keeps connections to origins off the ports that the edge listens on, which a \
               restart would find taken",
        wanted: |_| Wanted::Said("every listening port that is in ip_local_port_range"),
        read: reserved_ports,
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| String::new(),
        verify: "`sysctl net.ipv4.ip_local_reserved_ports`",
        care: "it replaces the list: keep what is in it",
    },
    Check {
        name: "net.ipv4.tcp_max_tw_buckets",
        topic: Topic::Origins,
        does: "closed connections that the kernel remembers; beyond it they are forgotten too soon",
        wanted: |_| Wanted::AtLeast(TIME_WAIT),
        read: |looked| number("net.ipv4.tcp_max_tw_buckets", 0, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_max_tw_buckets", TIME_WAIT),
        verify: "`nstat -az TcpExtTCPTimeWaitOverflow`; `tw` in `/proc/net/sockstat`",
        care: "256 bytes each; the kernel's default is by its memory: never lower it",
    },
    Check {
        name: "memory",
        topic: Topic::Memory,
        does: "about 10 kB for each connection: two sockets and two receives of the kernel, and \
               Hawser's own",
        wanted: |scale| Wanted::AtLeast(scale.connections * BYTES_PER_CONNECTION + BYTES_BESIDE),
        read: |looked| looked.host.memory().map(Seen::Number),
        breaks: Breaks::Size,
        bounds: Some(|_, bytes| bytes.saturating_sub(BYTES_BESIDE) / BYTES_PER_CONNECTION),
        fix: |scale| {
            let bytes = scale.connections * BYTES_PER_CONNECTION + BYTES_BESIDE;
            format!("a host with {} MiB, or MemoryMax= of the unit above it", grouped(bytes >> 20))
        },
        verify: "`MemTotal` in `/proc/meminfo`, `memory.max` of the control group",
        care: "a model of idle connections: queued data and TLS come on top",
    },
    Check {
        name: "net.ipv4.tcp_mem",
        topic: Topic::Memory,
        does: "pages of queued data of all TCP sockets, at most (the last of three numbers)",
        wanted: |scale| Wanted::AtLeast(3 * scale.connections),
        read: |looked| number("net.ipv4.tcp_mem", 2, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |scale| {
            let pages = 3 * scale.connections;
            sysctl("net.ipv4.tcp_mem", format!("{} {} {pages}", pages / 4, pages / 2))
        },
        verify: "`cat /proc/net/sockstat`",
        care: "idle sockets add almost nothing; beyond it connections are reset. Never more than \
               a quarter of the memory",
    },
    Check {
        name: "net.ipv4.tcp_rmem",
        topic: Topic::Memory,
        does: "receive buffer that a socket begins with (the second of three numbers)",
        wanted: |_| Wanted::AtMost(32_768),
        read: |looked| number("net.ipv4.tcp_rmem", 1, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_rmem", "4096 32768 4194304"),
        verify: "`ss -tm`",
        care: "bounds what a silent reader makes the kernel hold; leave it where few connections \
               carry large messages",
    },
    Check {
        name: "net.ipv4.tcp_wmem",
        topic: Topic::Memory,
        does: "send buffer that a socket begins with (the second of three numbers)",
        wanted: |_| Wanted::AtMost(16_384),
        read: |looked| number("net.ipv4.tcp_wmem", 1, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304"),
        verify: "`ss -tm`",
        care: "",
    },
    Check {
        name: "net.ipv4.tcp_notsent_lowat",
        topic: Topic::Memory,
        does: "unsent bytes before a socket is full",
        wanted: |_| Wanted::AtMost(131_072),
        read: |looked| number("net.ipv4.tcp_notsent_lowat", 0, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_notsent_lowat", 131_072),
        verify: "`ss -tmi`",
        care: "the cheapest back-pressure",
    },
    Check {
        name: "net.ipv4.tcp_slow_start_after_idle",
        topic: Topic::Memory,
        does: "forgets the congestion window when idle, as tunnels mostly are",
        wanted: |_| Wanted::OneOf(&["0"]),
        read: |looked| word("net.ipv4.tcp_slow_start_after_idle", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_slow_start_after_idle", 0),
        verify: "`ss -ti`",
        care: "",
    },
    Check {
        name: "net.ipv4.tcp_sack",
        topic: Topic::Memory,
        does: "says which segments came; old lists switch it off",
        wanted: |_| Wanted::OneOf(&["1"]),
        read: |looked| word("net.ipv4.tcp_sack", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_sack", 1),
        verify: "`ss -tio` shows `sack`",
        care: "1 is the kernel's default",
    },
    Check {
        name: "net.ipv4.tcp_window_scaling",
        topic: Topic::Memory,
        does: "lets more than 64 KiB be under way; old lists switch it off",
        wanted: |_| Wanted::OneOf(&["1"]),
        read: |looked| word("net.ipv4.tcp_window_scaling", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("net.ipv4.tcp_window_scaling", 1),
        verify: "`ss -tio` shows `wscale`",
        care: "1 is the kernel's default",
    },
    Check {
        name: "net.ipv4.tcp_ehash_entries",
        topic: Topic::Memory,
        does: "buckets for finding a socket; too few make every packet slower",
        wanted: |scale| Wanted::AtLeast(scale.connections.next_power_of_two()),
        read: |looked| number("net.ipv4.tcp_ehash_entries", 0, looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |scale| {
            let buckets = scale.connections.next_power_of_two();
            format!("thash_entries={buckets} on the kernel's command line, then boot")
        },
        verify: "`sysctl net.ipv4.tcp_ehash_entries`",
        care: "a boot parameter; 16 bytes each",
    },
    Check {
        name: "vm.swappiness",
        topic: Topic::Memory,
        does: "how willingly the kernel swaps; a swapped proxy answers late",
        wanted: |_| Wanted::AtMost(10),
        read: swappiness,
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("vm.swappiness", 1),
        verify: "`sysctl vm.swappiness`",
        care: "",
    },
    Check {
        name: "vm.overcommit_memory",
        topic: Topic::Memory,
        does: "2 counts memory that is reserved and not touched, as tables of tunnels are",
        wanted: |_| Wanted::OneOf(&["0", "1"]),
        read: |looked| word("vm.overcommit_memory", looked),
        breaks: Breaks::Never,
        bounds: None,
        fix: |_| sysctl("vm.overcommit_memory", 0),
        verify: "`Committed_AS` and `CommitLimit` in `/proc/meminfo`",
        care: "0 is the kernel's default",
    },
    Check {
        name: "net.netfilter.nf_conntrack_max",
        topic: Topic::Conntrack,
        does: "flows that connection tracking has room for, two for each tunnel; beyond it \
               packets are dropped",
        wanted: |scale| Wanted::AtLeast(5 * scale.connections / 2),
        read: conntrack,
        breaks: Breaks::Size,
        bounds: Some(|_, flows| flows / 2),
        fix: |scale| sysctl("net.netfilter.nf_conntrack_max", 5 * scale.connections / 2),
        verify: "`sysctl net.netfilter.nf_conntrack_count`; \"table full\" in `dmesg`",
        care: "better: `notrack` rules for the edge's ports, both directions, clients and origins",
    },
    Check {
        name: "state directory",
        topic: Topic::State,
        does: "holds keys, domains and the database",
        wanted: |_| Wanted::Said("closed to others, its secrets to all but their owner"),
        read: permissions,
        breaks: Breaks::Always,
        bounds: None,
        fix: |_| String::new(),
        verify: "`ls -l STATE_DIR`",
        care: "",
    },
    Check {
        name: "free disk",
        topic: Topic::State,
        does: "statistics and changes are written there; without room statistics wait in memory",
        wanted: |_| Wanted::Said("2 GiB or more"),
        read: free,
        breaks: Breaks::Always,
        bounds: None,
        fix: |_| String::new(),
        verify: "`df STATE_DIR`",
        care: "",
    },
    Check {
        name: "certificates",
        topic: Topic::State,
        does: "clients refuse to connect once one is over",
        wanted: |_| Wanted::Said("each valid for 20 days or longer"),
        read: certificates,
        breaks: Breaks::Always,
        bounds: None,
        fix: |_| String::new(),
        verify: "`hawser cert list`",
        care: "",
    },
];

fn judged(state: State, seen: impl Into<String>, fix: impl Into<String>) -> Seen {
    let fix = (state != State::Ok).then(|| fix.into());
    Seen::Judged { state, seen: seen.into(), fix }
}

fn kernel(looked: &Looked<'_>) -> Result<Seen, String> {
    let release = looked.host.text("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(format!("the kernel calls itself {release:?}"));
    };
    let state = if (major, minor) < KERNEL_MIN { State::Problem } else { State::Ok };
    Ok(judged(state, release, "install a newer kernel"))
}

fn io_uring(looked: &Looked<'_>) -> Result<Seen, String> {
    Ok(match &looked.host.io_uring {
        Ok(report) => match report.files {
            FileKind::Registered => {
                judged(State::Ok, format!("permitted ({})", report.flags.name()), "")
            }
            FileKind::Descriptors => judged(
                State::Notice,
                "permitted, but closed registered files are held back",
                "Linux 6.13 or newer; until then each tunnel takes two descriptors",
            ),
        },
        Err(error) => judged(State::Problem, "it cannot be used", error.to_string()),
    })
}

fn processors(looked: &Looked<'_>) -> Result<Seen, String> {
    let workers = looked.scale.workers;
    let Some(quota) = looked.host.processors() else {
        return Ok(judged(State::Ok, format!("{workers} workers, no quota"), ""));
    };
    let state = if quota < workers as f64 { State::Notice } else { State::Ok };
    let fix = format!("CPUQuota={}% of the unit, or fewer server.workers", workers * 100);
    Ok(judged(state, format!("{workers} workers, {quota:.1} processors by quota"), fix))
}

fn governor(looked: &Looked<'_>) -> Result<Seen, String> {
    let folder = "/sys/devices/system/cpu/cpu0/cpufreq";
    if !looked.host.exists(folder) {
        return Ok(Seen::Absent("the host does not set the frequency of its processors"));
    }
    let driver = looked.host.text(&format!("{folder}/scaling_driver")).unwrap_or_default();
    if matches!(&*driver, "intel_pstate" | "amd-pstate-epp") {
        return Ok(Seen::Absent("the processors choose their frequency themselves"));
    }
    looked.host.text(&format!("{folder}/scaling_governor")).map(Seen::Word)
}

fn reserved_ports(looked: &Looked<'_>) -> Result<Seen, String> {
    let bound = |place| looked.host.sysctl_number("net.ipv4.ip_local_port_range", place);
    let (first, last) = (bound(0)?, bound(1)?);
    let reserved = looked.host.sysctl("net.ipv4.ip_local_reserved_ports")?.concat();
    let parts = || reserved.split(',').filter(|part| !part.is_empty());
    let holds = |part: &str, port: u64| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        from.parse().is_ok_and(|from: u64| from <= port)
            && to.parse().is_ok_and(|to: u64| port <= to)
    };
    let open: Vec<String> = looked
        .facts
        .ports
        .iter()
        .map(|port| u64::from(*port))
        .filter(|port| (first..=last).contains(port) && !parts().any(|part| holds(part, *port)))
        .map(|port| port.to_string())
        .collect();
    if open.is_empty() {
        return Ok(judged(State::Ok, "none of the edge's ports can be taken", ""));
    }
    let all: Vec<&str> = parts().chain(open.iter().map(String::as_str)).collect();
    let fix = sysctl("net.ipv4.ip_local_reserved_ports", all.join(","));
    Ok(judged(State::Notice, format!("{} not reserved", open.join(", ")), fix))
}

fn swappiness(looked: &Looked<'_>) -> Result<Seen, String> {
    let swaps = looked.host.text("/proc/swaps")?;
    if swaps.lines().count() <= 1 {
        return Ok(Seen::Absent("there is no swap"));
    }
    number("vm.swappiness", 0, looked)
}

fn conntrack(looked: &Looked<'_>) -> Result<Seen, String> {
    if !looked.host.exists("/proc/sys/net/netfilter/nf_conntrack_max") {
        return Ok(Seen::Absent("connection tracking is not loaded"));
    }
    let tracked = looked.host.sysctl_number("net.netfilter.nf_conntrack_count", 0)?;
    if tracked == 0 {
        return Ok(Seen::Absent("connection tracking is loaded and tracks nothing"));
    }
    // Few sockets could all be others'.
    if looked.host.tcp_sockets().is_some_and(|open| open > 1_000 && open / 4 > tracked) {
        return Ok(Seen::Absent("most connections of this host are not tracked"));
    }
    number("net.netfilter.nf_conntrack_max", 0, looked)
}

fn permissions(looked: &Looked<'_>) -> Result<Seen, String> {
    let dir = &looked.facts.state_dir;
    let Some(mode) = Host::mode(dir)? else {
        return Ok(judged(State::Ok, "not there yet: the first start makes it", ""));
    };
    if mode & 0o002 != 0 {
        let fix = format!("chmod 750 {}", dir.display());
        return Ok(judged(State::Problem, format!("{mode:03o}: others may write"), fix));
    }
    for file in SECRETS {
        let path = dir.join(file);
        let Some(mode) = Host::mode(&path)? else { continue };
        if mode & 0o077 != 0 {
            let fix = format!("chmod go= {}", path.display());
            let seen = format!("{file} has mode {mode:03o}: others than its owner may read it");
            return Ok(judged(State::Problem, seen, fix));
        }
    }
    let state = if mode & 0o007 == 0 { State::Ok } else { State::Notice };
    Ok(judged(state, format!("mode {mode:03o}"), format!("chmod o= {}", dir.display())))
}

fn free(looked: &Looked<'_>) -> Result<Seen, String> {
    let dir = looked.facts.state_dir.as_path();
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let free =
        (looked.host.free)(there).map_err(|error| format!("{}: {error}", there.display()))?;
    let state = match free {
        free if free < FREE_LEAST => State::Problem,
        free if free < FREE_WANTED => State::Notice,
        _ => State::Ok,
    };
    let fix = format!("make room on the file system of {}", dir.display());
    Ok(judged(state, format!("{} MiB", grouped(free >> 20)), fix))
}

fn certificates(looked: &Looked<'_>) -> Result<Seen, String> {
    let all = &looked.facts.certificates;
    let Some(first) = all.iter().min_by_key(|certificate| certificate.not_after) else {
        return Ok(Seen::Absent("none in use"));
    };
    let left = first.not_after - looked.facts.now;
    let state = match left {
        ..0 => State::Problem,
        left if left < CERTIFICATE_DAYS * DAY => State::Notice,
        _ => State::Ok,
    };
    let domain = &first.domain;
    let seen = match left.div_euclid(DAY) {
        days @ 0.. => format!("{} in use, the first of {domain} ends in {days} days", all.len()),
        days => format!("{} in use, that of {domain} is over since {} days", all.len(), -days),
    };
    let fix = format!("hawser cert set {domain}; of files: replace them, then hawser reload");
    Ok(judged(state, seen, fix))
}
