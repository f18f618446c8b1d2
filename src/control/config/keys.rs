//! Every key, defined once: name, meaning, kind, default. The check, `-T` and the reference manual
//! all read these tables, so a key cannot be accepted and undocumented.
//!
//! Not here: rules that join several keys (`check`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::shape::{Choice, Flag, Many, OrFalse, Seconds, Shape, Size, Time, Whole, time, whole};
use super::tls::{
    AcmeChallenge, CONTACTS, Certificate, CertificateShape, DIRECTORY, FILE, FILES, MinVersion,
    SERVER_NAME, VERIFY, Verify,
};
use super::words::{
    ADDRESS, ADMIN, AllowedOrigins, DOMAIN_NAME, Factor, HASH_KEY, HOST, HOST_NAME, LOG, NODE,
    PER_SECOND, PROVIDERS, Priority, RANGE, SOCKET, SOURCE, STATE_DIR, UTC_OFFSET, WorkersShape,
};
use super::{LogDestination, OriginAddress, Workers};
use crate::control::billing::calendar::Offset;
use crate::control::billing::{Overhead, Pending};
use crate::limits;
use crate::snapshot::domain::SendProxy;
use crate::snapshot::{
    Cidr, ClientAuth, HashKey, HeartbeatMode, OriginRule, OriginScheme, ProxyProtocol,
};

/// One key.
pub struct Key<T: 'static> {
    pub name: &'static str,
    /// Lines of the doc comment.
    pub doc: &'static [&'static str],
    pub shape: &'static dyn Shape<T>,
    /// For a required key: what stands in for it in a configuration that is refused anyway.
    pub default: fn() -> T,
    pub required: bool,
}

/// What can be said of a key without its type.
pub trait AnyKey: Sync {
    fn name(&self) -> &'static str;
    fn doc(&self) -> &'static [&'static str];
    fn accepts(&self) -> String;
    /// As TOML; `None` for a required key.
    fn default_text(&self) -> Option<String>;
}

impl<T> AnyKey for Key<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static [&'static str] {
        self.doc
    }

    fn accepts(&self) -> String {
        self.shape.accepts()
    }

    fn default_text(&self) -> Option<String> {
        (!self.required).then(|| self.shape.write(&(self.default)()))
    }
}

/// One table of a file.
pub struct Section {
    /// Empty for the top of the file.
    pub name: &'static str,
    pub doc: &'static [&'static str],
    /// Written `[[name]]`, any number of times.
    pub repeated: bool,
    pub keys: &'static [&'static dyn AnyKey],
}

