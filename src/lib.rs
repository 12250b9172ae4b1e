//! mqttyd joins serial ports to MQTT topics. The binary is in `main.rs`; this library is its rooms.
//!
//! ARCHITECTURE.md is the map: which room is for what, and which may know which.

pub mod check;
pub mod cli;
pub mod config;
pub mod field;
pub mod broker;
pub mod journal;
pub mod notify;
pub mod control;
pub mod frame;
pub mod octets;
pub mod serial;
pub mod span;
pub mod topic;
pub mod causes;
pub mod check;
pub mod frame;
pub mod port;
pub mod gateway;
