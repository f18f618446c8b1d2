//! `stream`: one message of 1 GiB in a single frame goes through to an echoing origin and comes
//! back, every byte checked, while the proxy's memory is sampled.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::children::Origin;
use crate::proxy::{Kind, Proxy, Setup};
use crate::ws::{self, Piece, Reader};
use crate::{measure, pattern};

const MASK: [u8; 4] = [0x3c, 0xa5, 0x0f, 0x77];
const SEED: u64 = 0;
/// Bytes that are written or read at a time.
const PIECE: usize = 64 * 1024;
const HEAD_MAX: usize = 16 * 1024;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1 << 30)]
    bytes: usize,
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
        if received.is_err() {
            // The writer would wait for ever for somebody who reads; it may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        over.store(true, Ordering::Relaxed);
        let written = writer.join().expect("the writer does not panic");
        let samples = sampler.join().expect("the sampler does not panic");
        // What the reader found comes first: it is why the writer could not go on.
        received.and_then(|received| written.and(samples).map(|samples| (received, samples)))
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
    let key = ws::key(1);
    stream.write_all(ws::request("/echo", "load.test", &key).as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_MAX, "handshake: a head of more than {HEAD_MAX} bytes");
        let mut byte = [0];
        stream.read_exact(&mut byte).context("no answer to the handshake")?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(ws::is_accepted(&head, &key), "handshake: {head}");
    Ok(stream)
}

fn write_message(mut stream: &TcpStream, bytes: usize) -> anyhow::Result<()> {
    let mut header = Vec::new();
    ws::header(&mut header, true, ws::BINARY, bytes as u64, Some(MASK));
    stream.write_all(&header)?;
    let mut piece = Vec::with_capacity(PIECE);
    for at in (0..bytes).step_by(PIECE) {
        piece.clear();
        pattern::append(SEED, at, PIECE.min(bytes - at), &mut piece);
        ws::apply_mask(&mut piece, MASK, at as u64);
        stream.write_all(&piece).context("write")?;
    }
    Ok(())
}

fn read_message(mut stream: &TcpStream, bytes: usize) -> anyhow::Result<usize> {
    let mut reader = Reader::of_server();
    let mut buffer = vec![0; PIECE];
    let (mut got, mut wrong, mut complete) = (0, false, false);
    while !complete && !wrong {
        let n = stream.read(&mut buffer).context("read")?;
        ensure!(n > 0, "closed after {got} bytes");
        let fed = reader.feed(&mut buffer[..n], |piece| match piece {
            Piece::Start { len, .. } => wrong |= len != bytes as u64,
            Piece::Data(data) => {
                wrong |= pattern::wrong_bytes(SEED, got, data) > 0;
                got += data.len();
            }
            Piece::End { fin } => complete = fin,
            Piece::Control { .. } => {}
        });
        fed.map_err(anyhow::Error::msg)?;
    }
    ensure!(!wrong, "a byte before {got} is wrong");
    Ok(got)
}

fn sample(pid: u32, over: &AtomicBool) -> anyhow::Result<Vec<u64>> {
    let mut samples = Vec::new();
    while !over.load(Ordering::Relaxed) {
        samples.push(measure::pss_bytes(pid)?);
        thread::sleep(Duration::from_millis(50));
    }
    Ok(samples)
}