/// Declares a section as a module: one static per key, and `SECTION`.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $module:ident = $name:literal, repeated: $repeated:literal;
        $(
            $(#[doc = $doc:literal])+
            $key:ident $key_name:literal: $type:ty = $shape:expr, $need:ident $default:expr;
        )+
    ) => {
        $(#[doc = $section_doc])+
        pub mod $module {
            use super::*;

            pub static SECTION: Section = Section {
                name: $name,
                doc: &[$($section_doc),+],
                repeated: $repeated,
                keys: &[$(&$key),+],
            };
            $(
                $(#[doc = $doc])+
                pub static $key: Key<$type> = Key {
                    name: $key_name,
                    doc: &[$($doc),+],
                    shape: &$shape,
                    default: $default,
                    required: section!(@ $need),
                };
            )+
        }
    };
    (@ default) => { false };
    (@ required) => { true };
}

/// The sections of `hawser.toml`, in the order in which they are written.
pub static SERVER_FILE: &[&Section] = &[
    &top::SECTION,
    &server::SECTION,
    &tls::SECTION,
    &acme::SECTION,
    &admin::SECTION,
    &drain::SECTION,
    &timeouts::SECTION,
    &log::SECTION,
    &health::SECTION,
    &dns::SECTION,
    &geo::SECTION,
    &billing::SECTION,
];

/// The sections of a domain file, in the order in which they are written.
pub static DOMAIN_FILE: &[&Section] = &[
    &domain::SECTION,
    &websocket::SECTION,
    &domain_tls::SECTION,
    &origin_tls::SECTION,
    &http::SECTION,
    &balance::SECTION,
    &access::SECTION,
    &access_log::SECTION,
    &origin::SECTION,
];

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

static RATE: Whole = whole(1, 1_000_000, "per second");
static COUNT: Whole = whole(1, 100_000_000, "");
static RANGES: Many<Cidr> = Many { shape: &RANGE, min: 0, max: limits::ACCESS_ENTRIES_MAX };
static HOST_NAMES: Many<Box<str>> =
    Many { shape: &HOST_NAME, min: 0, max: limits::ADMIN_HOSTS_MAX };
static SOURCES: Many<IpAddr> = Many { shape: &SOURCE, min: 0, max: limits::SOURCE_ADDRESSES_MAX };
static SECOND_TO_HOUR: Time = time(SECOND, HOUR);
static OFF_OR_RATE: OrFalse<u32> = OrFalse { shape: &RATE, means: "no limit" };
static OFF_OR_COUNT: OrFalse<u32> = OrFalse { shape: &COUNT, means: "no limit" };

// === hawser.toml ===

section! {
    /// The top of `hawser.toml`.
    top = "", repeated: false;

    /// Version of this file format.
    VERSION "version": u16 = whole(1, 1, "the only version so far"), default || 1;
}

section! {
    /// The listeners and the process. A change needs a restart, unless a key says otherwise.
    server = "server", repeated: false;

    /// Addresses for plain http and ws. Each worker has a listener of its own on every address, so
    /// each address costs one descriptor and one backlog per worker. Port 0 takes a free one. On a
    /// host without IPv6 the default is only the first address. May be `[]` beside `listen_tls`.
    LISTEN "listen": Vec<SocketAddr> = Many { shape: &SOCKET, min: 0, max: 64 }, default || vec![
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)),
    ];
    /// Addresses for https and wss, at the same cost. Clients get the certificate of the domain
    /// that they ask for (`[tls]` of its file), else the default one of `[tls]` below.
    LISTEN_TLS "listen_tls": Vec<SocketAddr> = Many { shape: &SOCKET, min: 0, max: 64 }, default
        Vec::new;
    /// Worker threads, each with a ring and listeners of its own. `"auto"` is one per core that the
    /// process may run on, the fastest choice; more than that makes them share cores. Every worker
    /// has a ring, a pool of buffers, counters and a table of its own.
    WORKERS "workers": Workers = WorkersShape, default || Workers::Auto;
    /// Directory of the domain files (`domains/`), of uploaded and issued certificates and of the
    /// control socket (`control.sock`). The user who runs hawser must be able to write to it.
    STATE_DIR_KEY "state_dir": PathBuf = STATE_DIR, default || PathBuf::from("/var/lib/hawser");
    /// PROXY protocol header that every incoming connection must begin with: none, version 1,
    /// version 2 or either. Taken only from `trusted_proxies`; connections of others are closed.
    /// Taken over by reload.
    PROXY_PROTOCOL "proxy_protocol": ProxyProtocol = Choice(&[
        ("off", ProxyProtocol::Off),
        ("v1", ProxyProtocol::V1),
        ("v2", ProxyProtocol::V2),
        ("any", ProxyProtocol::Any),
    ]), default || ProxyProtocol::Off;
    /// Addresses of proxies in front of this one: their X-Forwarded-* and Forwarded headers are
    /// kept, and they may send a PROXY header. Everybody else's are replaced. Taken over by reload.
    TRUSTED_PROXIES "trusted_proxies": Vec<Cidr> = RANGES, default Vec::new;
    /// Source addresses of connections to origins, used in turn; each must be an address of this
    /// host. One address has at most 64,511 ports towards one address and port of an origin, fewer
    /// by net.ipv4.ip_local_port_range, so very many tunnels to one origin need several. An empty
    /// list lets the kernel choose. Taken over by reload.
    SOURCE_ADDRESSES "source_addresses": Vec<IpAddr> = SOURCES, default Vec::new;
    /// Name of this node in the Via and Forwarded headers. Taken over by reload.
    NODE_KEY "node": Arc<str> = NODE, default || "hawser".into();
}

