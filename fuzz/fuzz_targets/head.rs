//! See `hawser::proto::fuzz::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawser::proto::fuzz::head(data));
