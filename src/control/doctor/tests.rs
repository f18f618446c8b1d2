//! Hosts that are folders, and what is found of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::*;
use crate::net::probe::{FileKind, Flags, ProbeError, ProbeReport};

struct Tree(tempfile::TempDir);

/// A host on which everything is right for a million connections.
const GOOD: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.43+deb13-amd64\n"),
    ("proc/self/limits", LIMITS),
    ("proc/77/limits", LIMITS),
    ("proc/self/cgroup", "0::/system.slice/hawser.service\n"),
    ("proc/77/cgroup", "0::/system.slice/hawser.service\n"),
    ("sys/fs/cgroup/system.slice/hawser.service/memory.max", "max\n"),
    ("sys/fs/cgroup/system.slice/hawser.service/cpu.max", "max 100000\n"),
    ("proc/meminfo", "MemTotal:       65840316 kB\nMemFree: 1 kB\n"),
    ("proc/swaps", "Filename Type Size Used Priority\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("proc/sys/fs/nr_open", "4000000\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/net/core/somaxconn", "65535\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_abort_on_overflow", "0\n"),
    ("proc/sys/net/ipv4/tcp_timestamps", "1\n"),
    ("proc/sys/net/ipv4/tcp_sack", "1\n"),
    ("proc/sys/net/ipv4/tcp_window_scaling", "1\n"),
    ("proc/sys/net/ipv4/tcp_max_tw_buckets", "262144\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "8080,20000-20010\n"),
    ("proc/sys/vm/overcommit_memory", "0\n"),
    ("proc/sys/net/ipv4/tcp_migrate_req", "1\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "10240\t65535\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "786432\t1572864\t3145728\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t32768\t4194304\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/ipv4/tcp_notsent_lowat", "131072\n"),
    ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0\n"),
    ("proc/sys/net/ipv4/tcp_ehash_entries", "2097152\n"),
];

const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
    Max open files            1024                 1048576              files     \n\
    Max locked memory         unlimited            unlimited            bytes     \n";

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| tree.write(path, text));
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn host(&self) -> Host {
        let kernel = "6.12".to_owned();
        Host {
            root: self.0.path().to_owned(),
            process: Process::Asking,
            io_uring: Ok(ProbeReport { kernel, flags: Flags::Defer, files: FileKind::Registered }),
            free: |_| Ok(100 << 30),
        }
    }
}

fn facts(connections: u64, from: SizeFrom) -> Facts {
    Facts {
        state_dir: "/nowhere/at/all".into(),
        workers: 8,
        size: Size { connections, from },
        endpoints: 20,
        ports: vec![80, 20_005],
        certificates: Vec::new(),
        now: 0,
    }
}

fn million() -> Facts {
    facts(1_000_000, SizeFrom::Asked)
}

fn found<'a>(report: &'a Report, name: &str) -> &'a Finding {
    report.items.iter().find(|item| item.name == name).unwrap()
}

