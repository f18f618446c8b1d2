//! How long is a body (RFC 9112 6.3).

/// Length of a message's body as it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever Content-Length says (answers to HEAD, 1xx, 204, 304).
    None,
    Exact(u64),
    Chunked,
    /// Answers only: all bytes until the connection ends.
    UntilClose,
}

/// What a response answers, as far as it decides about the response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    Head,
    /// A request that was sent with `Upgrade: websocket`.
    WebSocket,
    Other,
}