section! {
    /// TLS with clients, for all domains. Taken over by reload, for new connections.
    tls = "tls", repeated: false;

    /// PEM files with the certificate chains, leaf first, for clients that ask for no name or for
    /// one that no domain has; several for several kinds of key. `[]`: their handshake is refused,
    /// with `unrecognized_name` or `missing_extension`.
    DEFAULT_CERTIFICATE "default_certificate": Vec<PathBuf> = FILES, default Vec::new;
    /// PEM files with the private keys of `default_certificate`, in its order. `[]`: they stand in
    /// the certificates' files.
    DEFAULT_KEY "default_key": Vec<PathBuf> = FILES, default Vec::new;
    /// From accept (or the end of the PROXY header) to the end of the handshake; then the
    /// connection is closed. A slow client holds a set-up place of its core for this long.
    HANDSHAKE_TIMEOUT "handshake_timeout": Duration = time(SECOND, 60 * SECOND), default
        || limits::DEFAULT_TLS_HANDSHAKE_TIMEOUT;
    /// TLS handshakes begun per second on this node, with a burst of one second's worth. Those
    /// beyond it wait, and are closed when `handshake_timeout` comes first. Keeps cores for the
    /// tunnels that are open while very many clients come back at once.
    HANDSHAKES_PER_SECOND "handshakes_per_second": Option<u32> = OFF_OR_RATE, default
        || limits::DEFAULT_TLS_HANDSHAKES_PER_SECOND;
    /// Lowest version that clients may use.
    MIN_VERSION "min_version": MinVersion = Choice(&[
        ("1.2", MinVersion::Tls12),
        ("1.3", MinVersion::Tls13),
    ]), default || MinVersion::Tls12;
}

section! {
    /// The server that issues certificates for domains with `certificate = "acme"`, by RFC 8555.
    /// Taken over by reload.
    acme = "acme", repeated: false;

    /// URL of the directory. Certificates are ordered from it under its terms of service: to name a
    /// domain's certificate `"acme"` is to agree to them.
    DIRECTORY_KEY "directory": Box<str> = DIRECTORY, default
        || "https://acme-v02.api.letsencrypt.org/directory".into();
    /// Where the issuer may reach the operator. `[]`: nowhere.
    CONTACT "contact": Vec<Box<str>> = CONTACTS, default Vec::new;
    /// PEM file with roots for the directory's own https, for a private issuer; `false` are the
    /// public ones.
    ROOT "root": Option<PathBuf> = OrFalse { shape: &FILE, means: "the public roots" },
        default || None;
    /// How the issuer is shown that a name is ours. `"http-01"`: it asks a plain listener on port
    /// 80 of the name. `"tls-alpn-01"`: it asks a TLS listener on port 443.
    CHALLENGE "challenge": AcmeChallenge = Choice(&[
        ("http-01", AcmeChallenge::Http01),
        ("tls-alpn-01", AcmeChallenge::TlsAlpn01),
    ]), default || AcmeChallenge::Http01;
}

