//! Configuration: from files to a typed result in which nothing is left to guess.
//!
//! Three steps, one direction. `file` reads bytes and parses TOML with positions; `check` walks
//! the document, collects every problem at once and gives the types below; `control` turns those
//! into a [`crate::snapshot::Snapshot`]. Each key is defined once, in [`keys`], for the check, for
//! `-T` ([`render`]) and for the reference manual. Not here: resolving names, health, publishing.

mod check;
pub mod edit;
pub mod file;
pub mod keys;
pub mod load;
pub mod manual;
pub mod problem;
pub mod render;
mod shape;
pub mod store;
pub mod tls;
pub mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use file::Text;
pub use load::{DEFAULT_FILE, Source, WouldBe, check_list, from_texts, load, load_domains};
pub use problem::{Problem, Problems};

use crate::control::billing;
use crate::snapshot::domain::{Access, AccessLog, DomainHttp, WebSocket};
use crate::snapshot::{self, Balance};

/// A whole configuration, checked. No `Option` in here stands for a default: `None` is "no limit"
/// or "off".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub server: ServerConfig,
    /// By name.
    pub domains: Vec<DomainConfig>,
    /// Of the effective configuration (comments, order and spelling do not count): 16 hexadecimal
    /// digits.
    pub hash: Box<str>,
}

/// `hawser.toml`. All but `http`, `tls`, `acme`, `geo`, `billing` and most of `admin` needs a
/// restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Plain-text listeners. No address twice; there is one here or in `listen_tls`.
    pub listen: Vec<SocketAddr>,
    pub listen_by: ChosenBy,
    /// TLS listeners. May be empty.
    pub listen_tls: Vec<SocketAddr>,
    pub workers: Workers,
    pub state_dir: PathBuf,
    /// Taken over by reload.
    pub http: snapshot::Http,
    pub tls: tls::ServerTls,
    pub acme: tls::Acme,
    pub admin: Admin,
    pub drain_window: Duration,
    pub access_log: LogDestination,
    pub health: Health,
    /// Empty: those of the system.
    pub name_servers: Vec<SocketAddr>,
    pub billing: billing::Settings,
    pub geo: GeoConfig,
}

/// `[geo]`: where regions and providers of clients come from. Taken over by reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoConfig {
    /// CSV; comes before both databases.
    pub rules: Option<PathBuf>,
    /// mmdb with countries, and cities perhaps.
    pub city: Option<PathBuf>,
    /// mmdb with autonomous systems, and providers perhaps.
    pub asn: Option<PathBuf>,
    /// Names of providers by the number of their autonomous system.
    pub isps: BTreeMap<u32, Arc<str>>,
}

/// `[admin]` of `hawser.toml`. All but `listen` is taken over by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `None`: no admin listener. Loopback, unless there are `files`.
    pub listen: Option<SocketAddr>,
    /// What it shows its clients; empty: it speaks plain HTTP.
    pub files: tls::Files,
    /// Lower-case host names by which it may be asked, beside addresses and `localhost`.
    pub hosts: Vec<Box<str>>,
    pub rates: Rates,
}

/// Requests per second that one access key may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of the REST API, all operations together.
    pub rest: NonZeroU32,
    /// Of the DCDN API, each operation by itself: statistics, domains and their configuration,
    /// lists of domains, deletions of domains, the service and its plan.
    pub statistics: NonZeroU32,
    pub domains: NonZeroU32,
    pub lists: NonZeroU32,
    pub deletions: NonZeroU32,
    pub service: NonZeroU32,
}

/// Whose word a list of addresses is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// Nobody's: what this host cannot do of it is left out.
    Default,
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core that this process may run on.
    Auto,
    /// At most `ConnId::CORES_MAX`.
    Count(NonZeroU32),
}

/// Where access-log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    Off,
    Stderr,
    /// Appended to; opened anew on SIGUSR1.
    File(PathBuf),
}

/// TCP health checks of every endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    pub interval: Duration,
    pub timeout: Duration,
    /// This many failures in a row mean down; one success means up.
    pub failures_down: u32,
}

/// One domain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainConfig {
    /// Lower case, no trailing dot; may begin with `*.`.
    pub name: Arc<str>,
    /// A domain that is not is not served: clients get the answer for a name that nobody has.
    pub enabled: bool,
    /// The file it came from; empty when it did not come from one.
    pub file: PathBuf,
    pub websocket: WebSocket,
    pub tls: tls::DomainTls,
    pub origin_tls: tls::OriginTls,
    pub http: DomainHttp,
    /// By priority, then as written. Never empty.
    pub origins: Vec<OriginConfig>,
    pub balance: Balance,
    /// Tunnels of a lost origin closed per second; `None` keeps them.
    pub close_on_origin_down: Option<u32>,
    pub access: Access,
    pub log: AccessLog,
}

impl DomainConfig {
    /// The name by which origins are asked for and verified over TLS. `None`: that of each request,
    /// of a wildcard domain.
    pub fn origin_name(&self) -> Option<&str> {
        let own = (!self.name.starts_with("*.")).then_some(&*self.name);
        let host = self.http.host.as_deref().map(tls::host_of);
        self.origin_tls.server_name.as_deref().or(host).or(own)
    }
}

/// One `[[origin]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginConfig {
    pub address: OriginAddress,
    pub port: u16,
    pub https_port: u16,
    /// 20 primary, 30 backup.
    pub priority: u16,
    /// 1 to 100.
    pub weight: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginAddress {
    Ip(IpAddr),
    /// Lower case, no trailing dot.
    Name(Arc<str>),
}

impl std::fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OriginAddress::Ip(ip) => ip.fmt(f),
            OriginAddress::Name(name) => f.write_str(name),
        }
    }
}

/// A duration as every key and flag takes it: a whole number and its unit, `ms`, `s`, `m`, `h` or
/// `d`.
///
/// # Errors
/// What would be accepted.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const ACCEPTED: &str = "a whole number with its unit (ms, s, m, h, d), such as \"30s\"";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| ACCEPTED)?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(ACCEPTED),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(ACCEPTED)
}
