//! The page "Access" of a domain: which pages, addresses and certificates may use it. Not here: the
//! form itself (`settings`).

use super::fields::{Group, Input, Kind};
use super::frame::Tab;
use super::settings::Settings;

pub const PAGE: Settings =
    Settings { tab: Tab::Access, groups: &[ORIGINS, ADDRESSES, CERTIFICATES] };

const ORIGINS: Group = Group {
    title: "Web pages",
    lead: "",
    inputs: &[Input {
        key: "websocket.allowed_origins",
        label: "Allowed Origin headers",
        unit: "",
        kind: Kind::WordOrLines(&[
            ("any", "Any, or none"),
            ("same-host", "Only of the same host and port"),
        ]),
        hint: "Which pages may open a WebSocket; others get 403, and so do requests without an \
               Origin, unless any may. It keeps other sites' pages out, not programs. The list \
               has one on each line, such as https://app.example.com.",
    }],
};

const ADDRESSES: Group = Group {
    title: "Networks",
    lead: "Clients from elsewhere get 403.",
    inputs: &[
        Input {
            key: "access.allow",
            label: "Allowed",
            unit: "",
            kind: Kind::Lines,
            hint: "Addresses and ranges that may use the domain; empty is everybody.",
        },
        Input {
            key: "access.deny",
            label: "Denied",
            unit: "",
            kind: Kind::Lines,
            hint: "Those that may not, even when they are allowed above.",
        },
    ],
};

const CERTIFICATES: Group = Group {
    title: "Certificates of clients",
    lead: "For connections over TLS.",
    inputs: &[
        Input {
            key: "tls.client_auth",
            label: "Ask clients for a certificate",
            unit: "",
            kind: Kind::Choice(&[
                ("off", "No"),
                ("optional", "Optional: one that is sent must verify"),
                ("required", "Required: no handshake without one"),
            ]),
            hint: "The subject of a verified one goes to the origin as X-Client-Cert-Subject; \
                   nobody else can send that header.",
        },
        Input {
            key: "tls.client_ca",
            label: "Roots of clients' certificates",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
    ],
};
