//! mqttyd joins serial ports to MQTT topics. The binary is in `main.rs`; this library is its rooms.
//!
//! ARCHITECTURE.md is the map: which room is for what, and which may know which.

pub mod broker;
mod bus;
pub mod causes;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
mod counted;
pub mod field;
pub mod fold;
pub mod frame;
pub mod gateway;
pub mod journal;
mod memory;
pub mod modbus;
pub mod notify;
pub mod octets;
pub mod port;
pub mod profile;
pub mod publish;
mod read_any;
pub mod serial;
pub mod span;
pub mod template;
pub mod topic;
mod unix;