section! {
    /// The admin listener: the APIs, /metrics, /healthz and /readyz. Taken over by reload, but for
    /// `listen`.
    admin = "admin", repeated: false;

    /// Address of the admin listener, or `"off"`. Any other than loopback needs `certificate`: keys
    /// must not be readable on the way. A change needs a restart.
    LISTEN "listen": Option<SocketAddr> = ADMIN, default
        || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)));
    /// PEM files with the certificate chains of the admin listener, leaf first; several for several
    /// kinds of key. It then speaks TLS only. `[]`: plain HTTP, on loopback only.
    CERTIFICATE "certificate": Vec<PathBuf> = FILES, default Vec::new;
    /// PEM files with the private keys of `certificate`, in its order. `[]`: they stand in the
    /// certificates' files.
    KEY "key": Vec<PathBuf> = FILES, default Vec::new;
    /// Host names by which the admin listener may be asked, without a port. Addresses and
    /// `localhost` always are accepted; any other name is answered 421, because a web page may let
    /// a name of its own lead here.
    HOSTS "hosts": Vec<Box<str>> = HOST_NAMES, default Vec::new;
    /// Requests per second that one access key may make to the REST API; those beyond it are
    /// answered 429.
    RATE_REST "rate_rest": NonZeroU32 = PER_SECOND, default || limits::DEFAULT_REST_RATE;
    /// Requests per second that one access key may make of each statistics operation of the DCDN
    /// API; those beyond it are answered `Throttling.User`, here and below.
    RATE_STATISTICS "rate_statistics": NonZeroU32 = PER_SECOND, default
        || limits::DEFAULT_DCDN_RATES[0];
    /// The same of each operation on domains, their configuration and certificates.
    RATE_DOMAINS "rate_domains": NonZeroU32 = PER_SECOND, default
        || limits::DEFAULT_DCDN_RATES[1];
    /// The same of each operation that lists domains.
    RATE_LISTS "rate_lists": NonZeroU32 = PER_SECOND, default || limits::DEFAULT_DCDN_RATES[2];
    /// The same of each operation that deletes domains.
    RATE_DELETIONS "rate_deletions": NonZeroU32 = PER_SECOND, default
        || limits::DEFAULT_DCDN_RATES[3];
    /// The same of each operation on the service and its plan.
    RATE_SERVICE "rate_service": NonZeroU32 = PER_SECOND, default
        || limits::DEFAULT_DCDN_RATES[4];
}

section! {
    /// What happens when the edge is told to stop gently.
    drain = "drain", repeated: false;

    /// Tunnels are closed at random moments of this window, so that their clients do not all come
    /// back at once. The process ends when none is left, at the latest after the window.
    WINDOW "window": Duration = time(0, HOUR), default || limits::DEFAULT_DRAIN_WINDOW;
}

section! {
    /// Deadlines for clients. Taken over by reload, for new requests.
    timeouts = "timeouts", repeated: false;

    /// From the first byte of a request (or from accept) to the last byte of its head; then 408. A
    /// slow client holds a set-up place of its core for this long; newcomers wait when all are
    /// taken.
    HEAD "head": Duration = time(SECOND, 5 * 60 * SECOND), default || limits::DEFAULT_HEAD_TIMEOUT;
    /// Between two requests of one connection; then it is closed. Longer saves handshakes, and
    /// keeps a set-up place.
    KEEPALIVE "keepalive": Duration = SECOND_TO_HOUR, default || limits::DEFAULT_KEEPALIVE_TIMEOUT;
}

section! {
    /// Logs. A change needs a restart.
    log = "log", repeated: false;

    /// Where access-log lines go, one JSON object each: `"stderr"`, `"off"` or the path of a file
    /// that is appended to, and opened anew on SIGUSR1.
    ACCESS "access": LogDestination = LOG, default || LogDestination::Stderr;
}

section! {
    /// TCP health checks: one connect per address of an origin and interval, from this node. A
    /// change needs a restart.
    health = "health", repeated: false;

    /// Between two checks of one address.
    INTERVAL "interval": Duration = time(100, HOUR), default || limits::HEALTH_INTERVAL;
    /// A connect that takes longer has failed. At most `interval`.
    TIMEOUT "timeout": Duration = time(100, 60 * SECOND), default || limits::HEALTH_TIMEOUT;
    /// This many failures in a row mean down; one success means up. A lost origin is noticed after
    /// about `interval` times this number; handshakes try the next address in the meantime.
    FAILURES "failures": u32 = whole(1, 100, ""), default || limits::HEALTH_FAILURES_DOWN;
}

