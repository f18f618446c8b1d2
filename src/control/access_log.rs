//! The access log: drains every core's ring and writes JSON lines, one object each.
//!
//! Cores never wait for it: a full ring drops events and counts them, and a full disk or a slow
//! pipe only stops this thread. The fields stand in the `Line` types below. Not here: what happens
//! to the process itself (`tracing`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use jiff::Timestamp;
use rtrb::Consumer;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use tracing::{error, info};

use super::config::LogDestination;
use super::ends::Ends;
use crate::limits::LOG_TEXT_BYTES_MAX;
use crate::stats::event::{Closed, Event, FailedHandshake, Figures, Opened, Progress, Request};

/// Pause between two looks at the rings: short after a busy look, long when nobody logs. A ring of
/// `LOG_RING_EVENTS` takes 80,000 events per second and core at the longest pause.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Events taken from one ring in a row, so that a busy core does not keep the others' lines
/// waiting.
const TURN: usize = 1024;
/// Bytes written at once.
const BATCH_BYTES: usize = 64 * 1024;
/// Time that [`AccessLog::finish`] gives the last lines; a blocked pipe must not hold up the exit.
const FINISH_WAIT: Duration = Duration::from_secs(2);

/// Handle to the writing thread.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Thread,
    finished: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    finish: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
    ends: Arc<Ends>,
}

impl AccessLog {
    /// Opens the destination and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn start(
        destination: &LogDestination,
        rings: Vec<Consumer<Event>>,
    ) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared::default());
        let (done, finished) = mpsc::channel();
        let writer = Writer {
            output: Output::open(destination)?,
            destination: destination.clone(),
            rings,
            shared: Arc::clone(&shared),
            batch: Vec::new(),
            lines: 0,
            health: Health::Writing,
        };
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            writer.run();
            let _ = done.send(());
        })?;
        Ok(AccessLog { shared, thread: thread.thread().clone(), finished: Mutex::new(finished) })
    }

    /// How the last tunnels ended.
    pub fn ends(&self) -> Arc<Ends> {
        Arc::clone(&self.shared.ends)
    }

    /// Opens the file anew, as after a rotation.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Lines written, and lines lost to a failing destination.
    pub fn lines(&self) -> (u64, u64) {
        (self.shared.written.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }

    /// Writes what is in the rings and ends the thread.
    pub fn finish(&self) {
        self.shared.finish.store(true, Ordering::Release);
        self.thread.unpark();
        let finished = self.finished.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = finished.recv_timeout(FINISH_WAIT);
    }
}

struct Writer {
    output: Output,
    destination: LogDestination,
    rings: Vec<Consumer<Event>>,
    shared: Arc<Shared>,
    /// Whole lines on their way out, and how many they are.
    batch: Vec<u8>,
    lines: u64,
    health: Health,
}

/// How the last write went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Writing,
    /// It failed, and that was said. The output may end within a line.
    Failing,
}

impl Writer {
    fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            // Read before the look at the rings, so that what was in them at `finish` is written.
            let last = self.shared.finish.load(Ordering::Acquire);
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if self.look() {
                pause = PAUSE_MIN;
                continue;
            }
            if last {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
            thread::park_timeout(pause);
        }
    }

    /// Writes what waits, one turn of every ring. False: nothing did.
    fn look(&mut self) -> bool {
        let mut seen = false;
        for i in 0..self.rings.len() {
            for _ in 0..TURN {
                let Ok(event) = self.rings[i].pop() else { break };
                seen = true;
                self.line(&event);
                if let Event::Close(closed) = event {
                    self.shared.ends.add(*closed);
                }
                if self.batch.len() >= BATCH_BYTES {
                    self.write();
                }
            }
        }
        self.write();
        seen
    }

    fn line(&mut self, event: &Event) {
        if matches!(self.output, Output::Nowhere) {
            return;
        }
        match write_json(&mut self.batch, event) {
            Ok(()) => self.lines += 1,
            Err(error) => error!(%error, "access log: an event has no JSON form"),
        }
    }

    fn write(&mut self) {
        if self.lines == 0 {
            return;
        }
        match (self.output.write_all(&self.batch), self.health) {
            (Ok(()), Health::Writing) => self.wrote(),
            (Ok(()), Health::Failing) => {
                self.wrote();
                self.health = Health::Writing;
                info!(lost = self.shared.lost.load(Ordering::Relaxed), "access log: writing again");
            }
            (Err(error), health) => {
                self.shared.lost.fetch_add(self.lines, Ordering::Relaxed);
                if health == Health::Writing {
                    self.health = Health::Failing;
                    error!(%error, "access log: lines are being lost");
                }
            }
        }
        self.batch.clear();
        self.lines = 0;
        if self.health == Health::Failing {
            // What is written next must not continue a torn line.
            self.batch.push(b'\n');
        }
    }

    fn wrote(&self) {
        self.shared.written.fetch_add(self.lines, Ordering::Relaxed);
    }

    fn reopen(&mut self) {
        match Output::open(&self.destination) {
            Ok(output) => self.output = output,
            Err(error) => error!(%error, "access log: cannot reopen; the old file stays in use"),
        }
    }
}

