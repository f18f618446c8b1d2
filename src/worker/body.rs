//! Moves one message body from a connection to another, framing read and written anew. Not here:
//! heads.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::dial::{Interrupted, read_for};
use super::pace::Pace;
use super::record::Record;
use crate::limits::BODY_BUFFER_BYTES;
use crate::net::runtime::now;
use crate::net::stream::{Patience, Stream};
use crate::proto::h1::BodyLength;
use crate::proto::h1::HeadError;
use crate::proto::h1::chunked::{CHUNK_END, Decoder, Step, write_chunk_head, write_end};
use crate::proto::h1::rewrite::Coding;

/// Where a body comes from: what was read behind its head, then the connection.
pub struct Source<'a> {
    pub stream: &'a Stream,
    pub buf: &'a mut BytesMut,
    pub pace: Pace,
    /// Counts body bytes as they stood on the wire.
    pub count: &'a Cell<u64>,
    /// Of an answer: the client, whose going away ends the reading.
    pub reader: Option<&'a Stream>,
}

/// Where it goes.
pub struct Sink<'a> {
    pub stream: &'a Stream,
    pub coding: Coding,
    pub pace: Pace,
    /// Where sent bytes count; `None`: they go to an origin.
    pub record: Option<&'a Record<'a>>,
    /// When something was last written.
    pub moved: &'a Cell<Instant>,
    /// Goes out with the first piece: the head, unless the body keeps it waiting.
    pub pending: Vec<u8>,
    pub begun: Begun,
}

/// Whether a connection has been given any byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    No,
    Yes,
}

#[derive(Debug)]
pub enum BodyError {
    /// FIN before the body was complete.
    Ended,
    Source(io::Error),
    Sink(io::Error),
    Malformed(HeadError),
    /// Longer than the given bound.
    TooLarge,
}

/// Moves a whole body of at most `max` bytes. Bytes behind it stay in the source's buffer.
pub async fn copy(
    length: BodyLength,
    max: u64,
    source: &mut Source<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    match length {
        BodyLength::None => sink.flush().await,
        BodyLength::Exact(n) if n > max => Err(BodyError::TooLarge),
        BodyLength::Exact(n) => copy_exact(n, source, sink).await,
        BodyLength::Chunked => copy_chunked(max, source, sink).await,
        BodyLength::UntilClose => copy_until_close(source, sink).await,
    }
}

async fn copy_exact(
    mut left: u64,
    source: &mut Source<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    while left > 0 {
        if source.buf.is_empty() {
            sink.flush().await?;
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(BODY_BUFFER_BYTES);
            if source.fill(room).await? == 0 {
                return Err(BodyError::Ended);
            }
        }
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(source.buf.len());
        sink.write(&source.buf[..n]).await?;
        source.consume(n);
        left -= n as u64;
    }
    sink.finish(&[]).await
}

async fn copy_chunked(
    max: u64,
    source: &mut Source<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    let mut decoder = Decoder::new();
    let mut total = 0u64;
    let mut pieces: Vec<Range<usize>> = Vec::new();
    loop {
        if source.buf.is_empty() {
            sink.flush().await?;
            if source.fill(BODY_BUFFER_BYTES).await? == 0 {
                return Err(BodyError::Ended);
            }
        }
        pieces.clear();
        let (consumed, ended) = decode(&mut decoder, source.buf, &mut pieces)?;
        total += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if total > max {
            return Err(BodyError::TooLarge);
        }
        match pieces.as_slice() {
            [] => {}
            [only] => sink.write(&source.buf[only.clone()]).await?,
            // Many small chunks in one read become one: cheaper for the next hop too.
            many => {
                let joined: Vec<u8> =
                    many.iter().flat_map(|piece| &source.buf[piece.clone()]).copied().collect();
                sink.write(&joined).await?;
            }
        }
        source.consume(consumed);
        if ended {
            return sink.finish(decoder.trailers()).await;
        }
    }
}

/// Finds the body bytes in `input`. Returns how much of it was used, and whether the body is over.
fn decode(
    decoder: &mut Decoder,
    input: &[u8],
    pieces: &mut Vec<Range<usize>>,
) -> Result<(usize, bool), BodyError> {
    let mut at = 0;
    while at < input.len() {
        match decoder.step(&input[at..]).map_err(BodyError::Malformed)? {
            Step::Data(range) => {
                pieces.push(at + range.start..at + range.end);
                at += range.end;
            }
            Step::More => at = input.len(),
            Step::End { consumed } => return Ok((at + consumed, true)),
        }
    }
    Ok((at, false))
}

async fn copy_until_close(source: &mut Source<'_>, sink: &mut Sink<'_>) -> Result<(), BodyError> {
    loop {
        if source.buf.is_empty() {
            sink.flush().await?;
            if source.fill(BODY_BUFFER_BYTES).await? == 0 {
                return sink.finish(&[]).await;
            }
        }
        sink.write(source.buf).await?;
        source.consume(source.buf.len());
    }
}

impl Source<'_> {
    async fn fill(&mut self, room: usize) -> Result<usize, BodyError> {
        let began = now();
        let deadline = self.pace.deadline(began);
        let n =
            match self.reader {
                None => self
                    .stream
                    .read(self.buf, room, Patience::Until(deadline))
                    .await
                    .map_err(BodyError::Source)?,
                Some(client) => read_for(client, self.stream, self.buf, room, deadline)
                    .await
                    .map_err(|why| match why {
                        Interrupted::ClientGone => {
                            BodyError::Sink(io::ErrorKind::ConnectionReset.into())
                        }
                        Interrupted::Io(error) => BodyError::Source(error),
                    })?,
            };
        self.pace.moved(n, now() - began);
        Ok(n)
    }

    fn consume(&mut self, n: usize) {
        self.buf.advance(n);
        self.count.set(self.count.get() + n as u64);
    }
}

impl Sink<'_> {
    /// Writes `piece`, which is not empty, in this connection's coding.
    async fn write(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        match self.coding {
            Coding::Identity => self.put(piece, &[]).await,
            Coding::Chunked => {
                write_chunk_head(&mut self.pending, piece.len());
                self.put(piece, CHUNK_END).await
            }
        }
    }

    /// Writes what ends the body.
    async fn finish(&mut self, trailers: &[u8]) -> Result<(), BodyError> {
        if self.coding == Coding::Chunked {
            write_end(&mut self.pending, trailers);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        if self.pending.is_empty() { Ok(()) } else { self.put(&[], &[]).await }
    }

    async fn put(&mut self, piece: &[u8], behind: &[u8]) -> Result<(), BodyError> {
        self.begun = Begun::Yes;
        let mut parts = [self.pending.as_slice(), piece, behind];
        let mut began = now();
        while parts.iter().any(|part| !part.is_empty()) {
            let patience = self.pace.patience(began);
            let n = self.stream.write(&mut parts, patience).await.map_err(BodyError::Sink)?;
            let ended = now();
            self.pace.moved(n, ended - began);
            if let Some(record) = self.record {
                record.sent(n);
            }
            self.moved.set(ended);
            began = ended;
        }
        self.pending.clear();
        Ok(())
    }
}
