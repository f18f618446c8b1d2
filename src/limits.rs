//! Every bound of the program, with its reason and what happens when it is reached.
//!
//! Nothing here is a setting: what an operator may change is a key of the configuration, whose
//! default and range stand here too (`DEFAULT_*`, `*_RANGE`), so that the check, the manual and the
//! code read one number.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

// === Request and response heads (proto/h1) ===

/// Bytes of one request or response head. Browsers send 1 to 2 KiB, large cookies reach 8 KiB.
/// Beyond it: 431 to a client, 502 for an origin.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields of one head. Beyond it: 431 or 502. Bounds the stack array that httparse fills.
pub const HEADERS_MAX: usize = 100;
/// Options that the Connection fields of one head name together; every field is compared with each.
/// Beyond it: 431 or 502.
pub const CONNECTION_OPTIONS_MAX: usize = 32;
/// Extensions that one 101 agrees to; each is looked up among those offered. Beyond it: 502.
pub const EXTENSIONS_AGREED_MAX: usize = 8;
/// Bytes of the request target. Beyond it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a chunk-size line, extensions included (RFC 9112 7.1.1 asks for a bound). Beyond it:
/// 400 or 502.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Bytes of all trailer fields of one body. Beyond it: 400 or 502.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Empty lines tolerated before a request line (RFC 9112 2.2 asks for at least one). Beyond it:
/// 400.
pub const LEADING_CRLF_MAX: usize = 2;
/// Interim (1xx) answers of an origin to one request. Beyond it: 502.
pub const INTERIM_RESPONSES_MAX: usize = 8;
/// Requests of one client connection before it is closed; bounds what one connection can make a
/// core do without ever being balanced anew.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 10_000;

// === Bills ===

/// Time after the end of a period in which statistics of it may still come, of a predecessor that
/// drains or a disk that was full (DCDN OpenAPI 2018-01-15: five-minute data are 15 minutes late).
/// What comes later becomes an adjustment.
pub const STATISTICS_SETTLED_AFTER: Duration = Duration::from_secs(15 * 60);
/// Periods of one kind that one pass over the ledger closes; after months of rest there are
/// thousands. The rest follows in further passes, with room for others between them.
pub const LEDGER_PERIODS_PER_PASS: usize = 200;

/// Lines of one statement: 31 days of some thousand domains. Beyond it the statement is refused;
/// one of a single domain always fits.
pub const STATEMENT_LINES_MAX: usize = 100_000;
/// Tiers of one list of prices. Real ones have a handful. Beyond it: the price file is refused.
pub const PRICE_TIERS_MAX: usize = 20;

// === PROXY protocol ===

/// A v1 line is at most 107 bytes with CRLF (PROXY protocol 2.1).
pub const PROXY_V1_BYTES_MAX: usize = 107;
/// A v2 header with every TLV that we read: 16 + 520. A longer one closes the connection.
pub const PROXY_V2_BYTES_MAX: usize = 536;

// === WebSocket (proto/ws, tunnel) ===

/// RFC 6455 5.5: payload of a control frame.
pub const CONTROL_PAYLOAD_MAX: usize = 125;
/// Bytes of a frame's start that the tunnel may hold back until it can judge them: a 14-byte
/// header, or a Pong of our own size (2 + 4 + 8), or a Close with its code (2 + 4 + 2).
pub const HELD_BYTES_MAX: usize = 16;
/// Time that the other side has to answer our Close before the FIN.
pub const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Time that a frame under way has to end, so that our Close can follow it, and that queued bytes
/// have to leave once a tunnel is over. Beyond it the frame is cut by the FIN.
pub const CLOSE_BOUNDARY_WAIT: Duration = Duration::from_secs(10);
/// Time for a close handshake between the peers themselves, once a Close has passed through.
pub const PEER_CLOSE_WAIT: Duration = Duration::from_secs(10);
/// A Ping that got no Pong for this long (or for the heartbeat interval, if that is shorter) means
/// a dead side.
pub const PONG_WAIT: Duration = Duration::from_secs(10);

// === Engine (worker, net) ===