section! {
    /// How origin names are resolved. A change needs a restart.
    dns = "dns", repeated: false;

    /// Name servers to ask instead of those of /etc/resolv.conf; /etc/hosts is read first in any
    /// case.
    SERVERS "servers": Vec<SocketAddr> = Many { shape: &SOCKET, min: 0, max: 8 }, default Vec::new;
}

section! {
    /// Where clients are, for statistics. Everything is read and checked at start and at a reload,
    /// and looked up once per connection. Without any of these every region and every provider is
    /// `unknown`. Taken over by reload, for new connections; files that did not change are not read
    /// again. How places get their names: docs/geo.md.
    geo = "geo", repeated: false;

    /// CSV file with a range of addresses, a region and a provider on each line, under the line
    /// `network,region,isp`. Comes before the databases; of several ranges the longest prefix
    /// counts.
    RULES "rules": Option<PathBuf> = OrFalse { shape: &FILE, means: "none" }, default || None;
    /// mmdb database of countries or cities, with `country.iso_code` and `subdivisions`, or with a
    /// flat `country_code`. It needs its size in memory while it is read, and a few MB after that.
    CITY "city": Option<PathBuf> = OrFalse { shape: &FILE, means: "none" }, default || None;
    /// mmdb database of autonomous systems or providers, with `autonomous_system_number` or `isp`,
    /// at the same cost.
    ASN "asn": Option<PathBuf> = OrFalse { shape: &FILE, means: "none" }, default || None;
    /// Names of providers by the number of their autonomous system, such as `{ 64500 = "acme" }`.
    /// They come before the names that this version was built with.
    ISPS "isps": BTreeMap<u32, Arc<str>> = PROVIDERS, default BTreeMap::new;
}

section! {
    /// Plans, and statements of what WebSocket costs. Taken over by reload.
    billing = "billing", repeated: false;

    /// With billing, no domain has WebSocket before a plan was chosen (`hawser plan open`).
    /// `false`: nothing depends on plans, and nothing is charged.
    ENABLED "enabled": bool = Flag, default || true;
    /// Where days and months begin: at 00:00 of this offset from UTC, all year. Statistics by the
    /// day use it too. Choose it once: days that are on record keep theirs.
    UTC_OFFSET_KEY "utc_offset": Offset = UTC_OFFSET, default || Offset::BEIJING;
    /// TOML file with prices, read again at every reload (docs/billing.md). `false`: statements
    /// have quantities and no amounts.
    PRICES "prices": Option<PathBuf> = OrFalse { shape: &FILE, means: "no amounts" }, default
        || None;
    /// Factor on counted bytes, for headers of TCP and IP and for retransmission, which are not
    /// counted. Statements show both.
    OVERHEAD "overhead": Overhead = Factor, default || Overhead::NONE;
    /// What becomes of a change of plan while another one has not taken effect yet: `"refuse"` it,
    /// or let it `"replace"` the other one.
    PENDING "pending": Pending = Choice(&[
        ("refuse", Pending::Refuse),
        ("replace", Pending::Replace),
    ]), default || Pending::Refuse;
}

// === Domain files ===

section! {
    /// The top of a domain file, `STATE_DIR/domains/NAME.toml`. Everything in it is taken over by
    /// reload; tunnels that are open keep the rules that they were opened with.
    domain = "", repeated: false;

    /// Host name that the domain answers to: exact (`"live.example.com"`), or for every name one
    /// label below (`"*.example.com"`). An exact name wins over a wildcard. The file must be called
    /// the same, with `.toml` behind it.
    NAME "name": Arc<str> = DOMAIN_NAME, required || "".into();
    /// Whether the domain is served. `false` stops it and keeps its file: requests get 421 as for a
    /// name that nobody has, and its tunnels are closed.
    ENABLED "enabled": bool = Flag, default || true;
    /// When an address of an origin goes down, or an origin is removed, close its tunnels with
    /// 1012, this many per second, so that clients move to one that is up. An address that is
    /// merely not in the newest answer for a name keeps its tunnels. `false` keeps them until they
    /// end.
    CLOSE_ON_ORIGIN_DOWN "close_on_origin_down": Option<u32> =
        OrFalse { shape: &RATE, means: "keep the tunnels" }, default || None;
}

