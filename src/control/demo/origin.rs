//! What the demo origin answers: `/` the page, `/hello` for curl, `/ticker` and `/room` as
//! WebSockets.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::interval;

use super::prices::{Market, Quote};

const PAGE: &str = include_str!("page.html");
/// The page needs nothing from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; \
                      form-action 'none'";
const TICK: Duration = Duration::from_millis(250);
/// Ticks and lines that a slow client may be behind; older ones are skipped.
const BEHIND_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 4096;
const NAME_CHARS_MAX: usize = 24;
const TEXT_CHARS_MAX: usize = 500;

struct Shared {
    market: Mutex<Market>,
    ticks: broadcast::Sender<Utf8Bytes>,
    room: broadcast::Sender<Utf8Bytes>,
}

/// What the ticker pushes.
#[derive(Serialize)]
struct Tick {
    time_ms: u64,
    quotes: Vec<Quote>,
}

/// What a client of the room says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said {
    Say {
        name: String,
        text: String,
    },
    /// Sent back to this client alone, at once: a round trip through everything.
    Echo {
        n: u64,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Heard<'a> {
    Said { time_ms: u64, name: &'a str, text: &'a str },
    Echo { n: u64 },
}

pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let shared = Arc::new(Shared {
        market: Mutex::default(),
        ticks: broadcast::Sender::new(BEHIND_MAX),
        room: broadcast::Sender::new(BEHIND_MAX),
    });
    tokio::spawn(tick(Arc::clone(&shared)));
    let router = Router::new()
        .route("/", get(page))
        .route("/hello", get(hello))
        .route("/ticker", get(ticker))
        .route("/room", get(room))
        .with_state(shared);
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}

async fn tick(shared: Arc<Shared>) {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        let quotes = shared.market().step(&mut rand::rng());
        if !quotes.is_empty() {
            // Nobody may be listening; prices move all the same.
            let _ = shared.ticks.send(text(&Tick { time_ms: now_ms(), quotes }));
        }
    }
}

impl Shared {
    fn market(&self) -> std::sync::MutexGuard<'_, Market> {
        self.market.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

async fn page() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE)).into_response()
}

/// What arrived here, so that one sees what the edge adds.
async fn hello(headers: HeaderMap) -> Json<serde_json::Value> {
    let shown = headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
    });
    let headers: serde_json::Map<String, serde_json::Value> = shown.collect();
    Json(serde_json::json!({ "hello": "from the demo origin", "headers": headers }))
}

async fn ticker(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(|socket| push(socket, shared))
}

/// All prices once, then what changes, until the client goes.
async fn push(mut socket: WebSocket, shared: Arc<Shared>) {
    let mut ticks = shared.ticks.subscribe();
    let first = text(&Tick { time_ms: now_ms(), quotes: shared.market().all() });
    if socket.send(Message::Text(first)).await.is_err() {
        return;
    }
    loop {
        let sent = tokio::select! {
            tick = ticks.recv() => match tick {
                Ok(tick) => socket.send(Message::Text(tick)).await,
                Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => return,
            },
            received = socket.recv() => match received {
                // Pings are answered by the library; nothing else is expected.
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn room(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(|socket| talk(socket, shared))
}

/// Everybody hears what anybody says.
async fn talk(mut socket: WebSocket, shared: Arc<Shared>) {
    let mut lines = shared.room.subscribe();
    loop {
        let sent = tokio::select! {
            line = lines.recv() => match line {
                Ok(line) => socket.send(Message::Text(line)).await,
                Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => return,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Text(said))) => match answer(&said, &shared) {
                    Some(answer) => socket.send(Message::Text(answer)).await,
                    None => Ok(()),
                },
                // Anything else comes back as it is: `websocat` and test tools find an echo here.
                Some(Ok(Message::Binary(bytes))) => socket.send(Message::Binary(bytes)).await,
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

/// What this client alone gets; the room's lines go to all.
fn answer(said: &Utf8Bytes, shared: &Shared) -> Option<Utf8Bytes> {
    match serde_json::from_str(said) {
        Ok(Said::Say { name, text: line }) => {
            let (name, line) = (cut(&name, NAME_CHARS_MAX), cut(&line, TEXT_CHARS_MAX));
            let _ = shared.room.send(text(&Heard::Said { time_ms: now_ms(), name, text: line }));
            None
        }
        Ok(Said::Echo { n }) => Some(text(&Heard::Echo { n })),
        Err(_) => Some(said.clone()),
    }
}

fn cut(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

fn text(value: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(value).expect("these types have string keys and no failing parts").into()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_tells_all_and_echoes_to_one() {
        let shared = Shared {
            market: Mutex::default(),
            ticks: broadcast::Sender::new(1),
            room: broadcast::Sender::new(1),
        };
        let mut all = shared.room.subscribe();
        let echo = answer(&r#"{"type":"echo","n":7}"#.into(), &shared).unwrap();
        assert_eq!(&*echo, r#"{"type":"echo","n":7}"#);
        assert_eq!(&*answer(&"hello".into(), &shared).unwrap(), "hello");
        let say = format!(r#"{{"type":"say","name":"{}","text":"hi"}}"#, "é".repeat(100));
        assert!(answer(&say.into(), &shared).is_none());
        let line: serde_json::Value = serde_json::from_str(&all.try_recv().unwrap()).unwrap();
        assert_eq!(line["name"].as_str().unwrap().chars().count(), NAME_CHARS_MAX);
        assert_eq!(line["text"], "hi");
    }
}