enum Output {
    Nowhere,
    Stderr(io::Stderr),
    File(File),
}

impl Output {
    fn open(destination: &LogDestination) -> io::Result<Output> {
        Ok(match destination {
            LogDestination::Off => Output::Nowhere,
            LogDestination::Stderr => Output::Stderr(io::stderr()),
            LogDestination::File(path) => Output::File(append(path)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Nowhere => Ok(()),
            Output::Stderr(stderr) => stderr.write_all(bytes),
            Output::File(file) => file.write_all(bytes),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot open access log {}: {error}", path.display()))
    })
}

fn write_json(batch: &mut Vec<u8>, event: &Event) -> io::Result<()> {
    let before = batch.len();
    let mut json = serde_json::Serializer::with_formatter(&mut *batch, Plain);
    Line::of(event).serialize(&mut json).map_err(|error| {
        batch.truncate(before);
        io::Error::from(error)
    })?;
    batch.push(b'\n');
    Ok(())
}

/// One line. `event` comes first and says which other fields there are; a field without a value is
/// left out.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Open(OpenLine<'a>),
    Interval(IntervalLine<'a>),
    Close(CloseLine<'a>),
    Request(RequestLine<'a>),
    Handshake(HandshakeLine<'a>),
}

#[derive(Serialize)]
struct OpenLine<'a> {
    /// RFC 3339 in UTC, with microseconds.
    time: Time,
    /// As `hawser conns` shows it.
    id: String,
    domain: &'a str,
    client: String,
    origin: String,
    /// Version and cipher suite of a leg that is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_tls: Option<&'static str>,
    target: Text<'a>,
    request_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subprotocol: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
    handshake_us: u64,
}

#[derive(Serialize)]
struct IntervalLine<'a> {
    time: Time,
    id: String,
    domain: &'a str,
    age_ms: u64,
    #[serde(flatten)]
    figures: FigureFields,
}

#[derive(Serialize)]
struct CloseLine<'a> {
    time: Time,
    id: String,
    domain: &'a str,
    client: String,
    origin: String,
    age_ms: u64,
    #[serde(flatten)]
    figures: FigureFields,
    /// Who ended it: `client`, `origin` or `edge`.
    side: &'static str,
    cause: &'static str,
    /// Of the first Close frame; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    close_code: Option<u16>,
}

/// Since the tunnel opened; out is towards the client.
#[derive(Serialize)]
struct FigureFields {
    bytes_out: u64,
    bytes_in: u64,
    messages_out: u64,
    messages_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_rtt_us: Option<u32>,
}

#[derive(Serialize)]
struct RequestLine<'a> {
    time: Time,
    /// Absent when no domain of this node was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_tls: Option<&'static str>,
    method: Text<'a>,
    target: Text<'a>,
    request_id: Text<'a>,
    status: u16,
    upgrade: bool,
    /// Why the edge answered itself, and whose fault that was; absent when an origin answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Text<'a>>,
    bytes_out: u64,
    bytes_in: u64,
    duration_us: u64,
}

/// A TLS handshake that failed; the client is the one to blame for most.
#[derive(Serialize)]
struct HandshakeLine<'a> {
    time: Time,
    client: String,
    failure: &'static str,
    detail: Text<'a>,
    duration_us: u64,
}

