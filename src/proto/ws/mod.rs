//! WebSocket framing (RFC 6455 5): headers, masking, close codes. Payload stays where it is.
