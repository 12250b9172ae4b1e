//! Modbus RTU, by the length that each function has.
#![no_main]

use mqttyd_fuzz::frame::Config;
use mqttyd_fuzz::frame::modbus::rtu;
use mqttyd_fuzz::{Method, Promise, promises, size, span};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    promises(bytes, |u| {
        let config = rtu::Config {
            gap: if u.arbitrary()? { Some(span(u)?) } else { None },
            characters: None,
            latency: span(u)?,
            max: size(u)?,
        };
        Ok(Method {
            config: Config::ModbusRtu(config),
            promise: Promise::Cuts,
            special: vec![1, 3, 4, 5, 6, 8, 0x0f, 0x10, 0x11, 0x14, 0x16, 0x17, 0x18, 0x2b, 0x0e, 0x42, 0x83, 0],
        })
    })
});
