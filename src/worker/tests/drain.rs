//! How a worker ends.

use super::*;

#[test]
fn a_drain_serves_what_is_there_and_closes_what_is_idle() {
    let (go, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let addr = origin(move |mut peer| {
        loop {
            let head = peer.head();
            if head.starts_with("GET /slow") {
                gate.lock().unwrap().recv().unwrap();
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = edge(domain(&[addr]));
    let mut idle = edge.client();
    assert_eq!(idle.send(&get("/")).answer().status, 200);
    let mut busy = edge.client();
    assert_eq!(busy.send(&get("/")).answer().status, 200);
    busy.send(&get("/slow"));
    let done = edge.drain();
    assert!(idle.ended());
    assert!(TcpStream::connect(edge.addr).is_err());
    assert!(done.try_recv().is_err());
    go.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.status, field(&answer.head, "connection")), (200, Some("close")));
    assert!(busy.ended());
    drop((busy, idle));
    done.recv_timeout(WAIT).unwrap();
}