/// Bytes left free before the received bytes in every pooled buffer: held frame starts are put back
/// there ([`HELD_BYTES_MAX`]), and a TLS record header needs 5, or 13
/// with the nonce of TLS 1.2.
pub const BUFFER_HEADROOM: usize = 32;
/// Bytes left free behind them: inner content type and AEAD tag of a TLS 1.3 record.
pub const BUFFER_TAILROOM: usize = 32;
/// Received buffers queued towards a side before its peer's receive is cancelled.
pub const QUEUED_BUFFERS_MAX: usize = 4;

/// Completions taken from the ring at a time.
pub const COMPLETIONS_PER_BATCH: usize = 1024;
/// Batches in a row before other tasks of the core get their turn.
pub const BATCHES_PER_TURN: usize = 16;
/// Closes begun per tick (100 ms) of one core when the order sets no pace: a turn of the loop must
/// stay short.
pub const CLOSES_PER_TICK_MAX: usize = 1000;
/// Commands that may wait in a core's mailbox. Beyond it: refused, the caller is told.
pub const COMMANDS_WAITING_MAX: usize = 1024;
/// When fewer than one in this many pooled buffers is left, tunnels that held some longest end with
/// 1013.
pub const BUFFER_PRESSURE_SHARE: usize = 8;
/// How long a write must have stood still before its tunnel may be ended for the buffers it holds.
pub const OVERLOAD_STALL: Duration = Duration::from_secs(2);

// === Set-up ===

/// Listen backlog of each core's listener; the kernel caps it at net.core.somaxconn.
pub const BACKLOG: i32 = 4096;
/// Connections of one core that are in accept, HTTP or handshake at once (not tunnels). Beyond it
/// the core stops accepting, newcomers wait in the backlog.
pub const SETUPS_PER_CORE_MAX: usize = 8192;
/// The same, whatever the descriptor limit says: fewer could not serve anybody.
pub const SETUPS_PER_CORE_MIN: usize = 8;
/// A core at its limit of set-ups closes idle connections and accepts again when this share of the
/// limit is free, so that it does not stop at every newcomer.
pub const SETUPS_FREED: usize = 16;
/// Descriptors kept back from connections: listeners, rings, logs, database, control sockets.
pub const DESCRIPTORS_RESERVED: u64 = 64;
/// Slots of one worker's table of registered files, two for each tunnel: the kernel has no larger
/// ones (IORING_MAX_FIXED_FILES).
pub const REGISTERED_FILES_MAX: u64 = 1 << 20;
/// Idle origin connections kept per core and endpoint.
pub const POOL_IDLE_PER_ENDPOINT: usize = 64;
/// How long an idle origin connection is kept; below the 60 s after which most servers close
/// theirs.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(30);
/// Bytes of a body that a client must send or take in every body timeout that it is waited for, or
/// the rest of the body if that is less. Below 35 bytes a second nothing is transferred, a place is
/// held. Beyond it: 408, or the end of both legs.
pub const BODY_WINDOW_BYTES_MIN: u64 = 1024;
/// One body read or write buffer of plain HTTP.
pub const BODY_BUFFER_BYTES: usize = 16 * 1024;

// === TLS (net) ===

