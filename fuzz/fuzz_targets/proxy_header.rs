//! See `hawser::proto::fuzz::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawser::proto::fuzz::proxy_header(data));
