//! What the kernel says about a process and the machine. Not here: what is made of it.

use std::fs;

use anyhow::{Context as _, ensure};

/// Proportional set size in bytes: what the process holds, shared pages counted by their share.
pub fn pss_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    bytes_of(&text, "Pss").with_context(|| format!("{path} has no Pss"))
}

/// A line such as `MemTotal:   8 kB` of what the kernel says, in bytes.
pub fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Time that all threads of a process have run, kernel's part included, in nanoseconds. Kernel
/// worker threads of its rings are among them.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut ns = 0;
    for task in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A thread that ends between the two calls takes its time along; see `ran_ns`.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        ns += text.split(' ').next().context("schedstat is empty")?.parse::<u64>()?;
    }
    ensure!(ns > 0, "{folder}: no thread has a schedstat; the kernel needs CONFIG_SCHED_INFO");
    Ok(ns)
}

/// What ran between two counts.
///
/// # Errors
/// It is less than nothing: a thread that ended took its time along.
pub fn ran_ns(before: u64, after: u64) -> anyhow::Result<u64> {
    let less = || format!("CPU time fell from {before} to {after} ns: a thread ended meanwhile");
    after.checked_sub(before).with_context(less)
}

/// A process and its children, theirs too.
pub fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ends meanwhile is not of a proxy.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name in parentheses, which may hold anything: state, then parent.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let Some(parent) = rest.split(' ').nth(1).and_then(|word| word.parse::<u32>().ok()) else {
            continue;
        };
        parents.push((id, parent));
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    Ok(family)
}

/// Slab caches of files, mappings and processes, which grow with whatever else the machine does.
/// Those of sockets, descriptors and queues remain, and those without a name of their own.
const OF_OTHERS: [&str; 26] = [
    "anon_vma",
    "avc_",
    "bdev",
    "bio",
    "blkdev",
    "btrfs",
    "buffer_head",
    "dentry",
    "ext4",
    "fs_cache",
    "fsnotify",
    "inode_cache",
    "isofs",
    "jbd2",
    "kernfs",
    "maple",
    "mm_struct",
    "names_cache",
    "ovl_",
    "proc_",
    "radix_tree",
    "shmem",
    "sighand",
    "signal",
    "task_struct",
    "vm_area",
];

/// What the kernel holds in slabs for sockets and their surroundings, in bytes, on the whole
/// machine: only differences mean something. The name of a socket in the dentry cache is counted
/// as one for each open file, since those of files on disk come and go.
pub fn kernel_bytes() -> anyhow::Result<u64> {
    let path = "/proc/slabinfo";
    let text = fs::read_to_string(path)
        .with_context(|| format!("{path}: kernel memory is measured by root alone"))?;
    kernel_bytes_of(&text).context(path)
}

fn kernel_bytes_of(slabinfo: &str) -> anyhow::Result<u64> {
    let (mut bytes, mut open_files, mut name_bytes) = (0, 0, 0);
    // Two lines of heading; then name, objects in use, objects, bytes of one.
    for line in slabinfo.lines().skip(2) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, used, _, size, ..] = words[..] else { continue };
        let (used, size): (u64, u64) = (used.parse()?, size.parse()?);
        match name {
            "dentry" => name_bytes = size,
            "filp" => open_files = used,
            _ => {}
        }
        if name == "sock_inode_cache" || !OF_OTHERS.iter().any(|other| name.contains(other)) {
            bytes += used * size;
        }
    }
    ensure!(bytes > 0, "no slab in it");
    Ok(bytes + open_files * name_bytes)
}

pub fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_memory_is_that_of_sockets_and_descriptors() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n\
            TCP 10 13 2000 13 8 : tunables 0 0 0 : slabdata 1 1 0\n\
            sock_inode_cache 10 19 800 19 4\nfilp 10 21 200 21 1\nkmalloc-512 1 16 512 16 2\n\
            ext4_inode_cache 1000 1000 1000 1 1\ndentry 1000 1000 192 21 1\n";
        let sockets = 10 * (2000 + 800 + 200 + 192) + 512;
        assert_eq!(kernel_bytes_of(text).unwrap(), sockets);
        assert!(kernel_bytes_of("").is_err());
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "MemTotal:       24684084 kB\nMemAvailable:   22964148 kB\nHugePages_Total: 0\n";
        for (name, bytes) in [
            ("MemAvailable", Some(22_964_148 * 1024)),
            ("Mem", None),
            ("HugePages_Total", None),
            ("Slab", None),
        ] {
            assert_eq!(bytes_of(text, name), bytes, "{name}");
        }
    }

    #[test]
    fn time_that_a_thread_took_along_is_no_time_that_ran() {
        assert_eq!(ran_ns(3, 10).unwrap(), 7);
        assert!(ran_ns(10, 3).unwrap_err().to_string().contains("a thread ended"));
        assert!(cpu_ns(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn a_family_has_the_children_of_children() {
        let script = "sleep 600 & echo started; wait";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let own = family(std::process::id()).unwrap();
        let below = family(child.id()).unwrap();
        assert_eq!(below.len(), 2, "the shell and its sleep");
        assert!(below.iter().all(|pid| own.contains(pid)));
        let sleeper = below[1].to_string();
        std::process::Command::new("kill").arg(sleeper).status().unwrap();
        child.wait().unwrap();
    }
}
