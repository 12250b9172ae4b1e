//! Bytes as they come.
#![no_main]

use mqttyd_fuzz::frame::{Config, raw};
use mqttyd_fuzz::{Method, Promise, promises, size};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = Config::Raw(raw::Config { max: size(u)? });
        Ok(Method {
            config,
            promise: Promise::None,
            special: Vec::new(),
        })
    })
});
