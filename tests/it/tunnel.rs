//! What happens between two peers once the 101 has passed (RFC 6455 5 to 7, design.md 6).

use crate::harness::{DomainFile, Edge, Frame, Origin, Tunnel};

mod closing;
mod flow;
mod heartbeat;
mod injection;
mod limits;
mod strictness;

fn open(lines: &[&str]) -> (Edge, Origin, Tunnel) {
    let origin = Origin::bind();
    let domain = lines.iter().fold(DomainFile::to("a.test", &origin), |d, line| d.websocket(line));
    let edge = Edge::with(domain);
    let tunnel = Tunnel::open(&edge, &origin, "a.test");
    (edge, origin, tunnel)
}

#[test]
fn frames_pass_unchanged_both_ways() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    let frames = [
        Frame::text("hello"),
        Frame::binary([0u8; 0]),
        Frame::binary(vec![7; 125]),
        Frame::binary(vec![8; 126]),
        Frame::binary(vec![9; 65_535]),
        Frame::binary(vec![10; 65_536]),
        Frame::binary(vec![11; 1_000_000]),
        Frame::ping("p"),
        Frame::pong("unasked"),
        Frame::text("a").unfinished(),
        Frame::ping("between fragments"),
        Frame::new(crate::harness::Op::CONTINUE, "b").unfinished(),
        Frame::new(crate::harness::Op::CONTINUE, "c"),
    ];
    for frame in frames {
        let up = frame.clone().masked();
        tunnel.client.send_frame(&up);
        assert_eq!(tunnel.origin.frame(), up);
        tunnel.origin.send_frame(&frame);
        assert_eq!(tunnel.client.frame(), frame);
    }
}

#[test]
fn both_directions_run_at_once() {
    let (_edge, _origin, tunnel) = open(&[]);
    let Tunnel { mut client, mut origin } = tunnel;
    let count = 2_000;
    let message = |i: usize| Frame::binary(vec![(i % 251) as u8; i % 700]);
    let (mut up, mut down) = (client.also(), origin.also());
    std::thread::scope(|scope| {
        scope.spawn(move || (0..count).for_each(|i| up.send_frame(&message(i).masked())));
        scope.spawn(move || (0..count).for_each(|i| down.send_frame(&message(i))));
        scope.spawn(move || (0..count).for_each(|i| assert_eq!(client.frame(), message(i))));
        scope.spawn(move || {
            (0..count).for_each(|i| assert_eq!(origin.frame(), message(i).masked()));
        });
    });
}

#[test]
fn many_tunnels_at_once_on_several_workers() {
    let origin = Origin::echoing();
    let edge = Edge::builder().workers(2).domain(DomainFile::to("a.test", &origin)).start();
    let mut clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = edge.connect();
            client.send(crate::harness::upgrade_request("a.test", ""));
            assert_eq!(client.head().status(), 101);
            client
        })
        .collect();
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate() {
            client.send_frame(&Frame::text(format!("{round} {i}")).masked());
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.frame(), Frame::text(format!("{round} {i}")));
        }
    }
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 200.0);
    drop(clients);
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 0.0);
}

#[test]
fn a_library_on_both_sides_converses_through_the_edge() {
    let origin = Origin::serving(|wire| {
        let stream = wire.socket().try_clone().expect("a handle");
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                return;
            }
        }
    });
    let edge = Edge::to(&origin);
    let stream = std::net::TcpStream::connect(edge.addr()).expect("connect");
    let (mut socket, answer) =
        tungstenite::client("ws://a.test/chat", stream).expect("a handshake");
    assert_eq!(answer.status(), 101);
    for size in [0, 1, 125, 126, 65_536, 300_000] {
        let message = tungstenite::Message::binary(vec![5u8; size]);
        socket.send(message.clone()).expect("sent");
        assert_eq!(socket.read().expect("an echo"), message);
    }
    socket.send(tungstenite::Message::text("grüße")).expect("sent");
    assert_eq!(socket.read().expect("an echo").to_text().expect("text"), "grüße");
    socket.close(None).expect("a close");
    while socket.read().is_ok() {}
    drop(socket);
    edge.await_log("an orderly end", |line| line["cause"] == "peer_close");
}
