//! COBS.
#![no_main]

use mqttyd_fuzz::frame::{Config, cobs};
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = cobs::Config {
            delimiter: u.arbitrary()?,
            max: size(u)?,
            stale: span(u)?,
        };
        let special = vec![
            config.delimiter,
            1 ^ config.delimiter,
            3 ^ config.delimiter,
            !config.delimiter,
        ];
        Ok(Method {
            config: Config::Cobs(config),
            promise: Promise::Cuts,
            special,
        })
    })
});
