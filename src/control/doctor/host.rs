//! Reading a host: files below /proc and /sys of a root folder, so that tests can stand for one.
//! Not here: what the values mean (`table`).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::net::probe::{ProbeError, ProbeReport};

/// Whose limits and control groups count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The one that asks, which is no edge.
    Asking,
    /// A running edge.
    Edge(u32),
}

impl Process {
    pub fn pid(self) -> Option<u32> {
        match self {
            Process::Asking => None,
            Process::Edge(pid) => Some(pid),
        }
    }
}

/// Where and how to look.
#[derive(Debug)]
pub struct Host {
    /// `/`, but in tests.
    pub root: PathBuf,
    pub process: Process,
    /// What trying io_uring said.
    pub io_uring: Result<ProbeReport, ProbeError>,
    /// Bytes that the file system of a folder has left.
    pub free: fn(&Path) -> io::Result<u64>,
}

type Read<T> = Result<T, String>;

impl Host {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    pub fn text(&self, path: &str) -> Read<String> {
        let text = fs::read_to_string(self.at(path));
        text.map(|text| text.trim().to_owned()).map_err(|error| format!("{path}: {error}"))
    }

    /// The words of a sysctl, by its name with dots.
    pub fn sysctl(&self, name: &str) -> Read<Vec<String>> {
        let text = self.text(&format!("/proc/sys/{}", name.replace('.', "/")))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// One number of a sysctl that has several.
    pub fn sysctl_number(&self, name: &str, place: usize) -> Read<u64> {
        let words = self.sysctl(name)?;
        let word = words.get(place).ok_or_else(|| format!("{name} has {} words", words.len()))?;
        // The hash of a network namespace that shares its parent's is told as a negative number.
        word.trim_start_matches('-').parse().map_err(|_| format!("{name} is {word:?}"))
    }

    fn proc(&self, file: &str) -> Read<String> {
        match self.process {
            Process::Asking => self.text(&format!("/proc/self/{file}")),
            Process::Edge(pid) => self.text(&format!("/proc/{pid}/{file}")),
        }
    }

    /// A hard limit of the process; `None`: unlimited. The soft one is raised to it.
    pub fn limit(&self, name: &str) -> Read<Option<u64>> {
        let limits = self.proc("limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let hard = line.and_then(|line| line.split_whitespace().nth(1));
        match hard.ok_or_else(|| format!("/proc/PID/limits has no {name}"))? {
            "unlimited" => Ok(None),
            number => number.parse().map(Some).map_err(|_| format!("{name} is {number:?}")),
        }
    }

    /// Bytes of memory that the process may have: of the host, or of its control groups.
    pub fn memory(&self) -> Read<u64> {
        let meminfo = self.text("/proc/meminfo")?;
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let total = kib.ok_or("/proc/meminfo has no MemTotal")? * 1024;
        let limits = ["memory.max", "memory/memory.limit_in_bytes"].map(|file| self.group(file));
        let least = limits.into_iter().flatten().filter_map(|text| text.parse().ok()).min();
        Ok(least.unwrap_or(total).min(total))
    }

    /// TCP sockets in use.
    pub fn tcp_sockets(&self) -> Option<u64> {
        let text = self.text("/proc/net/sockstat").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("TCP: inuse "))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Processors that the control group allows; `None`: all of them.
    pub fn processors(&self) -> Option<f64> {
        let text = self.group("cpu.max")?;
        let (quota, period) = text.split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    }

    /// A file of the control group of the process, of version 2, or of a controller of version 1
    /// (`CONTROLLER/FILE`); of all folders on the way to it the first that has it.
    fn group(&self, file: &str) -> Option<String> {
        let groups = self.proc("cgroup").ok()?;
        let (controller, file) = file.split_once('/').map_or(("", file), |(c, f)| (c, f));
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_it = parts.next()?.split(',').any(|name| name == controller);
            is_it.then(|| parts.next())?
        })?;
        let top = format!("/sys/fs/cgroup/{controller}");
        let folders = Path::new(path.trim_start_matches('/')).ancestors();
        let mut files = folders.map(|folder| format!("{top}/{}/{file}", folder.display()));
        files.find_map(|file| self.text(&file).ok())
    }

    /// The permissions of a file, `None` when it is not there.
    pub fn mode(path: &Path) -> Read<Option<u32>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(file.permissions().mode() & 0o777)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}
