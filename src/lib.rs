//! mqttyd joins serial ports to MQTT topics. The binary is in `main.rs`; this library is its rooms.
//!
//! ARCHITECTURE.md is the map: which room is for what, and which may know which.

pub mod cli;
pub mod octets;
pub mod serial;
pub mod span;
pub mod topic;
