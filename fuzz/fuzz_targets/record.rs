//! See `hawser::net::records::fuzz::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawser::net::records::fuzz::record(data));