#[test]
fn a_host_that_is_right_has_nothing_to_fix() {
    let report = examine(&Tree::new(GOOD).host(), &million());
    let wrong: Vec<_> = report.items.iter().filter(|item| item.state != State::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((report.state, report.items.len()), (State::Ok, TABLE.len()));
    assert!(report.items.iter().all(|item| item.fix.is_none() && item.seen.is_some()));
    // 20 origins with 55,296 ports each are what allows no more.
    let allowed = report.connections.unwrap();
    assert_eq!(allowed.allowed, 20 * 55_296);
    assert_eq!(allowed.by, "net.ipv4.ip_local_port_range 55,296");
}

#[test]
fn a_kernel_that_holds_closed_files_back_costs_descriptors() {
    let tree = Tree::new(GOOD);
    let mut host = tree.host();
    let kernel = "6.12".to_owned();
    let (flags, files) = (Flags::Defer, FileKind::Descriptors);
    host.io_uring = Ok(ProbeReport { kernel, flags, files });
    let report = examine(&host, &million());
    let ring = found(&report, "io_uring");
    assert_eq!(ring.state, State::Notice);
    assert!(ring.fix.as_ref().is_some_and(|fix| fix.starts_with("Linux 6.13 or newer")));
    let limit = found(&report, "LimitNOFILE=");
    assert_eq!(limit.state, State::Problem);
    assert!(limit.fix.as_ref().is_some_and(|fix| fix.starts_with("LimitNOFILE=4194304")));
    // Three quarters of 1,048,576 - 64, two for each, over eight workers.
    assert_eq!(report.connections.unwrap().allowed, 8 * 57_340);
}

#[test]
fn what_keeps_the_edge_from_its_size_is_a_problem_and_else_a_notice() {
    let tree = Tree::new(GOOD);
    let cases: [(&str, &str, &str, &str, &str); 6] = [
        (
            "LimitNOFILE=",
            "proc/self/limits",
            "Max open files  1024  20000  files\nMax locked memory  1  unlimited  bytes\n",
            "20,000",
            "LimitNOFILE=524288",
        ),
        ("fs.file-max", "proc/sys/fs/file-max", "100000", "100,000", "fs.file-max = 4000000"),
        (
            "net.ipv4.ip_local_port_range",
            "proc/sys/net/ipv4/ip_local_port_range",
            "32768\t60999",
            "28,232",
            "net.ipv4.ip_local_port_range = 10240 65535",
        ),
        ("memory", "proc/meminfo", "MemTotal: 2097152 kB", "2,147,483,648", "10,277 MiB"),
        (
            "memory",
            "sys/fs/cgroup/system.slice/memory.max",
            "1073741824",
            "1,073,741,824",
            "MemoryMax= of the unit",
        ),
        (
            "net.netfilter.nf_conntrack_max",
            "proc/sys/net/netfilter/nf_conntrack_max",
            "262144",
            "262,144",
            "net.netfilter.nf_conntrack_max = 2500000",
        ),
    ];
    tree.write("proc/sys/net/netfilter/nf_conntrack_count", "5");
    for (name, path, text, seen, fix) in cases {
        let before = fs::read_to_string(tree.0.path().join(path)).ok();
        // The nearest group that has a limit counts.
        let service = "sys/fs/cgroup/system.slice/hawser.service/memory.max";
        fs::remove_file(tree.0.path().join(service)).unwrap();
        tree.write(path, text);
        let asked = examine(&tree.host(), &million());
        let finding = found(&asked, name);
        assert_eq!(
            (finding.state, finding.seen.as_deref()),
            (State::Problem, Some(seen)),
            "{path}"
        );
        assert!(finding.fix.as_deref().unwrap().contains(fix), "{finding:?}");
        assert_eq!(asked.state, State::Problem);
        assert!(asked.connections.unwrap().by.starts_with(name), "{path}");
        let assumed = examine(&tree.host(), &facts(1_000_000, SizeFrom::Assumed));
        assert_eq!(found(&assumed, name).state, State::Notice, "{path}");
        let few = examine(&tree.host(), &facts(1_000, SizeFrom::Configured));
        assert_ne!(found(&few, name).state, State::Problem, "{path}");
        match before {
            Some(before) => tree.write(path, &before),
            None => fs::remove_file(tree.0.path().join(path)).unwrap(),
        }
        tree.write(service, "max\n");
    }
}

#[test]
fn what_costs_is_a_notice_with_the_line_that_fixes_it() {
    let tree = Tree::new(GOOD);
    for (name, path, text, fix) in [
        ("net.core.somaxconn", "proc/sys/net/core/somaxconn", "128", "somaxconn = 65535"),
        ("net.ipv4.tcp_migrate_req", "proc/sys/net/ipv4/tcp_migrate_req", "0", "= 1"),
        ("net.ipv4.tcp_timestamps", "proc/sys/net/ipv4/tcp_timestamps", "0", "= 1"),
        ("net.ipv4.tcp_sack", "proc/sys/net/ipv4/tcp_sack", "0", "= 1"),
        ("net.ipv4.tcp_window_scaling", "proc/sys/net/ipv4/tcp_window_scaling", "0", "= 1"),
        ("net.ipv4.tcp_abort_on_overflow", "proc/sys/net/ipv4/tcp_abort_on_overflow", "1", "= 0"),
        ("net.ipv4.tcp_max_tw_buckets", "proc/sys/net/ipv4/tcp_max_tw_buckets", "5000", "131072"),
        ("vm.overcommit_memory", "proc/sys/vm/overcommit_memory", "2", "= 0"),
        ("net.ipv4.tcp_mem", "proc/sys/net/ipv4/tcp_mem", "1 2 3", "= 750000 1500000 3000000"),
        ("net.ipv4.tcp_rmem", "proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456", "4096 32768"),
        (
            "transparent huge pages",
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "echo madvise",
        ),
        (
            "clock source",
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
            "echo tsc",
        ),
        (
            "processors",
            "sys/fs/cgroup/system.slice/hawser.service/cpu.max",
            "150000 100000",
            "CPUQuota=800%",
        ),
        ("net.ipv4.tcp_ehash_entries", "proc/sys/net/ipv4/tcp_ehash_entries", "-4096", "thash_"),
    ] {
        let before = fs::read_to_string(tree.0.path().join(path)).unwrap();
        tree.write(path, text);
        let report = examine(&tree.host(), &million());
        let finding = found(&report, name);
        assert_eq!((finding.state, report.state), (State::Notice, State::Notice), "{name}");
        assert!(finding.fix.as_deref().unwrap().contains(fix), "{finding:?}");
        tree.write(path, &before);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_not_guessed() {
    let report = examine(&Tree::new(&[]).host(), &million());
    assert_eq!(report.connections, None);
    for item in report.items.iter().filter(|item| item.seen.is_none()) {
        assert_eq!((item.state, &item.fix), (State::Notice, &None), "{item:?}");
        let names_the_file = item.why.contains("/proc/") || item.why.contains("/sys/");
        assert!(item.why.starts_with("it cannot be judged: ") && names_the_file, "{item:?}");
    }
    let unread = report.items.iter().filter(|item| item.seen.is_none()).count();
    assert!(unread > 15, "{unread}");
    let tree = Tree::new(GOOD);
    tree.write("proc/self/limits", "nothing");
    let report = examine(&tree.host(), &million());
    assert!(found(&report, "LimitNOFILE=").why.contains("has no Max open files"));
}

#[test]
fn limits_are_those_of_the_edge_when_one_runs() {
    let tree = Tree::new(GOOD);
    tree.write("proc/self/limits", "Max open files 1 1024 files\n");
    let host = Host { process: Process::Edge(77), ..tree.host() };
    let report = examine(&host, &million());
    assert_eq!((report.pid, report.state), (Some(77), State::Ok));
    assert_eq!(examine(&tree.host(), &million()).state, State::Problem);
}

#[test]
fn old_kernels_and_forbidden_rings_are_problems_whatever_the_size() {
    let tree = Tree::new(GOOD);
    tree.write("proc/sys/kernel/osrelease", "5.15.0-91-generic");
    let forbidden = ProbeError::Forbidden { disabled: Some(2) };
    let host = Host { io_uring: Err(forbidden), ..tree.host() };
    let report = examine(&host, &facts(10, SizeFrom::Assumed));
    assert_eq!(found(&report, "Linux").state, State::Problem);
    let ring = found(&report, "io_uring");
    assert_eq!(ring.state, State::Problem);
    assert!(ring.fix.as_deref().unwrap().contains("kernel.io_uring_disabled=0"), "{ring:?}");
}

#[test]
fn memory_of_control_groups_of_the_first_version() {
    let tree = Tree::new(GOOD);
    tree.write("proc/self/cgroup", "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n");
    tree.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
    assert_eq!(tree.host().memory().unwrap(), 1 << 30);
}

#[test]
fn the_state_directory_is_looked_at() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new(GOOD);
    tree.write("state/node.key", "x");
    tree.write("state/admin.key", "x");
    let dir = tree.0.path().join("state");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let look = |name: &str| {
        let facts = Facts { state_dir: dir.clone(), ..million() };
        found(&examine(&tree.host(), &facts), name).clone()
    };
    mode(&dir, 0o700);
    mode(&dir.join("node.key"), 0o600);
    mode(&dir.join("admin.key"), 0o640);
    let finding = look("state directory");
    assert_eq!(finding.state, State::Problem);
    assert_eq!(finding.fix.unwrap(), format!("chmod go= {}", dir.join("admin.key").display()));
    mode(&dir.join("admin.key"), 0o600);
    assert_eq!(look("state directory").state, State::Ok);
    mode(&dir, 0o755);
    assert_eq!(look("state directory").state, State::Notice);
    mode(&dir, 0o777);
    assert_eq!(look("state directory").state, State::Problem);
    let free = |free: fn(&Path) -> io::Result<u64>| {
        let facts = Facts { state_dir: dir.clone(), ..million() };
        found(&examine(&Host { free, ..tree.host() }, &facts), "free disk").state
    };
    assert_eq!(free(|_| Ok(1 << 20)), State::Problem);
    assert_eq!(free(|_| Ok(1 << 30)), State::Notice);
    assert_eq!(free(|_| Err(io::ErrorKind::PermissionDenied.into())), State::Notice);
}

#[test]
fn the_certificate_that_ends_first_counts() {
    let tree = Tree::new(GOOD);
    for (days, state, said) in [
        (-3, State::Problem, "over since 3 days"),
        (5, State::Notice, "ends in 5 days"),
        (60, State::Ok, "ends in 60 days"),
    ] {
        let of = |domain: &str, days: i64| Certificate {
            domain: domain.to_owned(),
            not_after: days * 86_400,
        };
        let certificates = vec![of("b.test", 90), of("a.test", days)];
        let facts = Facts { certificates, ..million() };
        let report = examine(&tree.host(), &facts);
        let finding = found(&report, "certificates");
        assert_eq!(finding.state, state, "{days}");
        let seen = finding.seen.as_deref().unwrap();
        assert!(seen.contains(said) && seen.contains("a.test"), "{seen}");
    }
}

#[test]
fn numbers_are_read_in_groups() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
}

const TUNING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning");

/// `HAWSER_WRITE_DOCS=1 cargo test --lib the_tuning_documents` writes their tables anew: rows of
/// the checks that `<!-- doctor: NAME; NAME -->` names, up to `<!-- end -->`.
#[test]
fn the_tuning_documents_have_the_same_table() {
    let mut told = BTreeSet::new();
    for entry in fs::read_dir(TUNING).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let written = fs::read_to_string(&page).unwrap();
        let (mut wanted, mut rest) = (String::new(), &*written);
        while let Some((before, from)) = rest.split_once("<!-- doctor: ") {
            let (names, from) = from.split_once(" -->\n").expect("a mark ends on its line");
            let (_, after) = from.split_once("<!-- end -->").expect("a table ends");
            let table = manual::markdown(names, &mut told);
            wanted += &format!("{before}<!-- doctor: {names} -->\n{table}<!-- end -->");
            rest = after;
        }
        wanted += rest;
        if std::env::var_os("HAWSER_WRITE_DOCS").is_some() && wanted != written {
            fs::write(&page, &wanted).unwrap();
        }
        let page_now = fs::read_to_string(&page).unwrap();
        assert!(
            page_now == wanted,
            "{} differs from src/control/doctor/table.rs; write it anew with \
             HAWSER_WRITE_DOCS=1 cargo test --lib the_tuning_documents",
            page.display()
        );
    }
    let untold: Vec<_> =
        TABLE.iter().map(|check| check.name).filter(|n| !told.contains(n)).collect();
    assert!(untold.is_empty(), "no page of tuning/ has a row for {untold:?}");
}

