//! The page "Limits" of a domain: how much it may take, and for how long. Not here: the form
//! itself (`settings`).

use super::fields::{Group, Input, Kind};
use super::frame::Tab;
use super::settings::Settings;

pub const PAGE: Settings =
    Settings { tab: Tab::Limits, groups: &[TUNNELS, MESSAGES, TIMES, REQUESTS, LOG] };

const TUNNELS: Group = Group {
    title: "Connections",
    lead: "Of WebSocket, on this node.",
    inputs: &[
        Input {
            key: "websocket.max_connections",
            label: "Connections",
            unit: "",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "websocket.max_connections_per_ip",
            label: "Connections from one address",
            unit: "",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "websocket.handshakes_per_second",
            label: "Handshakes",
            unit: "per second",
            kind: Kind::Number,
            hint: "",
        },
    ],
};

const MESSAGES: Group = Group {
    title: "Messages",
    lead: "Clients are told why by the close code.",
    inputs: &[
        Input {
            key: "websocket.max_message",
            label: "Size of a message",
            unit: "bytes",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "websocket.max_frame",
            label: "Size of a frame",
            unit: "bytes",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "websocket.messages_per_second",
            label: "Messages of a client",
            unit: "per second",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "websocket.strict_frames",
            label: "Strict frames",
            unit: "",
            kind: Kind::Flag,
            hint: "",
        },
    ],
};

const TIMES: Group = Group {
    title: "Life of a connection",
    lead: "",
    inputs: &[
        Input {
            key: "websocket.max_lifetime",
            label: "Longest life",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
        Input {
            key: "websocket.stalled_write",
            label: "Write without progress",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
    ],
};

const REQUESTS: Group = Group {
    title: "Plain requests",
    lead: "Also of requests that ask for WebSocket, until it is open.",
    inputs: &[
        Input {
            key: "http.max_body",
            label: "Size of a request body",
            unit: "bytes",
            kind: Kind::Number,
            hint: "",
        },
        Input {
            key: "http.response_timeout",
            label: "Wait for an answer",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
        Input {
            key: "http.body_timeout",
            label: "Body without progress",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
    ],
};

const LOG: Group = Group {
    title: "Access log",
    lead: "",
    inputs: &[
        Input {
            key: "access_log.enabled",
            label: "Lines of this domain",
            unit: "",
            kind: Kind::Flag,
            hint: "",
        },
        Input {
            key: "access_log.interval",
            label: "A line per open connection every",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
    ],
};
