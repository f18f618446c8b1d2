//! See `hawser::proto::fuzz::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawser::proto::fuzz::chunked(data));
