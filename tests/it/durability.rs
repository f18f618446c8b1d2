//! What is left after what nobody chose: `kill -9`, a full disk, a damaged or a newer database.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::{
    Api, DomainFile, Edge, Frame, Origin, Tunnel, Wire, eventually, upgrade_request,
};

mod full_disk;

#[test]
fn after_a_crash_it_starts_again_on_what_it_left() {
    let (origin, mut edge) = Edge::and_origin();
    for _ in 0..3 {
        Tunnel::open(&edge, &origin, "a.test").check();
        edge.crash_and_start_again();
    }
    Tunnel::open(&edge, &origin, "a.test").check();
}

/// Messages and handshakes that the API counts over the last hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    messages_out: u64,
    opened: u64,
}

fn counted(api: &Api) -> Counted {
    let sum = |what: &str, field: &str| -> u64 {
        let answer = api.read(&format!("/api/v1/statistics/{what}?domain=a.test"));
        let slots = answer["items"].as_array().expect("slots").clone();
        slots.iter().map(|slot| slot[field].as_u64().expect("a number")).sum()
    };
    Counted { messages_out: sum("messages", "messages_out"), opened: sum("connections", "opened") }
}

fn flush(edge: &Edge) {
    let (status, text) = edge.control_raw("POST", "/v1/flush", None);
    assert_eq!(status, 204, "{text}");
}

/// Clients that go on whatever happens to the edge.
struct Load {
    to: Arc<Mutex<SocketAddr>>,
    over: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<()>>,
    /// Echoes that clients saw.
    echoed: Arc<AtomicU64>,
}

impl Load {
    fn on(edge: &Edge) -> Load {
        let to = Arc::new(Mutex::new(edge.addr()));
        let (over, echoed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (to, over, echoed) = (Arc::clone(&to), Arc::clone(&over), Arc::clone(&echoed));
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let to = *to.lock().expect("unpoisoned");
                    talk(to, &over, &echoed);
                }
            })
        };
        let clients = (0..4).map(client).collect();
        Load { to, over, clients, echoed }
    }

    fn await_more(&self, messages: u64) {
        let wanted = self.echoed.load(Ordering::SeqCst) + messages;
        eventually("the load goes on", || {
            (self.echoed.load(Ordering::SeqCst) >= wanted).then_some(())
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            // One that panicked has said so.
            let _ = client.join();
        }
    }
}

/// One connection: up to forty messages, or until the edge is gone.
fn talk(to: SocketAddr, over: &AtomicBool, echoed: &AtomicU64) {
    let Ok(stream) = TcpStream::connect(to) else { return thread::yield_now() };
    let mut wire = Wire::new(stream);
    wire.try_send(upgrade_request("a.test", ""));
    if !wire.try_head().is_ok_and(|head| head.status() == 101) {
        return;
    }
    for _ in 0..40 {
        let sent = wire.try_send(Frame::binary([7; 100]).masked().bytes());
        if over.load(Ordering::SeqCst) || !sent || wire.try_frame().is_err() {
            return;
        }
        echoed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Accepts upgrades and echoes; counts before it sends, so that nobody can have seen more.
fn counting_origin() -> (Origin, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (messages, opened) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (m, o) = (Arc::clone(&messages), Arc::clone(&opened));
    let origin = Origin::serving(move |mut wire| {
        let Ok(head) = wire.try_head() else { return };
        o.fetch_add(1, Ordering::SeqCst);
        wire.try_send(crate::harness::switching(&head));
        while let Ok(frame) = wire.try_frame() {
            m.fetch_add(1, Ordering::SeqCst);
            if !wire.try_send(frame.unmasked().bytes()) {
                return;
            }
        }
    });
    (origin, messages, opened)
}

/// Item 33: what a flush acknowledged is there after any end, and nothing counts twice.
#[test]
fn killed_again_and_again_under_load_it_keeps_what_was_flushed() {
    let (origin, messages, opened) = counting_origin();
    let mut edge = Edge::with(DomainFile::to("a.test", &origin));
    let load = Load::on(&edge);
    let mut kept = Counted { messages_out: 0, opened: 0 };
    for round in 0..8 {
        load.await_more(50);
        flush(&edge);
        let acknowledged = counted(&Api::of(&edge));
        assert!(
            acknowledged.messages_out > kept.messages_out,
            "round {round}: it goes on counting"
        );
        // Killed at another point of the load each time: at once, or some messages later.
        load.await_more(17 * round);
        edge.crash_and_start_again();
        *load.to.lock().expect("unpoisoned") = edge.addr();
        let found = counted(&Api::of(&edge));
        assert!(
            found.messages_out >= acknowledged.messages_out && found.opened >= acknowledged.opened,
            "round {round}: {found:?} after {acknowledged:?}"
        );
        assert!(
            found.messages_out <= messages.load(Ordering::SeqCst)
                && found.opened <= opened.load(Ordering::SeqCst),
            "round {round}: {found:?} is more than there was"
        );
        kept = found;
        sound(&edge);
    }
    drop(load);
    flush(&edge);
    let last = counted(&Api::of(&edge));
    assert!(last.messages_out <= messages.load(Ordering::SeqCst));
}

/// SQLite's own judgement of the file.
fn sound(edge: &Edge) {
    let path = edge.dir().join("hawser.db");
    let database = rusqlite::Connection::open(&path).expect("the database opens");
    database.busy_timeout(crate::harness::DEADLINE).expect("a time-out");
    let said: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check runs");
    assert_eq!(said, "ok");
}

/// Killed while it makes its files for the first time: the next start makes what is missing, and
/// there is one admin key that works.
#[test]
fn killed_while_it_starts_it_starts() {
    let origin = Origin::bind();
    for milliseconds in [0, 3, 10, 30, 60, 100, 200] {
        let builder = Edge::builder().domain(DomainFile::to("a.test", &origin));
        let edge = builder.start_after_kills(std::time::Duration::from_millis(milliseconds));
        assert_eq!(Api::of(&edge).get("/api/v1/status").status, 200, "{milliseconds} ms");
        sound(&edge);
    }
}

#[test]
fn a_damaged_database_is_named_with_what_to_do_and_left_as_it_is() {
    let (_origin, mut edge) = Edge::and_origin();
    edge.kill();
    let path = edge.dir().join("hawser.db");
    for name in ["hawser.db-wal", "hawser.db-shm"] {
        let _ = std::fs::remove_file(edge.dir().join(name));
    }
    let sound = std::fs::read(&path).expect("a database");
    std::fs::write(&path, vec![b'x'; sound.len()]).expect("written");
    let (code, said) = edge.fails_to_start_again();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    for part in ["hawser.db", "backup"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(std::fs::read(&path).expect("still there"), vec![b'x'; sound.len()]);
    std::fs::write(&path, &sound).expect("written");
    edge.start_again();
}

#[test]
fn a_database_of_a_newer_program_is_left_to_it() {
    let (_origin, mut edge) = Edge::and_origin();
    edge.kill();
    let path = edge.dir().join("hawser.db");
    let database = rusqlite::Connection::open(&path).expect("the database opens");
    let part: String = database
        .query_row("SELECT part FROM schema ORDER BY part LIMIT 1", [], |row| row.get(0))
        .expect("parts");
    let set = |version: i64| {
        let change = "UPDATE schema SET version = version + ?1 WHERE part = ?2";
        assert_eq!(database.execute(change, (version, &part)).expect("written"), 1);
    };
    set(7);
    let (code, said) = edge.fails_to_start_again();
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert!(said.contains("newer") && said.contains(&part), "{said}");
    set(-7);
    drop(database);
    edge.start_again();
}
