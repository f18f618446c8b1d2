//! What the node does right now: the figures of `/live/node`, and the stream of them.
//!
//! Not here: figures by time (`accounting`), what the console makes of them (`tests/console`).

use serde_json::{Value, json};

use crate::harness::{Api, Edge, End, Frame, Tunnel, Wire, eventually, upgrade_request};

const EVENTS: &str = "/api/v1/live/events";

/// A stream of server-sent events, in chunks of HTTP/1.1.
struct Events {
    wire: Wire,
    text: String,
}

/// What one event is, but for its data.
#[derive(Debug, Default, PartialEq)]
struct Fields {
    id: String,
    retry: String,
}

impl Events {
    fn of(api: &Api, edge: &Edge) -> Events {
        let key = edge.admin_key();
        Events::by(api, &format!("Authorization: Bearer {key}")).expect("a place")
    }

    /// Or the status of a refusal, and when to come again.
    fn by(api: &Api, who: &str) -> Result<Events, (u16, Option<String>)> {
        let mut wire = api.connect();
        let accept = "Accept: text/event-stream";
        wire.send(format!("GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n{who}\r\n\r\n"));
        let head = wire.head();
        if head.status() != 200 {
            return Err((head.status(), head.field("retry-after").map(str::to_owned)));
        }
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        Ok(Events { wire, text: String::new() })
    }

    /// `None` at the end, which is in order.
    fn next(&mut self) -> Option<(Fields, Value)> {
        while !self.text.contains("\n\n") {
            let line = String::from_utf8(self.wire.until(b"\r\n")).expect("a length");
            let length = usize::from_str_radix(line.trim(), 16).expect("a length");
            let chunk = self.wire.exactly(length);
            self.wire.expect("\r\n");
            if length == 0 {
                return None;
            }
            self.text += std::str::from_utf8(&chunk).expect("UTF-8");
        }
        let (event, rest) = self.text.split_once("\n\n").expect("an event");
        let (mut fields, mut data) = (Fields::default(), Value::Null);
        for line in event.lines() {
            match line.split_once(": ").expect("a field") {
                ("id", id) => fields.id = id.to_owned(),
                ("retry", retry) => fields.retry = retry.to_owned(),
                ("data", text) => data = serde_json::from_str(text).expect("JSON"),
                (name, _) => panic!("{name}"),
            }
        }
        self.text = rest.to_owned();
        Some((fields, data))
    }

    fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let (_, data) = self.next().expect("the stream goes on");
            fits(&data).then_some(data)
        })
    }
}

fn sum(list: &Value, what: &str, name: &str) -> u64 {
    let items = list.as_array().expect("a list").iter();
    let found = items.filter(|item| item[what] == name);
    found.map(|item| item["count"].as_u64().expect("a number")).sum()
}

#[test]
fn the_figures_move_with_the_traffic() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut events = Events::of(&api, &edge);
    let (fields, first) = events.next().expect("an event");
    assert_eq!(fields, Fields { id: first["number"].to_string(), retry: "500".into() });
    assert_eq!(first["connections"], 0);
    assert_eq!((&first["handshakes"], &first["domains"]), (&json!([]), &json!([])));

    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let opened = events.until("a tunnel", |now| now["connections"] == 1);
    assert_eq!(opened["phase"], "serving");
    assert_eq!(sum(&opened["handshakes"], "code", "101"), 1);
    assert!(opened["number"].as_u64() > first["number"].as_u64());
    let message = Frame::binary(vec![7; 10_000]);
    let busy = eventually("rates", || {
        tunnel.origin.send_frame(&message);
        assert_eq!(tunnel.client.frame(), message);
        let (_, now) = events.next().expect("the stream goes on");
        (now["bytes_out_per_s"].as_f64()? > 5_000.0).then_some(now)
    });
    assert!(busy["messages_out_per_s"].as_f64().unwrap() > 0.1, "{busy}");
    assert_eq!(busy["domains"][0]["domain"], "a.test");
    assert_eq!(busy["domains"][0]["connections"], 1);
    assert!(busy["domains"][0]["bytes_out_per_s"].as_f64().unwrap() > 5_000.0, "{busy}");
    let cores = busy["cores"].as_array().expect("cores");
    assert_eq!(cores.iter().map(|core| core["connections"].as_u64().unwrap()).sum::<u64>(), 1);
    let measured = |now: &Value| {
        let cores = now["cores"].as_array().unwrap().iter();
        cores.filter_map(|core| core["load_percent"].as_f64()).any(|load| load <= 100.0)
    };
    events.until("the load of a core", measured);

    tunnel.client.send_frame(&Frame::close(1000, "").masked());
    tunnel.origin.frame();
    tunnel.origin.send_frame(&Frame::close(1000, ""));
    let closed = events.until("the end", |now| sum(&now["closes"], "cause", "peer_close") == 1);
    assert_eq!(closed["connections"], 0);

    let mut client = edge.connect();
    client.send(upgrade_request("a.test", "Sec-WebSocket-Extensions: x\r\n"));
    drop(origin.accept());
    assert_eq!(client.head().status(), 502);
    events.until("the refusal", |now| sum(&now["handshakes"], "code", "502") == 1);
    let shown = api.read("/api/v1/live/node");
    assert_eq!(sum(&shown["handshakes"], "code", "502"), 1, "{shown}");
}