/// RFC 8446 5.1: plaintext of one record.
pub const RECORD_PLAINTEXT_MAX: usize = 1 << 14;
/// RFC 8446 5.2: what encryption may add. Beyond it: record_overflow.
pub const RECORD_EXPANSION_MAX: usize = 256;
/// Bytes of a ClientHello over all its records, and of any other flight of a client. A hello with
/// post-quantum key shares is 2 KiB, a chain of client certificates a few more. Beyond it: closed.
pub const CLIENT_FLIGHT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an origin's flight, its certificate chain above all. Beyond it: 502.
pub const ORIGIN_FLIGHT_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a client certificate's subject as text. Beyond it: not passed on, as if there were
/// none.
pub const CERTIFICATE_SUBJECT_BYTES_MAX: usize = 1024;
/// Records without content in a row (RFC 8446 5.1 allows them as a defence against traffic
/// analysis). Beyond it: unexpected_message.
pub const EMPTY_RECORDS_MAX: u8 = 32;
/// Handshake messages behind the handshake (KeyUpdate, tickets, in TLS 1.2 wishes to renegotiate)
/// in a row, without data between. Beyond it: unexpected_message.
pub const LATE_HANDSHAKES_MAX: u8 = 32;
/// Bytes of one such message that came in pieces. Beyond it: unexpected_message.
pub const LATE_HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// TLS sessions of one core whose AEAD contexts (1.2 KiB each) are kept; building them anew costs
/// about 120 ns a direction. The one that was idle for longest gives its own back.
pub const AEAD_CONTEXTS_MAX: usize = 4096;
/// Idle time after which AEAD contexts are given back.
pub const AEAD_CONTEXT_IDLE: Duration = Duration::from_secs(1);
/// Plaintext of a record that is moved up to that of the record before it, so that both leave as
/// one: moving this much costs less than a tenth of another send.
pub const RECORD_COMPACT_MAX: usize = 4096;
/// From accept to the end of a handshake. Beyond it: closed.
pub const DEFAULT_TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// No limit unless the operator sets one: what a core manages depends on its certificates.
pub const DEFAULT_TLS_HANDSHAKES_PER_SECOND: Option<u32> = None;

// === Sockets (net) ===

/// Silence after which the kernel probes a TCP peer: one that vanished is noticed after
/// [`USER_TIMEOUT`] even where no heartbeat runs.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Pause between two probes: six have to be lost before a peer passes for dead.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Time that sent bytes or probes may stay unacknowledged before the kernel gives the connection
/// up.
pub const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// Submissions per turn of a worker's set-up ring; a full queue is submitted early.
pub const RING_ENTRIES: u32 = 1024;
/// Completions that may wait in it: more than a burst of accepts and reads can make, so that the
/// kernel's overflow list stays unused.
pub const RING_COMPLETIONS: u32 = 8192;
/// Socket calls of one connection that may succeed in a row before it goes through the ring and
/// lets others run.
pub const CALLS_WITHOUT_WAIT_MAX: u32 = 16;
/// Connections taken from one listener in a row before other tasks run.
pub const ACCEPT_BURST_MAX: usize = 64;
/// Bytes asked for at once while a head is read; most heads fit, and an idle connection keeps none
/// of it.
pub const HEAD_READ_BYTES: usize = 4 * 1024;
/// After a call that found no descriptor a core has at most three quarters of the set-ups that it
/// had then, for this long: the rest is left to origins, the admin listener and the logs.
pub const DESCRIPTORS_REST: Duration = Duration::from_secs(30);
/// Rest after an accept that found no descriptor or memory; long enough not to spin, short enough
/// not to be felt.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often an exchange that waits for its origin looks whether its client is still there. Answers
/// that come sooner cost no look.
pub const CLIENT_WATCH: Duration = Duration::from_secs(2);
/// How often a core refreshes the numbers that are looked at and not counted, and sweeps its pool.
pub const TICK: Duration = Duration::from_secs(1);
/// How often a draining core looks whether its last set-up has ended.
pub const SETUP_WATCH: Duration = Duration::from_millis(20);
/// Time that a client has to read the last answer and to close, before the connection is dropped.
pub const LINGER_WAIT: Duration = Duration::from_secs(2);
/// Bytes thrown away meanwhile: unread ones would make closing a reset, which destroys the answer.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;

// === Configuration ===