section! {
    /// WebSocket connections of the domain.
    websocket = "websocket", repeated: false;

    /// The toggle. Off: the Upgrade header is removed and the request goes on as plain HTTP.
    ENABLED "enabled": bool = Flag, default || true;
    /// Seconds of silence after which a side is asked for a sign of life (`active`) or the tunnel
    /// is closed (`passive`). Each costs one small frame per idle side and interval.
    HEARTBEAT "heartbeat": Duration = Seconds {
        min: *limits::HEARTBEAT_SECONDS_RANGE.start(),
        max: *limits::HEARTBEAT_SECONDS_RANGE.end(),
    }, default || limits::DEFAULT_HEARTBEAT;
    /// `"active"`: a side that sent nothing for `heartbeat` gets a Ping, and the tunnel is closed
    /// when it stays silent for another 10 s (or `heartbeat`, if shorter). `"passive"`: the tunnel
    /// is closed when no byte moved either way for `heartbeat`.
    HEARTBEAT_MODE "heartbeat_mode": HeartbeatMode = Choice(&[
        ("active", HeartbeatMode::Active),
        ("passive", HeartbeatMode::Passive),
    ]), default || HeartbeatMode::Active;
    /// Protocol towards the origin, for WebSocket and plain requests: `"http"`, `"https"`, or
    /// `"follow"` for the one that the client came with. `port` of an origin is for http,
    /// `https_port` for https; how it is verified stands in `[origin_tls]`.
    ORIGIN_SCHEME_KEY "origin_scheme": OriginScheme = Choice(&[
        ("http", OriginScheme::Http),
        ("https", OriginScheme::Https),
        ("follow", OriginScheme::Follow),
    ]), default || OriginScheme::Follow;
    /// Which Origin headers may open a WebSocket: `"any"`, `"same-host"` (host and port must equal
    /// those of the request) or a list such as `["https://app.example.com"]`. Others get 403, and
    /// so do requests without one, unless it is `"any"`. Browsers always send it; it keeps other
    /// sites' pages out, not programs.
    ALLOWED_ORIGINS "allowed_origins": OriginRule = AllowedOrigins, default || OriginRule::Any;
    /// Close tunnels whose frames break RFC 6455 section 5, with 1002. Off: only what is needed to
    /// find the frames is checked.
    STRICT_FRAMES "strict_frames": bool = Flag, default || true;
    /// Payload bytes of one frame; a larger one closes the tunnel with 1009. Nothing is buffered,
    /// so this protects the peers and costs no memory here.
    MAX_FRAME "max_frame": u64 = Size, default || limits::DEFAULT_FRAME_MAX;
    /// Payload bytes of one message over all its fragments; a larger one closes the tunnel with
    /// 1009. Costs no memory here.
    MAX_MESSAGE "max_message": u64 = Size, default || limits::DEFAULT_MESSAGE_MAX;
    /// Messages per second from the client, with a burst of one second's worth; more close the
    /// tunnel with 1008.
    MESSAGES_PER_SECOND "messages_per_second": Option<u32> = OFF_OR_RATE, default || None;
    /// Tunnels of the domain on this node; further handshakes get 429.
    MAX_CONNECTIONS "max_connections": Option<u32> = OFF_OR_COUNT, default || None;
    /// Tunnels from one client address on this node; further handshakes get 429. Costs a table
    /// entry per address that is connected.
    MAX_CONNECTIONS_PER_IP "max_connections_per_ip": Option<u32> = OFF_OR_COUNT, default || None;
    /// Handshakes per second on this node, with a burst of one second's worth; more get 429.
    HANDSHAKES_PER_SECOND "handshakes_per_second": Option<u32> = OFF_OR_RATE, default || None;
    /// Life of a tunnel; then it is closed with 1001. Each gets up to a tenth less, at random, so
    /// that they do not end together.
    MAX_LIFETIME "max_lifetime": Option<Duration> =
        OrFalse { shape: &LIFETIME, means: "no limit" }, default || None;
    /// A write to one side that makes no progress for this long closes the tunnel. Until then a
    /// slow reader holds a few pooled buffers and its peer is not read.
    STALLED_WRITE "stalled_write": Duration = SECOND_TO_HOUR, default
        || limits::DEFAULT_STALLED_WRITE;
}

