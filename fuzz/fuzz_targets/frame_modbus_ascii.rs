//! Modbus ASCII.
#![no_main]

use mqttyd_fuzz::frame::Config;
use mqttyd_fuzz::frame::modbus::ascii;
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = ascii::Config {
            max: size(u)?,
            stale: span(u)?,
        };
        let promise = if config.stale.0.is_zero() {
            Promise::Cuts
        } else {
            Promise::Finds
        };
        Ok(Method {
            config: Config::ModbusAscii(config),
            promise,
            special: b":0F\r\n".to_vec(),
        })
    })
});
