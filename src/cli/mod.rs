//! The commands: stand-in until the real one comes.
pub mod watch;
