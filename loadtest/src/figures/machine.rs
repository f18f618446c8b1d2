//! What figures depend on besides the programs. Not here: whether it suits a measurement.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::measure;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub memory_bytes: u64,
    /// What the kernel does about faults of this processor, by the names of the faults; those
    /// that it is not affected by are left out.
    pub mitigations: BTreeMap<String, String>,
    /// The hypervisor, or that there is none.
    pub virtualised: String,
    /// Size of the largest cache, as the kernel writes it.
    pub last_cache: String,
    /// The governor of the first core, where the machine has any.
    pub governor: String,
    pub distribution: String,
}

impl Machine {
    pub fn here() -> Machine {
        let cpuinfo = line("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name\t: "));
        Machine {
            kernel: version(&line("/proc/sys/kernel/osrelease")).to_owned(),
            cpu: model.unwrap_or("unknown").to_owned(),
            // Those of the machine: the process itself may be pinned.
            cpus: cpuinfo.lines().filter(|l| l.starts_with("processor\t")).count(),
            memory_bytes: memory_bytes(),
            mitigations: mitigations(),
            virtualised: virtualised(&cpuinfo),
            last_cache: known(line("/sys/devices/system/cpu/cpu0/cache/index3/size")),
            governor: known(line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            distribution: distribution(),
        }
    }

    /// For the head of what a single scenario says; taken before it begins.
    pub fn in_short() -> Value {
        let Machine { kernel, cpu, cpus, .. } = Machine::here();
        json!({ "kernel": kernel, "cpu": cpu, "cpus": cpus, "load_before": line("/proc/loadavg") })
    }
}

/// Without what the builder of the kernel put behind it: that tells hosts apart, not kernels.
fn version(release: &str) -> &str {
    release.split('-').next().unwrap_or(release)
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn known(text: String) -> String {
    if text.is_empty() { "unknown".into() } else { text }
}

fn memory_bytes() -> u64 {
    measure::bytes_of(&line("/proc/meminfo"), "MemTotal").unwrap_or(0)
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return BTreeMap::new();
    };
    let each = folder.flatten().map(|file| {
        let state = line(&file.path().to_string_lossy());
        (file.file_name().to_string_lossy().into_owned(), state)
    });
    each.filter(|(_, state)| state != "Not affected").collect()
}

fn virtualised(cpuinfo: &str) -> String {
    // Processors of other makes do not say it there.
    let Some(flags) = cpuinfo.lines().find(|l| l.starts_with("flags")) else {
        return "unknown".into();
    };
    if !flags.split(' ').any(|flag| flag == "hypervisor") {
        return "no".into();
    }
    let vendor = line("/sys/devices/virtual/dmi/id/sys_vendor");
    if vendor.is_empty() { "yes".into() } else { format!("yes ({vendor})") }
}

fn distribution() -> String {
    let release = line("/etc/os-release");
    let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    known(name.unwrap_or_default().trim_matches('"').to_owned())
}
