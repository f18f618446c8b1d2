//! A name server that says the same about every name.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// What a name server of the test's own says about every name.
#[derive(Clone, PartialEq)]
pub enum Answer {
    Address([u8; 4]),
    Failure,
}

impl Answer {
    /// To be changed while the server runs.
    pub fn shared(address: [u8; 4]) -> Arc<Mutex<Answer>> {
        Arc::new(Mutex::new(Answer::Address(address)))
    }
}

/// Serves `answer` with a TTL of one second; AAAA has none.
pub fn name_server(answer: Arc<Mutex<Answer>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..n];
            // RFC 1035 4.1: header, then the name as labels up to an empty one, type and class.
            let name_end = 12 + query[12..].iter().position(|&b| b == 0).expect("a name") + 1;
            let question = &query[12..name_end + 4];
            let is_a = query[name_end + 1] == 1;
            let (code, address) = match (answer.lock().expect("unpoisoned").clone(), is_a) {
                (Answer::Failure, _) => (2, None),
                (Answer::Address(ip), true) => (0, Some(ip)),
                (Answer::Address(_), false) => (0, None),
            };
            let count = u8::from(address.is_some());
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
            reply.extend(question);
            if let Some(ip) = address {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                reply.extend(ip);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    addr
}
