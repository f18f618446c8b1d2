//! What the kernel says about a process and the machine. Not here: what is made of it.

use std::fs;

use anyhow::Context as _;
use serde_json::{Value, json};

/// Proportional set size in bytes: what the process holds, shared pages counted by their share.
pub fn pss_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context(path)?;
    let kb: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kb * 1024)
}

/// Time that all threads of a process have run, kernel's part included, in nanoseconds. Kernel
/// worker threads of its rings are among them.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends between the two calls takes its time along; none does in a
        // measurement.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        ns += text.split(' ').next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(ns)
}

pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// What figures depend on, for the head of every result.
pub fn machine() -> Value {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = line("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name\t: ")).unwrap_or_default();
    json!({
        "kernel": line("/proc/sys/kernel/osrelease"),
        "cpu": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load_before": line("/proc/loadavg"),
    })
}
