//! See `hawser::proto::fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawser::proto::fuzz::frame(data));