impl Line<'_> {
    fn of(event: &Event) -> Line<'_> {
        match event {
            Event::Open(opened) => Line::Open(OpenLine::of(opened)),
            Event::Interval(progress) => Line::Interval(IntervalLine::of(progress)),
            Event::Close(closed) => Line::Close(CloseLine::of(closed)),
            Event::Request(request) => Line::Request(RequestLine::of(request)),
            Event::Handshake(failed) => Line::Handshake(HandshakeLine::of(failed)),
        }
    }
}

impl OpenLine<'_> {
    fn of(e: &Opened) -> OpenLine<'_> {
        OpenLine {
            time: Time(e.at_us),
            id: e.id.to_string(),
            domain: &e.domain,
            client: e.client.to_string(),
            origin: e.origin.to_string(),
            client_tls: e.client_tls,
            origin_tls: e.origin_tls,
            target: Text(&e.target),
            request_id: Text(&e.request_id),
            subprotocol: e.subprotocol.as_deref().map(Text),
            user_agent: e.user_agent.as_deref().map(Text),
            handshake_us: e.handshake_us,
        }
    }
}

impl IntervalLine<'_> {
    fn of(e: &Progress) -> IntervalLine<'_> {
        IntervalLine {
            time: Time(e.at_us),
            id: e.id.to_string(),
            domain: &e.domain,
            age_ms: e.age_ms,
            figures: FigureFields::of(e.figures),
        }
    }
}

impl CloseLine<'_> {
    fn of(e: &Closed) -> CloseLine<'_> {
        CloseLine {
            time: Time(e.at_us),
            id: e.id.to_string(),
            domain: &e.domain,
            client: e.client.to_string(),
            origin: e.origin.to_string(),
            age_ms: e.age_ms,
            figures: FigureFields::of(e.figures),
            side: e.outcome.side.name(),
            cause: e.outcome.cause.name(),
            close_code: Some(e.outcome.close_code).filter(|&code| code != 0),
        }
    }
}

impl FigureFields {
    fn of(f: Figures) -> FigureFields {
        FigureFields {
            bytes_out: f.bytes_out,
            bytes_in: f.bytes_in,
            messages_out: f.messages_out,
            messages_in: f.messages_in,
            client_rtt_us: Some(f.client_rtt_us).filter(|&us| us != 0),
            origin_rtt_us: Some(f.origin_rtt_us).filter(|&us| us != 0),
        }
    }
}

impl RequestLine<'_> {
    fn of(e: &Request) -> RequestLine<'_> {
        let refusal = e.refusal.as_ref();
        RequestLine {
            time: Time(e.at_us),
            domain: e.domain.as_deref(),
            client: e.client.to_string(),
            origin: e.origin.map(|origin| origin.to_string()),
            client_tls: e.client_tls,
            origin_tls: e.origin_tls,
            method: Text(&e.method),
            target: Text(&e.target),
            request_id: Text(&e.request_id),
            status: e.status,
            upgrade: e.upgrade,
            refused: refusal.map(|(why, _)| why.name()),
            side: refusal.map(|(why, _)| why.side().name()),
            detail: refusal.map(|(_, detail)| Text(detail)).filter(|text| !text.0.is_empty()),
            bytes_out: e.bytes_out,
            bytes_in: e.bytes_in,
            duration_us: e.duration_us,
        }
    }
}

impl HandshakeLine<'_> {
    fn of(e: &FailedHandshake) -> HandshakeLine<'_> {
        HandshakeLine {
            time: Time(e.at_us),
            client: e.client.to_string(),
            failure: e.failure.name(),
            detail: Text(&e.detail),
            duration_us: e.duration_us,
        }
    }
}

/// Microseconds since the Unix epoch.
struct Time(u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = Timestamp::from_microsecond(self.0 as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        serializer.collect_str(&format_args!("{time:.6}"))
    }
}

/// A text that a peer chose: cut at [`LOG_TEXT_BYTES_MAX`].
struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0[..self.0.floor_char_boundary(LOG_TEXT_BYTES_MAX)])
    }
}

