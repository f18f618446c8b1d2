//! How things end: one value that drives the answer, the close frames, the counter and the log
//! line.
//!
//! Not here: the texts of log lines and metrics around these names.

/// Who caused an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Origin,
    Edge,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Origin => "origin",
            Side::Edge => "edge",
        }
    }
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose doing it was.
    pub side: Side,
    pub cause: Cause,
    /// Code of the first Close frame that a peer sent or, failing that, of the one meant for the
    /// client; 0 when there was none.
    pub close_code: u16,
}

macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, logs and the API.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

names! {
    /// Why a tunnel ended.
    Cause {
        /// A Close frame of a peer passed through and the connection ended in order.
        PeerClose = "peer_close",
        /// A peer sent FIN without a Close frame.
        PeerEof = "peer_eof",
        /// A peer reset the connection, or the network gave it up.
        PeerReset = "peer_reset",
        /// No answer to our Ping (mode `active`).
        HeartbeatTimeout = "heartbeat_timeout",
        /// No byte either way for the heartbeat interval (mode `passive`), or a half-closed tunnel
        /// fell silent.
        IdleTimeout = "idle_timeout",
        /// A peer broke RFC 6455 5.
        ProtocolError = "protocol_error",
        FrameTooBig = "frame_too_big",
        MessageTooBig = "message_too_big",
        /// More messages per second than the domain allows.
        MessageRate = "message_rate",
        /// A side did not read for longer than the domain allows.
        StalledWrite = "stalled_write",
        /// The domain's `max_lifetime` was reached.
        Lifetime = "lifetime",
        /// An operator closed it.
        Killed = "killed",
        /// The process is going away.
        Drain = "drain",
        /// Its domain left the configuration or was switched off.
        DomainRemoved = "domain_removed",
        /// Its origin was removed or went down, and the domain asks to close then.
        OriginDown = "origin_down",
        /// The core ran short of buffers, and this tunnel held some for longest.
        Overload = "overload",
        /// A Close was sent or passed on, and the other side never finished.
        CloseTimeout = "close_timeout",
        /// A peer broke TLS: a record that is not authentic, an alert, a message out of place.
        TlsError = "tls_error",
        /// The keys of a TLS 1.2 connection have encrypted as much as they may.
        TlsKeysWorn = "tls_keys_worn",
    }
}

names! {
    /// Why the edge answered a request itself, or closed a connection without an answer.
    Refusal {
        /// Not HTTP/1.x, or against RFC 9112 or RFC 6455 4.2.1.
        BadRequest = "bad_request",
        /// `server.proxy_protocol` is on and the connection did not begin with a valid header.
        ProxyHeader = "proxy_header",
        /// A rule of the domain refused the Origin header.
        OriginHeader = "origin_header",
        /// An address list of the domain refused the client.
        Address = "address",
        UnknownDomain = "unknown_domain",
        /// Host names another domain than the TLS handshake did (RFC 9110 7.4).
        Misdirected = "misdirected",
        /// Plain HTTP on a TLS listener.
        PlainHttp = "plain_http",
        /// CONNECT, TRACE, or the PRI of HTTP/2.
        Method = "method",
        HeadTimeout = "head_timeout",
        BodyTimeout = "body_timeout",
        BodyTooLarge = "body_too_large",
        HeadTooLarge = "head_too_large",
        TargetTooLong = "target_too_long",
        /// An Upgrade with a Sec-WebSocket-Version other than 13.
        UpgradeVersion = "upgrade_version",
        Expectation = "expectation",
        ConnectionLimit = "connection_limit",
        AddressLimit = "address_limit",
        HandshakeRate = "handshake_rate",
        /// No address of any origin accepted the connection.
        OriginRefused = "origin_refused",
        /// The origin's answer broke RFC 9112 or RFC 6455 4.2.2.
        OriginAnswer = "origin_answer",
        /// The TLS handshake with the origin failed: its certificate, its versions, an alert.
        OriginTls = "origin_tls",
        /// The origin closed or reset before its answer was complete.
        OriginClosed = "origin_closed",
        NoHealthyOrigin = "no_healthy_origin",
        OriginConnectTimeout = "origin_connect_timeout",
        OriginTimeout = "origin_timeout",
        Draining = "draining",
        /// A limit of this host: descriptors, table, ports.
        EdgeCapacity = "edge_capacity",
        HttpVersion = "http_version",
        /// The client went away before there was an answer.
        ClientClosed = "client_closed",
        /// A fault of our own, such as a caught panic.
        Internal = "internal",
    }
}

names! {
    /// Why a TLS handshake with a client failed.
    TlsFailure {
        /// No pair for the name, and no default one: `unrecognized_name`.
        UnknownName = "unknown_name",
        /// No name asked for, and no default pair: `missing_extension`.
        NoName = "no_name",
        /// Plain HTTP, answered 400 in the clear.
        PlainHttp = "plain_http",
        /// Neither TLS nor HTTP, an SSLv2 hello among it.
        NotTls = "not_tls",
        /// No version, cipher suite, group or signature scheme in common.
        NothingInCommon = "nothing_in_common",
        /// A required client certificate was not sent or did not verify.
        ClientCertificate = "client_certificate",
        /// Another violation of TLS by the client.
        Protocol = "protocol",
        /// An alert of the client, such as `bad_certificate`.
        Alert = "alert",
        /// FIN or reset before the end of the handshake.
        Closed = "closed",
        Timeout = "timeout",
        /// Over `tls_handshakes_per_second` for longer than a handshake may take.
        Rate = "rate",
        /// A fault of our own.
        Internal = "internal",
    }
}

impl Refusal {
    /// The status code under which it is counted and, unless nobody is there to read it (499),
    /// answered.
    pub fn status(self) -> u16 {
        match self {
            Refusal::BadRequest | Refusal::ProxyHeader | Refusal::PlainHttp => 400,
            Refusal::OriginHeader | Refusal::Address => 403,
            Refusal::UnknownDomain | Refusal::Misdirected => 421,
            Refusal::Method => 405,
            Refusal::HeadTimeout | Refusal::BodyTimeout => 408,
            Refusal::BodyTooLarge => 413,
            Refusal::TargetTooLong => 414,
            Refusal::Expectation => 417,
            Refusal::UpgradeVersion => 426,
            Refusal::ConnectionLimit | Refusal::AddressLimit | Refusal::HandshakeRate => 429,
            Refusal::HeadTooLarge => 431,
            Refusal::ClientClosed => 499,
            Refusal::Internal => 500,
            Refusal::OriginRefused
            | Refusal::OriginAnswer
            | Refusal::OriginTls
            | Refusal::OriginClosed => 502,
            Refusal::NoHealthyOrigin | Refusal::Draining | Refusal::EdgeCapacity => 503,
            Refusal::OriginConnectTimeout | Refusal::OriginTimeout => 504,
            Refusal::HttpVersion => 505,
        }
    }

    /// Whose fault it is.
    pub fn side(self) -> Side {
        match self.status() {
            502 | 504 => Side::Origin,
            500 | 503 => Side::Edge,
            _ => Side::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_index_their_counters() {
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
        }
        let mut names: Vec<_> = Cause::ALL
            .iter()
            .map(|c| c.name())
            .chain(Refusal::ALL.iter().map(|r| r.name()))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