static LIFETIME: Time = time(SECOND, 365 * DAY);
static LOG_INTERVAL: Time = time(SECOND, DAY);

section! {
    /// TLS with the domain's clients, on the addresses of `server.listen_tls`.
    domain_tls = "tls", repeated: false;

    /// Where the certificate comes from. `"uploaded"`: what `hawser cert set` put into
    /// `STATE_DIR/certs/NAME/`; where there is nothing, the domain has no TLS. `"acme"`: issued and
    /// renewed by the server of `[acme]` in hawser.toml. Else PEM files with chains, leaf first;
    /// several for several kinds of key, of which a client gets ECDSA if it can. Files are read
    /// again at every reload.
    CERTIFICATE "certificate": Certificate = CertificateShape, default || Certificate::Uploaded;
    /// PEM files with the private keys, in the order of `certificate`. `[]`: they stand in the
    /// certificates' files.
    KEY "key": Vec<PathBuf> = FILES, default Vec::new;
    /// DER files with OCSP responses that are stapled, in the order of `certificate`. They are not
    /// fetched or renewed: whatever does so calls `hawser reload`.
    OCSP "ocsp": Vec<PathBuf> = FILES, default Vec::new;
    /// Whether clients are asked for a certificate. `"optional"`: one that is sent must verify.
    /// `"required"`: there is no handshake without one. The subject of a verified one goes to the
    /// origin as X-Client-Cert-Subject; nobody else can send that header.
    CLIENT_AUTH "client_auth": ClientAuth = Choice(&[
        ("off", ClientAuth::Off),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ]), default || ClientAuth::Off;
    /// PEM file with the roots of clients' certificates. Their names are sent in every full
    /// handshake.
    CLIENT_CA "client_ca": Option<PathBuf> = OrFalse { shape: &FILE, means: "none" },
        default || None;
}

section! {
    /// TLS with the domain's origins, where `websocket.origin_scheme` comes to it.
    origin_tls = "origin_tls", repeated: false;

    /// What an origin's certificate must lead to: `"webpki"`, the public roots that this version
    /// was built with; a PEM file of roots; or `"off"`, nothing at all, so that anybody on the way
    /// can read and change everything.
    VERIFY_KEY "verify": Verify = VERIFY, default || Verify::Webpki;
    /// Name that is asked for (SNI) and that an origin's certificate must carry. `false`: the host
    /// of `http.host`, else the domain's name, which for a wildcard domain is the host of each
    /// request.
    SERVER_NAME_KEY "server_name": Option<Box<str>> =
        OrFalse { shape: &SERVER_NAME, means: "http.host, else the domain's name" },
        default || None;
    /// PEM file with the certificate chain that origins are shown when they ask; `false` is none.
    CERTIFICATE "certificate": Option<PathBuf> = OrFalse { shape: &FILE, means: "none" },
        default || None;
    /// PEM file with its private key; `false`: it stands in the certificate's file.
    KEY "key": Option<PathBuf> =
        OrFalse { shape: &FILE, means: "in the certificate's file" }, default || None;
}