/// Bytes of one configuration file. Beyond it: refused, exit code 78.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Problems told of one configuration file. Further ones are not told: so many have one cause, and
/// finding the place of each takes time.
pub const CONFIG_PROBLEMS_MAX: usize = 200;
/// Domains of one node; sizes the per-core counter directories.
pub const DOMAINS_MAX: usize = 65_536;
/// Series of one core: domain, region, provider and layer. Each takes about 1 KB once it is used.
/// Beyond it the place of a client counts as unknown and its layer not at all; as many as there may
/// be domains are kept for that.
pub const SERIES_MAX: u32 = 131_072;
/// Origin entries of one domain.
pub const ORIGINS_PER_DOMAIN_MAX: usize = 64;
/// Addresses that one origin name may resolve to; the rest is ignored.
pub const ADDRESSES_PER_ORIGIN_MAX: usize = 16;
/// Addresses of its earlier answers that are remembered for as long as tunnels are on them. Of
/// those beyond it tunnels are kept when the address goes down.
pub const FORMER_ENDPOINTS_MAX: usize = 64;
/// Source addresses towards origins. 64 of them are four million ports to each origin address.
pub const SOURCE_ADDRESSES_MAX: usize = 64;
/// Certificates of one domain; a client gets one of them by the signatures that it knows. RSA, two
/// curves of ECDSA and Ed25519 are all that there is.
pub const PAIRS_PER_DOMAIN_MAX: usize = 4;
/// Bytes of one file with certificates, keys or an OCSP response. The roots of a whole system are
/// 250 KiB. Beyond it: refused.
pub const PEM_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Keys of certificate requests that are kept until their certificates come. Beyond it: refused,
/// unless some are older than [`CERTIFICATE_REQUEST_KEPT`].
pub const CERTIFICATE_REQUESTS_MAX: usize = 256;
/// No authority takes half a year to sign.
pub const CERTIFICATE_REQUEST_KEPT: Duration = Duration::from_secs(180 * 86_400);
/// Sessions kept for resumption towards the origins of one domain, eight for each name; the name
/// that came first is forgotten first.
pub const ORIGIN_SESSIONS_MAX: usize = 32;
/// Time before the end of a certificate from which on it is warned of, each day: a month is what
/// issuers and people need.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 86_400);
/// How often it is looked at.
pub const EXPIRY_WATCH: Duration = Duration::from_secs(86_400);
/// Entries of an Origin allow list or an address list of one domain.
pub const ACCESS_ENTRIES_MAX: usize = 1024;

/// What a domain may set. Below 1 s Pings would be the traffic; above 300 s every NAT has
/// forgotten the connection.
pub const HEARTBEAT_SECONDS_RANGE: RangeInclusive<u64> = 1..=300;
/// Below the 60 to 120 s after which most middleboxes drop a silent connection.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(60);
/// Largest payload of one frame unless a domain says otherwise. Nothing is buffered, so it protects
/// peers, not us.
pub const DEFAULT_FRAME_MAX: u64 = u64::MAX >> 1;
/// Largest message (all fragments) unless a domain says otherwise.
pub const DEFAULT_MESSAGE_MAX: u64 = u64::MAX >> 1;
/// A write towards a side that makes no progress for this long closes the connection.
pub const DEFAULT_STALLED_WRITE: Duration = Duration::from_secs(60);
/// From the first byte of a request to the last of its head. Beyond it: 408 and a close.
pub const DEFAULT_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// TCP connect to one origin address; covers two SYN retries. Beyond it: the next address,
/// or 504.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the sent request to the head of its answer. Beyond it: 504.
pub const DEFAULT_RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// Waiting for one side of a body that does not move on ([`BODY_WINDOW_BYTES_MIN`]). Beyond it:
/// 408, or the end of both legs.
pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two requests of one client connection. Beyond it: closed without a word.
pub const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Over which a stop spreads its Closes, so that clients do not all come back in one second.
pub const DEFAULT_DRAIN_WINDOW: Duration = Duration::from_secs(30);

// === Health and names ===

/// Between two TCP checks of one endpoint.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// One check; below the interval, so that checks of one endpoint never overlap. Beyond it: failed.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// Failed checks in a row before an endpoint gets no more connections: one lost SYN is no outage.
pub const HEALTH_FAILURES_DOWN: u32 = 3;
/// Names are asked again after their TTL, but never more often than this.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(5);
/// Longest time that an answer is kept, whatever its TTL says.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(3600);

// === ACME ===

