//! Sample clients of the demo: a few that watch prices, a few that talk, one that fetches. They
//! come and go, so that connections, closes and round-trip times are to be seen.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::StreamExt;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const WATCHERS: usize = 3;
const TALKERS: [&str; 3] = ["Ada", "Grace", "Linus"];
/// Sample clients stay between these, then leave in order and come again.
const STAY_S: std::ops::Range<u64> = 30..120;
const PAUSE_S: std::ops::Range<u64> = 2..6;
const TALK_S: std::ops::Range<u64> = 4..15;
const FETCH_EVERY: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const LINES: [&str; 10] = [
    "KEEL is moving again.",
    "Did anybody reload the edge just now? I did not notice a thing.",
    "Round trip looks fine from here.",
    "Try `hawser kill` on me, I will come back.",
    "TIDE goes up and down, as one would expect.",
    "Who needs polling.",
    "Close code 1001, going away. See you in a minute!",
    "I like that the edge pings me when I am silent.",
    "Anybody else watching CAPS?",
    "`hawser conns --watch` shows all of us.",
];

type Client = WebSocketStream<TcpStream>;

pub async fn run(edge: SocketAddr) {
    for _ in 0..WATCHERS {
        tokio::spawn(visit(edge, "/ticker", None));
    }
    for name in TALKERS {
        tokio::spawn(visit(edge, "/room", Some(name)));
    }
    loop {
        // A failed fetch is what the edge's counters show; the demo has nothing to add.
        let _ = timeout(CONNECT_TIMEOUT, fetch(edge)).await;
        sleep(FETCH_EVERY).await;
    }
}

/// One client that comes again and again.
async fn visit(edge: SocketAddr, path: &'static str, name: Option<&'static str>) {
    loop {
        if let Some(client) = connect(edge, path).await {
            stay(client, name).await;
        }
        sleep(seconds(PAUSE_S)).await;
    }
}

async fn connect(edge: SocketAddr, path: &str) -> Option<Client> {
    let stream = TcpStream::connect(edge);
    let stream = timeout(CONNECT_TIMEOUT, stream).await.ok()?.ok()?;
    let url = format!("ws://{edge}{path}");
    let (client, _) = timeout(CONNECT_TIMEOUT, client_async(url, stream)).await.ok()?.ok()?;
    Some(client)
}

/// Reads everything (the library answers Pings meanwhile), and talks if it has a name.
async fn stay(mut client: Client, name: Option<&str>) -> Option<()> {
    let leave = Instant::now() + seconds(STAY_S);
    let mut talk = Instant::now() + seconds(TALK_S);
    loop {
        tokio::select! {
            message = client.next() => drop(message?.ok()?),
            () = sleep_until(leave) => {
                return client.close(None).await.ok();
            }
            () = sleep_until(talk) => {
                talk = Instant::now() + seconds(TALK_S);
                if let Some(name) = name {
                    let line = LINES[rand::rng().random_range(0..LINES.len())];
                    let say = serde_json::json!({ "type": "say", "name": name, "text": line });
                    client.send(Message::text(say.to_string())).await.ok()?;
                }
            }
        }
    }
}

async fn fetch(edge: SocketAddr) -> Option<()> {
    let stream = TokioIo::new(TcpStream::connect(edge).await.ok()?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/hello").header(hyper::header::HOST, edge.to_string());
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let answer = sender.send_request(request).await;
    drop(answer);
    connection.abort();
    Some(())
}

fn seconds(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::rng().random_range(range.start * 1000..range.end * 1000))
}
