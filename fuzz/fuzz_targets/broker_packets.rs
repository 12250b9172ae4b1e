//! What clients send, as bytes: no panic, where the reads are cut does not matter, and what is decoded, encoded and decoded
//! again is the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mqttyd::broker::trial::packets(bytes));