/// Orders under way at once: a node with thousands of domains must not meet a CA like an attack.
pub const ACME_ORDERS_MAX: usize = 4;
/// One request to the CA. Beyond it: the order has failed.
pub const ACME_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one answer of the CA; a chain of certificates is a few KiB. Beyond it: the order has
/// failed.
pub const ACME_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// One order from the first request to the certificate. Beyond it: failed.
pub const ACME_ORDER_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Pause after the first failed order of a domain; then twice as long each time. Public CAs allow
/// about five failures per name and hour.
pub const ACME_PAUSE_MIN: Duration = Duration::from_secs(60);
/// The longest such pause: a CA that works again is noticed within the day.
pub const ACME_PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);
/// The longest pause that a CA may ask for with Retry-After.
pub const ACME_RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of what the CA says about a failure that are kept and logged.
pub const ACME_WORDS_BYTES_MAX: usize = 1024;

// === Regions and providers ===

/// Bytes of an mmdb database; it is in memory whole while it is read. The largest that are sold
/// today have a third of it. Beyond it: refused.
pub const GEO_DATABASE_BYTES_MAX: u64 = 2 << 30;
/// Networks of a database, those without a record included: one of cities has about 10 million. A
/// broken tree may seem to have any number. Beyond it: refused.
pub const GEO_NETWORKS_MAX: usize = 64_000_000;
/// Bytes of the rules file, at about 40 a line. Beyond it: refused.
pub const GEO_RULES_BYTES_MAX: u64 = 64 << 20;
/// Lines of the rules file: more are a database. Beyond it: refused.
pub const GEO_RULES_MAX: usize = 1_000_000;
/// Names of regions, and as many of providers: all countries and provinces, and some hundreds of
/// an operator's own. Each can be a series of every domain. Beyond it: refused.
pub const GEO_NAMES_MAX: usize = 1024;
/// Entries of `geo.isps`. Beyond it: refused.
pub const GEO_PROVIDERS_MAX: usize = 10_000;

// === What is kept and shown ===

/// Access-log events of one core that wait for the writer. Beyond it: dropped and counted.
pub const LOG_RING_EVENTS: usize = 16 * 1024;
/// Bytes of a client-chosen text (target, Origin, User-Agent) kept in one log line; longer ones are
/// cut.
pub const LOG_TEXT_BYTES_MAX: usize = 512;
/// Rows that one listing returns; a truncated listing says so.
pub const LISTED_CONNECTIONS_MAX: usize = 100_000;
/// Connections that ended and are still known, for whoever looks at one: some megabytes. The one
/// that ended first is forgotten first; the access log has them all.
pub const ENDS_KEPT_MAX: usize = 10_000;
/// Closings of many connections that are shown with their progress. Those that are over are
/// forgotten first; with so many running another one is refused.
pub const CLOSINGS_KEPT_MAX: usize = 64;

// === Keys, changes, audit ===

/// Access keys in force. A key per person and program of a large team fits; each start opens them
/// all once. Beyond it: refused until one is revoked.
pub const KEYS_MAX: u32 = 256;
/// Revoked access keys that are still listed, so that the audit log can be read; the one that was
/// revoked first is forgotten first.
pub const KEYS_REVOKED_KEPT: u32 = 1024;
/// Bytes of the name of an access key. Beyond it: refused.
pub const KEY_NAME_BYTES_MAX: usize = 64;
/// Entries of the audit log: years of a busy team. Beyond it the oldest are forgotten, but never
/// the newest of a domain that is there.
pub const AUDIT_ENTRIES_MAX: i64 = 50_000;
/// Bytes of the texts in it, each different one counted once. Domain files may have 1 MiB each, so
/// that their number alone bounds nothing. Beyond it as above.
pub const AUDIT_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// Entries of one page of the audit log.
pub const AUDIT_PAGE_MAX: usize = 100;
/// Bytes of texts after which such a page ends; it has one entry in any case.
pub const AUDIT_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Time that a change waits for another process that is changing something. Beyond it: refused, and
/// can be tried again.
pub const CHANGES_WAIT: Duration = Duration::from_secs(5);

// === Admin listener ===

