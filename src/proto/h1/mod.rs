//! HTTP/1.1 heads, framing and rewriting (RFC 9110, RFC 9112).
