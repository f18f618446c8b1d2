//! Both ends of one upgraded connection, with the edge in between.

use base64::Engine as _;
use sha1::{Digest, Sha1};

use super::{Edge, End, Frame, Head, Op, Origin, Wire};

/// The key of RFC 6455 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// RFC 6455 4.2.2: what an origin that understood the request answers.
pub fn accept_value(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// A sound upgrade request; `more` is further header lines, each with its CRLF.
pub fn upgrade_request(host: &str, more: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// A sound 101 to that request.
pub fn switching(request: &Head) -> String {
    switching_with(request, "")
}

pub fn switching_with(request: &Head, more: &str) -> String {
    let accept = accept_value(request.field("sec-websocket-key").unwrap_or_default());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

pub struct Tunnel {
    pub client: Wire,
    pub origin: Wire,
}

impl Tunnel {
    pub fn open(edge: &Edge, origin: &Origin, host: &str) -> Tunnel {
        Tunnel::open_with(edge, origin, host, "", "")
    }

    /// With further header lines in the request and in the 101.
    pub fn open_with(edge: &Edge, origin: &Origin, host: &str, ask: &str, agree: &str) -> Tunnel {
        Tunnel::over(edge.connect(), origin, host, ask, agree)
    }

    pub fn over(mut client: Wire, at: &Origin, host: &str, ask: &str, agree: &str) -> Tunnel {
        client.send(upgrade_request(host, ask));
        let mut origin = at.accept();
        let request = origin.head();
        origin.send(switching_with(&request, agree));
        let answer = client.head();
        assert_eq!(answer.status(), 101, "{answer:?}");
        Tunnel { client, origin }
    }

    /// A message each way: the tunnel is alive and nothing else is on its way.
    pub fn check(&mut self) {
        let up = Frame::text("up").masked();
        self.client.send_frame(&up);
        assert_eq!(self.origin.frame(), up);
        let down = Frame::text("down");
        self.origin.send_frame(&down);
        assert_eq!(self.client.frame(), down);
    }

    /// The same where frames of another kind may come first.
    pub fn check_with(&mut self, wanted: impl Fn(&Frame) -> bool) {
        let next = |wire: &mut Wire| {
            loop {
                let frame = wire.frame();
                if wanted(&frame) {
                    return frame;
                }
            }
        };
        let up = Frame::text("up").masked();
        self.client.send_frame(&up);
        assert_eq!(next(&mut self.origin), up);
        let down = Frame::text("down");
        self.origin.send_frame(&down);
        assert_eq!(next(&mut self.client), down);
    }

    /// The edge closes both sides with these codes, each between frames, and then ends them.
    pub fn closed_by_edge(mut self, to_client: u16, to_origin: u16) {
        closes(&mut self.client, to_client);
        closes(&mut self.origin, to_origin);
    }
}

/// Sees the edge's Close, answers it as this side must, and sees the end.
pub fn closes(wire: &mut Wire, code: u16) {
    let frame = wire.frame();
    closes_with(wire, &frame, code);
}

/// The same for a frame that was already taken.
pub fn closes_with(wire: &mut Wire, frame: &Frame, code: u16) {
    assert_eq!(frame.op, Op::CLOSE, "{frame:?}");
    let (seen, reason) = frame.close_code().expect("the edge always says a code");
    assert_eq!(seen, code, "reason {reason:?}");
    assert!(!reason.is_empty(), "the edge says why it closes");
    // What comes unmasked comes towards a client, whose answer is masked.
    let reply = Frame::close(code, "");
    let reply = if frame.mask.is_none() { reply.masked() } else { reply };
    wire.try_send(reply.bytes());
    assert_eq!(wire.ends(), End::Fin, "an orderly end after the close handshake");
}