/// Requests per second of one key to the REST API unless the operator says otherwise: a page that
/// shows everything asks for a dozen at once. Beyond it: 429.
pub const DEFAULT_REST_RATE: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// The same for each operation of the DCDN API: statistics, domains, lists, deletions, service.
/// Those of the product.
pub const DEFAULT_DCDN_RATES: [NonZeroU32; 5] = [
    NonZeroU32::new(100).unwrap(),
    NonZeroU32::new(30).unwrap(),
    NonZeroU32::new(80).unwrap(),
    NonZeroU32::new(10).unwrap(),
    NonZeroU32::new(5).unwrap(),
];
/// Names by which the admin listener may be asked.
pub const ADMIN_HOSTS_MAX: usize = 64;
/// Connections to the admin listener: an open port attracts those that say nothing, and each has a
/// place for 10 s. Beyond it newcomers wait in the backlog.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Bytes that a connection to the admin listener reads ahead; a target has 64 KiB at most. Beyond
/// it: 431.
pub const ADMIN_READ_AHEAD_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a body of the REST API, read when its key is known: one domain file of the largest
/// size, as JSON with its quotes escaped. Beyond it: 413.
pub const REST_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of a form of the DCDN API, whose signature covers it: a certificate chain and a key of the
/// largest size, encoded. Beyond it: 413.
pub const DCDN_FORM_BYTES_MAX: usize = 512 * 1024;
/// Time for a request body to arrive, once its head has. Beyond it: 408.
pub const ADMIN_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a TLS handshake on the admin listener. Beyond it: closed.
pub const ADMIN_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

// === Statistics ===

/// Between two looks at what the cores counted, and so what `kill -9` may cost of the statistics.
pub const STATISTICS_FLUSH_PERIOD: Duration = Duration::from_secs(10);
/// Between two tidyings of the store.
pub const STATISTICS_TIDY_PERIOD: Duration = Duration::from_secs(60);
/// Rows, of half a kilobyte each, that wait while the store cannot be written: 7 days of 100
/// series. Beyond it they lose region and provider; where even that is too much, numbers stay in
/// the counters and count when the store works again.
pub const STATISTICS_ROWS_WAITING_MAX: usize = 200_000;
/// Cells of the statistics (a domain, region and provider, and the sums over each); every one takes
/// about 100 bytes, and up to 15 KB for each day on which something is counted in it. Beyond it new
/// places of clients count as unknown, only new domains get further cells.
pub const STATISTICS_CELLS_MAX: i64 = 1 << 20;
/// Cells that are merged for one question: each costs a look-up for every open slot and a row for
/// every day. Beyond it: refused.
pub const STATISTICS_CELLS_PER_QUERY_MAX: usize = 512;
/// Seconds of the longest range of one question: what is kept, with the days that begin and end
/// in it. Beyond it: refused.
pub const STATISTICS_RANGE_MAX: i64 = 368 * 86_400;
/// Questions that are answered at once, so that at most so many CPUs are busy with it.
pub const STATISTICS_READS_MAX: usize = 2;
/// Questions that wait for their turn, each on a thread of its own. Beyond it: refused.
pub const STATISTICS_READS_WAITING_MAX: usize = 16;
/// How long they wait. Beyond it: refused.
pub const STATISTICS_READ_WAIT: Duration = Duration::from_secs(5);
/// Cells whose slots are closed in one transaction: 10 ms of work, so that counting waits no
/// longer.
pub const STATISTICS_CELLS_PER_TIDYING: i64 = 64;
/// Days of cells that are rolled up or forgotten in one transaction; the same.
pub const STATISTICS_CHUNKS_PER_TIDYING: i64 = 256;

// === DCDN API ===

