//! `hawser-loadtest crowd` as processes: 200 clients and their origin, without a proxy between. Not
//! here: memory and a million, which is what `hold` measures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

struct Crowd {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Crowd {
    fn start(arguments: &[&str]) -> Crowd {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hawser-loadtest"));
        command.arg("crowd").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Crowd { child, answers }
    }

    fn origin(ip: &str) -> (Crowd, String) {
        let mut origin = Crowd::start(&["--listen", &format!("{ip}:0")]);
        let listen = origin.hear()["listen"].as_str().unwrap().to_owned();
        (origin, listen)
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, line: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.hear()
    }

    /// The end of its input is its own.
    fn end(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

#[test]
fn every_connection_opens_echoes_and_is_told_of_its_end() {
    let (mut origin, listen) = Crowd::origin("127.91.0.1");
    let mut clients = Crowd::start(&["--target", &listen, "--source", "127.91.0.2"]);
    assert_eq!(clients.ask("open 150 16")["open"], 150);
    let all = clients.ask("open 200 16");
    assert_eq!(
        (&all["open"], &all["opened"], &all["failed"]),
        (&json!(200), &json!(200), &json!(0))
    );
    // The whole buffer of a read, and more than one byte of length.
    for (len, count, sum) in [(1, 200, 200), (126, 10, 210), (16_384, 200, 410)] {
        let said = clients.ask(&format!("echo {len} {count} 7"));
        assert_eq!((&said["echoed"], &said["wrong_bytes"]), (&json!(sum), &json!(0)), "{said}");
        assert!(said["echo_us"]["max"].as_u64() >= said["echo_us"]["p50"].as_u64(), "{said}");
    }
    assert_eq!(origin.ask("status")["open"], 200);
    assert_eq!(origin.ask("await-end 0")["open"], 200);
    assert!(origin.end());
    // It closed without a Close frame.
    let ended = clients.ask("await-end 30");
    assert_eq!((&ended["open"], &ended["ended"]), (&json!(0), &json!({ "1006": 200 })));
    assert!(clients.end());
}

#[test]
fn clients_without_an_origin_say_why() {
    let (origin, listen) = Crowd::origin("127.91.0.3");
    assert!(origin.end());
    let mut clients = Crowd::start(&["--target", &listen, "--source", "127.91.0.4"]);
    let said = clients.ask("open 1 1");
    assert_eq!((&said["open"], &said["failed"]), (&json!(0), &json!(1)));
    assert!(said["last_failure"].as_str().unwrap().contains("refused"), "{said}");
    assert!(clients.end());
}
