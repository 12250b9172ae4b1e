//! Modbus over a serial line: how long its frames are, and the checks that belong to them.
//!
//! Both methods know the check that the specification gives them (a CRC, an LRC), so that no other has to be
//! named; where one is, it stands in its place.

pub mod ascii;
mod crc;
mod length;
pub mod rtu;