/// Parameters of one call, in query and form together. Beyond it: 400.
pub const DCDN_PARAMETERS_MAX: usize = 512;
/// Domains that one call changes, as DCDN has it. Beyond it: 400.
pub const DCDN_BATCH_MAX: usize = 50;
/// Domains that one call asks about by name. Beyond it: 400.
pub const DCDN_LISTED_DOMAINS_MAX: usize = 500;
/// The same of usage data, as DCDN has it.
pub const DCDN_USAGE_DOMAINS_MAX: usize = 100;
/// Bytes of the names that a list of domains is searched by, as DCDN has it. Beyond it: 400.
pub const DCDN_NAME_FILTER_BYTES_MAX: usize = 6_800;
/// Pages of a list, as DCDN has it. Beyond it: 400.
pub const DCDN_PAGE_MAX: usize = 100_000;
/// Entries of one page, as DCDN has it. Beyond it: 400.
pub const DCDN_PAGE_SIZE_MAX: usize = 500;
/// Origins of a domain: those of a domain file. Beyond it: 400.
pub const DCDN_ORIGINS_MAX: usize = ORIGINS_PER_DOMAIN_MAX;
/// Those of them that are addresses, as DCDN has it. Beyond it: 400.
pub const DCDN_IP_ORIGINS_MAX: usize = 10;
/// Domains of a list by traffic, as DCDN has it. Beyond it: 400.
pub const DCDN_TOP_DOMAINS_MAX: usize = 100;
/// Origins that one call looks for, as DCDN has it. Beyond it: 400.
pub const DCDN_SOURCES_ASKED_MAX: usize = 20;
/// Tags of a domain, as DCDN has it. Beyond it: 400.
pub const DCDN_TAGS_MAX: usize = 20;
/// Characters of the key or the value of a tag, as DCDN has it. Beyond it: 400.
pub const DCDN_TAG_CHARS_MAX: usize = 128;
/// Bytes of a certificate chain or a key; chains of very large certificates reach 32 KiB. Beyond
/// it: 400.
pub const DCDN_CERTIFICATE_BYTES_MAX: usize = 128 * 1024;
/// Characters of the name of a certificate, as DCDN has it. Beyond it: 400.
pub const DCDN_CERTIFICATE_NAME_CHARS_MAX: usize = 128;
/// Names in a certificate request, as authorities have it. Beyond it: 400.
pub const DCDN_REQUEST_NAMES_MAX: usize = 100;
/// Bytes of a string to sign that an error repeats: what it takes to compare it. Beyond it: it is
/// left out.
pub const DCDN_ECHO_BYTES_MAX: usize = 32 * 1024;
/// Nonces of one key within half an hour that are remembered, 8 bytes each: 555 calls a second, as
/// many as the three statistics calls and a list at their rates and more. Beyond it: 503 until the
/// half hour is over.
pub const DCDN_NONCES_MAX: usize = 1_000_000;

/// Failed sign-ins that are logged within [`SIGN_IN_LINES_PERIOD`], from everywhere and from one
/// address: enough to see who it is, and no way to fill a disk. Beyond it: they are counted only,
/// and the next line says how many were left out.
pub const SIGN_IN_LINES_MAX: u32 = 20;
/// Those of one address: it does not use up the lines of all others.
pub const SIGN_IN_LINES_OF_ONE_MAX: u32 = 5;
/// Short enough that a guesser who comes back is seen again.
pub const SIGN_IN_LINES_PERIOD: Duration = Duration::from_secs(60);

/// Items in one part of a list of the REST API unless the caller says otherwise: a screenful.
pub const API_PAGE_DEFAULT: usize = 100;
/// Items that one part may have: one answer stays below a megabyte. Beyond it: 400.
pub const API_PAGE_MAX: usize = 500;
/// Reads of files and of all counters that the REST API has under way at once, so that no number of
/// callers takes the cores' time. Further ones wait for [`API_READ_WAIT`].
pub const API_READS_MAX: usize = 4;
/// Beyond it: 503.
pub const API_READ_WAIT: Duration = Duration::from_secs(5);
/// Domains that one call changes together, as many as of the product.
pub const API_BATCH_MAX: usize = 50;
/// Bytes of one difference of two texts that are shown. Beyond it: cut.
pub const API_DIFF_BYTES_MAX: usize = 64 * 1024;
/// Time to look for the smallest difference. Beyond it: a larger one.
pub const API_DIFF_TIME_MAX: Duration = Duration::from_millis(100);
/// Domains of which one answer shows the differences. Beyond it: said to be truncated.
pub const API_DIFFERENCES_MAX: usize = 100;
/// Domains, regions or providers that one call about statistics may name.
pub const API_SELECTED_MAX: usize = 500;
/// Sums of a domain, region and provider that one list of the largest may be made of when it is
/// filtered: seconds of work for three months. Beyond it: refused.
pub const API_TOTALS_CELLS_MAX: usize = 16_384;
/// Providers beside each region in one answer: as many as a table has room for.
pub const API_PROVIDERS_MAX: usize = 20;
/// Names of each kind that one answer lists. Beyond it: said to be truncated.
pub const API_NAMES_MAX: usize = 10_000;