/// What the kernel has right by itself: setting it would only freeze today's value, or lower it.
const RIGHT_BY_DEFAULT: [&str; 11] = [
    "fs.file-max",
    "fs.nr_open",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_ehash_entries",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_wmem",
];

/// What is shipped fits what is asked for, and nothing of it is there for nothing.
#[test]
fn the_sysctl_file_that_is_shipped_meets_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sysctl.d/90-hawser.conf");
    let tree = Tree::new(GOOD);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut set = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(" = ").unwrap();
        tree.write(&format!("proc/sys/{}", name.replace('.', "/")), value);
        set.push(name);
    }
    let report = examine(&tree.host(), &million());
    let wrong: Vec<_> = report.items.iter().filter(|item| item.state != State::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let checks = report.items.iter().map(|item| item.name.as_str());
    for name in checks.filter(|name| name.starts_with("net.ipv4.") || name.starts_with("fs.")) {
        let (shipped, default) = (set.contains(&name), RIGHT_BY_DEFAULT.contains(&name));
        assert!(shipped != default, "{name}: in 90-hawser.conf, or right by default");
    }
}

/// Hosts as they come, for the three sizes of the documents.
#[test]
fn a_host_with_the_kernels_defaults() {
    let tree = Tree::new(GOOD);
    for (path, text) in [
        ("proc/self/limits", "Max open files 1024 524288 files\nMax locked memory 1 8388608 b\n"),
        ("proc/meminfo", "MemTotal: 16777216 kB\n"),
        ("proc/sys/fs/nr_open", "1048576"),
        ("proc/sys/net/core/somaxconn", "4096"),
        ("proc/sys/net/ipv4/tcp_migrate_req", "0"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768 60999"),
        ("proc/sys/net/ipv4/tcp_tw_reuse", "2"),
        ("proc/sys/net/ipv4/tcp_mem", "188319 251092 376638"),
        ("proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456"),
        ("proc/sys/net/ipv4/tcp_notsent_lowat", "4294967295"),
        ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1"),
        ("proc/sys/net/ipv4/tcp_ehash_entries", "131072"),
    ] {
        tree.write(path, text);
    }
    for (connections, workers, problems) in [
        (100_000, 4, &[][..]),
        (1_000_000, 8, &["net.ipv4.ip_local_port_range"][..]),
        (10_000_000, 32, &["LimitNOFILE=", "net.ipv4.ip_local_port_range", "memory"][..]),
    ] {
        let facts = Facts { workers, ..facts(connections, SizeFrom::Asked) };
        let report = examine(&tree.host(), &facts);
        let found = report.items.iter().filter(|item| item.state == State::Problem);
        let found: Vec<_> = found.map(|item| item.name.as_str()).collect();
        assert_eq!(found, problems, "{connections}");
        let allowed = report.connections.unwrap();
        assert_eq!(
            (allowed.allowed, &*allowed.by),
            (564_640, "net.ipv4.ip_local_port_range 28,232")
        );
        assert!(report.items.iter().all(|item| (item.state == State::Ok) == item.fix.is_none()));
    }
}

#[test]
fn listening_ports_that_a_connection_to_an_origin_could_take() {
    let tree = Tree::new(GOOD);
    let facts = Facts { ports: vec![80, 8_443, 20_005, 20_011, 30_000], ..million() };
    let report = examine(&tree.host(), &facts);
    let finding = found(&report, "net.ipv4.ip_local_reserved_ports");
    assert_eq!(
        (finding.state, finding.seen.as_deref()),
        (State::Notice, Some("20011, 30000 not reserved"))
    );
    let line = "net.ipv4.ip_local_reserved_ports = 8080,20000-20010,20011,30000";
    assert_eq!(finding.fix.as_deref(), Some(line));
}

#[test]
fn a_governor_counts_where_it_keeps_a_processor_slow() {
    let tree = Tree::new(GOOD);
    let look = || found(&examine(&tree.host(), &million()), "frequency governor").state;
    let folder = "sys/devices/system/cpu/cpu0/cpufreq";
    tree.write(&format!("{folder}/scaling_governor"), "powersave");
    tree.write(&format!("{folder}/scaling_driver"), "acpi-cpufreq");
    assert_eq!(look(), State::Notice);
    tree.write(&format!("{folder}/scaling_driver"), "intel_pstate");
    assert_eq!(look(), State::Ok);
}

#[test]
fn a_table_of_flows_that_the_edge_is_kept_out_of_is_large_enough() {
    let tree = Tree::new(GOOD);
    tree.write("proc/sys/net/netfilter/nf_conntrack_max", "262144");
    for (tracked, sockets, state) in [
        ("0", "4", State::Ok),
        ("12", "9", State::Problem),
        ("12", "250000", State::Ok),
        ("200000", "250000", State::Problem),
    ] {
        tree.write("proc/sys/net/netfilter/nf_conntrack_count", tracked);
        tree.write(
            "proc/net/sockstat",
            &format!("sockets: used 9\nTCP: inuse {sockets} orphan 0\n"),
        );
        let report = examine(&tree.host(), &million());
        assert_eq!(found(&report, "net.netfilter.nf_conntrack_max").state, state, "{tracked}");
    }
}
