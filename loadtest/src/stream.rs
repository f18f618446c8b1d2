//! `stream`: one message of 1 GiB in a single frame goes through to an echoing origin and comes
//! back, every byte checked, while the proxy's memory is sampled.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::children::Origin;
use crate::measure;
use crate::proxy::{Kind, Proxy, Setup};
use crate::ws::{self, Piece, Reader};

const MASK: [u8; 4] = [0x3c, 0xa5, 0x0f, 0x77];
/// Prime, so that the pattern meets every place in every buffer.
const PERIOD: usize = 65_521;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, None)?;
    let origins = [origin.addr];
    let proxy = Proxy::start(Kind::Hawser, &Setup { origins: &origins, ..Setup::default() })?;
    let before = measure::pss_bytes(proxy.id())?;
    let stream = handshake(proxy.addr)?;
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (received, samples) = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(proxy.id(), &over));
        let writer = scope.spawn(|| write_message(&stream, options.bytes));
        let received = read_message(&stream, options.bytes);
        over.store(true, Ordering::Relaxed);
        let written = writer.join().expect("the writer does not panic");
        let samples = sampler.join().expect("the sampler does not panic");
        written.and(received).and_then(|received| Ok((received, samples?)))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({
        "scenario": "stream",
        "bytes": options.bytes,
        "bytes_checked": received,
        "seconds": (seconds * 100.0).round() / 100.0,
        "pss_bytes_before": before,
        "pss_bytes_max": samples.iter().max(),
        "samples": samples.len(),
    }))
}

fn handshake(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET /echo HTTP/1.1\r\nHost: load.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        ws::key(1)
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("no answer to the handshake")?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    ensure!(head.starts_with("HTTP/1.1 101 "), "handshake: {head}");
    Ok(stream)
}

fn write_message(mut stream: &TcpStream, bytes: u64) -> anyhow::Result<()> {
    let mut header = Vec::new();
    ws::header(&mut header, true, ws::BINARY, bytes, Some(MASK));
    stream.write_all(&header)?;
    let plain: Vec<u8> = (0..PERIOD).map(pattern).collect();
    let mut sent = 0;
    while sent < bytes {
        let length = (bytes - sent).min(PERIOD as u64) as usize;
        let mut block = plain[..length].to_vec();
        ws::apply_mask(&mut block, MASK, sent);
        stream.write_all(&block).context("write")?;
        sent += length as u64;
    }
    Ok(())
}

fn read_message(mut stream: &TcpStream, bytes: u64) -> anyhow::Result<u64> {
    let plain: Vec<u8> = (0..2 * PERIOD).map(|i| pattern(i % PERIOD)).collect();
    let mut reader = Reader::of_server();
    let mut buffer = vec![0; PERIOD];
    let (mut got, mut wrong, mut complete) = (0u64, false, false);
    while !complete && !wrong {
        let n = stream.read(&mut buffer).context("read")?;
        ensure!(n > 0, "closed after {got} bytes");
        let fed = reader.feed(&mut buffer[..n], |piece| match piece {
            Piece::Start { len, .. } => wrong |= len != bytes,
            Piece::Data(data) => {
                let from = (got % PERIOD as u64) as usize;
                wrong |= *data != plain[from..from + data.len()];
                got += data.len() as u64;
            }
            Piece::End { fin } => complete = fin,
            Piece::Control { .. } => {}
        });
        fed.map_err(anyhow::Error::msg)?;
    }
    ensure!(!wrong, "a byte before {got} is wrong");
    Ok(got)
}

fn pattern(i: usize) -> u8 {
    (i ^ ((i >> 8) * 7)) as u8
}

fn sample(pid: u32, over: &AtomicBool) -> anyhow::Result<Vec<u64>> {
    let mut samples = Vec::new();
    while !over.load(Ordering::Relaxed) {
        samples.push(measure::pss_bytes(pid)?);
        thread::sleep(Duration::from_millis(50));
    }
    Ok(samples)
}