/// Between two looks at the node's figures while somebody follows them.
pub const LIVE_PERIOD: Duration = Duration::from_secs(1);
/// The same while nobody does: they are the base of the rates that the next one finds.
pub const LIVE_PERIOD_ALONE: Duration = Duration::from_secs(10);
/// Domains that a sample of the node names.
pub const LIVE_DOMAINS_MAX: usize = 10;
/// Streams of live figures at once: each holds a connection to the admin listener, and most of
/// those are for others. Beyond it: 503.
pub const LIVE_STREAMS_MAX: usize = 32;
/// After this a stream ends by itself, whole, and the browser comes again: in time also on a
/// connection that is just about to take no further request.
pub const LIVE_STREAM_LIFE: Duration = Duration::from_secs(25);
/// How soon the browser comes again. An event is whole, and the last one is sent at once: nothing
/// is missed.
pub const LIVE_STREAM_RETRY: Duration = Duration::from_millis(500);

// === Console ===

/// Sessions of the console at once: more than there are operators. Beyond it the one that was not
/// used for longest ends.
pub const CONSOLE_SESSIONS_MAX: usize = 1_000;
/// Sessions of one key at once: a browser or two of everybody who shares it. Beyond it the one of
/// that key that was not used for longest ends, so that nobody signs others out.
pub const CONSOLE_SESSIONS_OF_ONE_MAX: usize = 50;
/// A session that nobody used for so long is over: a browser that was left open does not stay
/// signed in overnight.
pub const CONSOLE_SESSION_IDLE: Duration = Duration::from_secs(60 * 60);
/// Every session is over after a working day.
pub const CONSOLE_SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Bytes of a form of the console: a certificate chain and a key of the largest size, encoded.
/// Beyond it: 413.
pub const CONSOLE_FORM_BYTES_MAX: usize = 512 * 1024;
/// Bytes of an answer of the REST API that a page is made from. Beyond it: 503.
pub const CONSOLE_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Domains that one question about statistics names in the console: its URL stays below 16 KB.
/// Beyond it: refused; none named means all.
pub const CONSOLE_STATISTICS_DOMAINS_MAX: usize = 50;
/// Domains that can be ticked there. Beyond it others are typed.
pub const CONSOLE_STATISTICS_LISTED_MAX: usize = 200;
/// Rows of one part of the table of values, so that the page stays small. Beyond it: the next part,
/// or CSV.
pub const CONSOLE_STATISTICS_ROWS_MAX: usize = 50;
/// Domains in the list of the largest.
pub const CONSOLE_STATISTICS_TOP: usize = 10;

// === Control socket ===

/// Time for one request of the command line to the running edge, answer included.
pub const CONTROL_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections to the admin listener, and as many to the control socket. Beyond it newcomers wait
/// in the backlog, until one of those inside has been idle or slow for too long.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// After this a connection to either takes no further request, so that none is held for ever by a
/// body or a reader that is slow. Several scrapes of the metrics fit.
pub const CONTROL_CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Bytes of one answer: a full listing at about 400 bytes a row. A longer one is an error.
pub const CONTROL_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

const _: () = assert!(LIVE_STREAMS_MAX * 4 <= ADMIN_CONNECTIONS_MAX);
const _: () = assert!(LIVE_STREAM_LIFE.as_secs() < CONTROL_REQUEST_TIMEOUT.as_secs());
const _: () = assert!(RING_COMPLETIONS >= 2 * RING_ENTRIES);
const _: () = assert!(BUFFER_HEADROOM >= HELD_BYTES_MAX);
const _: () = assert!(BUFFER_HEADROOM >= HELD_BYTES_MAX + 13 && BUFFER_TAILROOM >= 17);