/// JSON without anything that a terminal or a line reader would act upon: serde_json escapes what
/// JSON demands (below U+0020), this also DEL, the C1 controls, line separators and the marks that
/// turn the direction of text.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(acts) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().expect("find() gave its place");
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// All of these lie below U+10000, so one `\uXXXX` holds them.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Cause, ConnId, Outcome, Refusal, Side, TlsFailure};
    use std::net::SocketAddr;

    const AT_US: u64 = 1_795_343_296_000_123;

    fn line(event: &Event) -> String {
        let mut out = Vec::new();
        write_json(&mut out, event).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn request(target: &str) -> Event {
        Event::Request(Box::new(Request {
            at_us: AT_US,
            domain: None,
            client: "2001:db8::7".parse().unwrap(),
            origin: None,
            client_tls: None,
            origin_tls: None,
            method: "GET".into(),
            target: target.into(),
            request_id: "r1".into(),
            status: 421,
            refusal: Some((Refusal::UnknownDomain, "no domain \"x\"".into())),
            upgrade: true,
            bytes_out: 120,
            bytes_in: 80,
            duration_us: 42,
        }))
    }

    #[test]
    fn lines_have_documented_fields() {
        let figures =
            Figures { bytes_out: 5, messages_in: 2, client_rtt_us: 900, ..Figures::default() };
        let opened = Event::Open(Box::new(Opened {
            at_us: AT_US,
            id: ConnId::new(1, 2, 3),
            domain: "a.test".into(),
            client: addr("192.0.2.1:5000"),
            origin: addr("[2001:db8::1]:80"),
            client_tls: Some("TLSv1.3 AES_128_GCM"),
            origin_tls: None,
            target: "/ws".into(),
            request_id: "r0".into(),
            subprotocol: Some("chat".into()),
            user_agent: None,
            handshake_us: 800,
        }));
        let closed = Event::Close(Box::new(Closed {
            at_us: AT_US,
            id: ConnId::new(1, 2, 3),
            domain: "a.test".into(),
            client: addr("192.0.2.1:5000"),
            origin: addr("192.0.2.9:80"),
            age_ms: 1500,
            figures,
            outcome: Outcome { side: Side::Edge, cause: Cause::Drain, close_code: 1001 },
        }));
        let failed = Event::Handshake(Box::new(FailedHandshake {
            at_us: AT_US,
            client: "192.0.2.1".parse().unwrap(),
            failure: TlsFailure::UnknownName,
            detail: "no pair for \"x.test\"".into(),
            duration_us: 900,
        }));
        let lines = [&opened, &closed, &request("/x"), &failed].map(line);
        insta::assert_snapshot!(lines.concat());
    }

    #[test]
    fn texts_of_peers_are_cut_and_cannot_break_a_line_or_a_terminal() {
        let nasty = "/\"\\\n\r\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}é";
        let text = line(&request(nasty));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(acts), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["target"], nasty);
        let long = "é".repeat(LOG_TEXT_BYTES_MAX);
        let value: serde_json::Value = serde_json::from_str(&line(&request(&long))).unwrap();
        assert_eq!(value["target"].as_str().unwrap().len(), LOG_TEXT_BYTES_MAX);
    }

    #[test]
    fn lines_reach_the_file_also_after_it_was_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (mut ring, consumer) = rtrb::RingBuffer::new(16);
        let log = AccessLog::start(&LogDestination::File(path.clone()), vec![consumer]).unwrap();
        let wait_for = |n: u64| {
            while log.lines().0 < n {
                thread::yield_now();
            }
        };
        ring.push(request("/before")).unwrap();
        wait_for(1);
        let moved = dir.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        while !path.exists() {
            thread::yield_now();
        }
        ring.push(request("/after")).unwrap();
        log.finish();
        assert!(std::fs::read_to_string(&moved).unwrap().contains("/before"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("/after"));
        assert_eq!(log.lines(), (2, 0));
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let (mut ring, consumer) = rtrb::RingBuffer::new(1024);
        let destination = LogDestination::File("/dev/full".into());
        for _ in 0..1000 {
            ring.push(request("/x")).unwrap();
        }
        let log = AccessLog::start(&destination, vec![consumer]).unwrap();
        log.finish();
        assert_eq!(log.lines(), (0, 1000));
    }
}
