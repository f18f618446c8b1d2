//! Workers as the operating system sees them: threads, cores, rings, descriptors and socket
//! options.

use std::path::Path;

use crate::harness::{DomainFile, Edge, Origin, Tunnel, eventually};

fn edge_to(origin: &Origin) -> crate::harness::EdgeBuilder {
    Edge::builder().domain(DomainFile::to("a.test", origin))
}

/// Cores on which each worker thread may run.
fn cores_of_workers(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let read = |path: &Path, file: &str| std::fs::read_to_string(path.join(file)).ok();
    let mut cores: Vec<String> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            read(&path, "comm")?.starts_with("worker-").then_some(())?;
            let status = read(&path, "status")?;
            let line = status.lines().find(|l| l.starts_with("Cpus_allowed_list:"))?;
            Some(line.split_whitespace().nth(1)?.to_owned())
        })
        .collect();
    cores.sort_unstable();
    cores
}

#[test]
fn one_pinned_worker_per_core_that_the_process_may_run_on() {
    let origin = Origin::bind();
    let allowed = std::thread::available_parallelism().expect("a number").get();
    let edge = edge_to(&origin).workers("\"auto\"").start();
    let cores = cores_of_workers(edge.pid);
    assert_eq!(cores.len(), allowed, "{cores:?}");
    assert!(cores.iter().all(|core| core.parse::<usize>().is_ok()), "not pinned: {cores:?}");
    assert_eq!(edge.control("GET", "/v1/status", None)["cores"], allowed);
    let first = cores[0].clone();
    let confined = edge_to(&origin).workers("\"auto\"").wrapped(&["taskset", "-c", &first]).start();
    assert_eq!(cores_of_workers(confined.pid), [first]);
    Tunnel::open(&confined, &origin, "a.test").check();
}

#[test]
fn every_worker_takes_connections_and_each_address_is_shared() {
    let origin = Origin::echoing();
    let edge = edge_to(&origin).workers(2).start();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = edge.connect();
            client.send(crate::harness::upgrade_request("a.test", ""));
            assert_eq!(client.head().status(), 101);
            client
        })
        .collect();
    for core in ["0", "1"] {
        eventually("both cores hold some", || {
            let tunnels = edge.metrics().sum("hawser_tunnels", &[("core", core)]);
            (tunnels >= 20.0).then_some(())
        });
    }
    drop(clients);
}

#[test]
fn tunnels_cost_no_descriptors() {
    let origin = Origin::bind();
    let edge = edge_to(&origin).start();
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", edge.pid)).expect("a living process").count();
    Tunnel::open(&edge, &origin, "a.test").check();
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 0.0);
    let before = descriptors();
    let mut tunnels: Vec<_> = (0..20).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    tunnels.iter_mut().for_each(Tunnel::check);
    // A connection of the metrics' client may come and go meanwhile.
    eventually("sockets of tunnels leave the table", || {
        (descriptors() <= before + 4).then_some(())
    });
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let origin = Origin::bind();
    let edge = edge_to(&origin).wrapped(&["prlimit", "--nofile=256:4096"]).start();
    edge.await_metric("process_max_fds", &[], 4096.0);
}

/// A kernel that lacks a flag refuses the ring that asks for it; the next best is taken.
#[test]
fn ring_flags_degrade_one_by_one() {
    let Some(strace) = crate::program::strace() else { return };
    let origin = Origin::bind();
    for failures in ["1", "1..2"] {
        let inject = format!("inject=io_uring_setup:error=EINVAL:when={failures}");
        // -D: the edge stays this test's child, and strace ends with it.
        let words = [strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let edge = edge_to(&origin).wrapped(&words).start();
        Tunnel::open(&edge, &origin, "a.test").check();
    }
}

/// The kernel itself notices a peer that is gone without a word, on either leg.
#[test]
fn both_legs_are_kept_alive_by_the_kernel() {
    let origin = Origin::bind();
    let edge = edge_to(&origin).start();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let legs = [
        (edge.addr().port(), tunnel.client.local().port()),
        (tunnel.origin.peer().port(), origin.addr.port()),
    ];
    for (local, remote) in legs {
        eventually("a keepalive timer is armed", || {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
            let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
            let row =
                table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|row| {
                    row.get(1).is_some_and(|a| a.ends_with(&local))
                        && row.get(2).is_some_and(|a| a.ends_with(&remote))
                })?;
            // The column of timers: 02 is keepalive (Documentation/networking/proc_net_tcp.rst).
            row.get(5)?.starts_with("02:").then_some(())
        });
    }
}