section! {
    /// How origins are spoken to, for plain requests and for handshakes.
    http = "http", repeated: false;

    /// TCP connect to one address of an origin; then the next one is tried.
    CONNECT_TIMEOUT "connect_timeout": Duration = time(100, 60 * SECOND), default
        || limits::DEFAULT_CONNECT_TIMEOUT;
    /// From the sent request head to the head of the answer; then 504.
    RESPONSE_TIMEOUT "response_timeout": Duration = SECOND_TO_HOUR, default
        || limits::DEFAULT_RESPONSE_TIMEOUT;
    /// A body that does not move on for this long is given up: 408, or the connection is closed. A
    /// client has to send or take at least 1 KiB, or what is left, in every such time that it is
    /// waited for; of an origin any byte will do.
    BODY_TIMEOUT "body_timeout": Duration = SECOND_TO_HOUR, default
        || limits::DEFAULT_BODY_TIMEOUT;
    /// Bytes of a request body; a larger one gets 413. Bodies are streamed, so this costs no memory
    /// here.
    MAX_BODY "max_body": u64 = Size, default || Size::UNLIMITED;
    /// Host header that the origin gets; `false` passes the client's on.
    HOST_KEY "host": Option<Box<str>> = OrFalse { shape: &HOST, means: "the client's Host" },
        default || None;
    /// PROXY protocol header in front of every connection to an origin. Connections for plain
    /// requests are then not shared between clients.
    SEND_PROXY "send_proxy": SendProxy = Choice(&[
        ("off", SendProxy::Off),
        ("v1", SendProxy::V1),
        ("v2", SendProxy::V2),
    ]), default || SendProxy::Off;
}

/// [`crate::snapshot::Balance`] without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceMode {
    Weighted,
    LeastConnections,
    Hash,
}

section! {
    /// How an origin is chosen among those of the best priority that is up.
    balance = "balance", repeated: false;

    /// `"weighted"`: at random by weight. `"least_connections"`: fewest live tunnels per weight.
    /// `"hash"`: the same `key` goes to the same address while it is up.
    MODE "mode": BalanceMode = Choice(&[
        ("weighted", BalanceMode::Weighted),
        ("least_connections", BalanceMode::LeastConnections),
        ("hash", BalanceMode::Hash),
    ]), default || BalanceMode::Weighted;
    /// What is hashed, only with `mode = "hash"`: the client's address, a header or a cookie. A
    /// request without that header or cookie is hashed by client address.
    KEY "key": HashKey = HASH_KEY, default || HashKey::ClientAddress;
}

section! {
    /// Which client addresses may use the domain; others get 403.
    access = "access", repeated: false;

    /// Addresses and ranges that may; an empty list is everybody.
    ALLOW "allow": Vec<Cidr> = RANGES, default Vec::new;
    /// Addresses and ranges that may not, even when `allow` names them.
    DENY "deny": Vec<Cidr> = RANGES, default Vec::new;
}

section! {
    /// The domain's lines in the access log.
    access_log = "access_log", repeated: false;

    /// Write a line when a tunnel opens and when it closes, and one per plain request.
    ENABLED "enabled": bool = Flag, default || true;
    /// One more line per tunnel at this interval, with its figures so far. Costs a line per tunnel
    /// and interval.
    INTERVAL "interval": Option<Duration> =
        OrFalse { shape: &LOG_INTERVAL, means: "only open and close" }, default || None;
}

section! {
    /// One origin; at least one is required, at most 64. A name stands for all its addresses.
    origin = "origin", repeated: true;

    /// IP address or name of the origin. Names are asked again after their TTL; the last good
    /// answer is kept.
    ADDRESS_KEY "address": OriginAddress = ADDRESS, required
        || OriginAddress::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    /// Port for http.
    PORT "port": u16 = whole(1, 65_535, ""), default || 80;
    /// Port for https.
    HTTPS_PORT "https_port": u16 = whole(1, 65_535, ""), default || 443;
    /// `20` primary, `30` backup: used only when no primary is up.
    PRIORITY "priority": u16 = Priority, default || 20;
    /// Share among the origins of one priority.
    WEIGHT "weight": u16 = whole(1, 100, ""), default || 10;
}
