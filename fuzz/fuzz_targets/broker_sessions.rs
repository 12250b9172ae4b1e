//! The session machine: clients that connect, publish, subscribe, acknowledge, are lost, taken over, and a broker that is
//! killed and begins again, in any order. The tables agree at any time, and clients that keep the rules are served by them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mqttyd::broker::trial::sessions(bytes));
