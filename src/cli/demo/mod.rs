//! `mqttyd demo`.

mod bench;
mod devices;