#[test]
fn a_stream_ends_with_its_key() {
    let (_origin, edge) = Edge::and_origin();
    let admin = Api::of(&edge);
    assert_eq!(Events::by(&admin, "X: y").err(), Some((401, None)));
    let key = edge.key("read");
    let mut events = Events::by(&admin, &format!("Authorization: Bearer {key}")).expect("a place");
    events.next().expect("an event");
    let path = format!("/api/v1/keys/{}", key.split_once('.').unwrap().0);
    assert_eq!(admin.request("DELETE", &path).send().status, 200);
    eventually("the end", || events.next().is_none().then_some(()));
}

/// `hawser_session=...` of a new session.
fn signed_in(api: &Api, key: &str) -> String {
    let form = format!("id=&secret={key}&next=/console/");
    let request = api.request("POST", "/console/sign-in");
    let answer = request.body("application/x-www-form-urlencoded", form).send();
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.head.field("set-cookie").expect("a session");
    cookie.split(';').next().expect("a cookie").to_owned()
}

#[test]
fn a_stream_of_the_console_ends_when_its_session_does() {
    let (_origin, edge) = Edge::and_origin();
    let nobody = Api::anonymous(&edge);
    let cookie = signed_in(&nobody, &edge.key("read"));
    let mut events = Events::by(&nobody, &format!("Cookie: {cookie}")).expect("a place");
    events.next().expect("an event");
    let page = nobody.request("GET", "/console/").field("Cookie", &cookie).send().text();
    let (_, token) = page.split_once("name=\"csrf\" content=\"").expect("a token");
    let form = format!("csrf={}", token.split('"').next().expect("a token"));
    let request = nobody.request("POST", "/console/sign-out").field("Cookie", &cookie);
    let answer = request.body("application/x-www-form-urlencoded", form).send();
    assert_eq!(answer.status, 303, "{}", answer.text());
    eventually("the end", || events.next().is_none().then_some(()));
    let again = Events::by(&nobody, &format!("Cookie: {cookie}"));
    assert_eq!(again.err(), Some((401, None)));
}

#[test]
fn only_so_many_streams_are_open_and_others_are_told_when_to_come() {
    let (_origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let who = format!("Authorization: Bearer {}", edge.admin_key());
    let mut all: Vec<Events> = (0..32).map(|_| Events::of(&api, &edge)).collect();
    assert_eq!(Events::by(&api, &who).err(), Some((503, Some("5".into()))));
    for events in &mut all {
        events.next().expect("an event");
    }
    all.pop();
    let mut last = eventually("a place", || Events::by(&api, &who).ok());
    last.next().expect("an event");
}

#[test]
fn a_stream_ends_before_the_process_does_and_does_not_delay_it() {
    let (origin, mut edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let mut events = Events::of(&api, &edge);
    events.next().expect("an event");
    edge.signal("TERM");
    eventually("the end", || events.next().is_none().then_some(()));
    // Whoever comes again while the last tunnel closes is told so.
    let mut late = Events::of(&api, &edge);
    late.until("what goes on", |now| now["phase"] == "draining");
    crate::harness::tunnel::closes(&mut tunnel.client, 1001);
    crate::harness::tunnel::closes(&mut tunnel.origin, 1001);
    assert_eq!(edge.exit(), Some(0), "{}", edge.stderr());
    assert!(matches!(late.wire.rest().1, End::Fin | End::Reset));
}
