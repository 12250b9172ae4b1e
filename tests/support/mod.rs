//! The one harness: devices on ptys, the real binary, real clients. Every wait is for an event and has a bound;
//! everything that was started is ended on drop, and a test that fails shows what the daemon said.

mod cable;
mod daemon;
mod device;
mod faulty;
mod install;
pub(crate) mod journald;
mod lines;
mod mosquitto;
mod mqtt;
mod notify;
mod outside;
mod peer;
mod program;
mod rumqttc;

pub(crate) use cable::Cable;
pub(crate) use daemon::{Daemon, Engine, Setup, Version};
pub(crate) use device::{Device, pause};
pub(crate) use faulty::{ENERGY, Fault, Faulty, LEVEL, LOGIN, SET, Tongue, checked};
pub(crate) use lines::Lines;
pub(crate) use mosquitto::{MosquittoSub, mosquitto, mosquitto_pub, mosquitto_sub, mosquitto_try};
pub(crate) use mqtt::{Client, Message};
pub(crate) use outside::{Maker, Options, Outside, Properties, Route};
pub(crate) use peer::Peer;
pub(crate) use program::{Program, mqttyd};

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen: much longer than it takes, for machines that are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is left until `deadline`, or `None` when it has passed.
pub(crate) fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
}

/// Bytes as a person reads them.
pub(crate) fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// A program that the tests want is not there: an error in CI, where it must be; else a test less, with a word
/// about it (past libtest's capture), so that the tests pass on a machine that has nothing but Rust.
pub(crate) fn missing(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    if std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false") {
        panic!("{what}");
    }
    let _ = writeln!(std::io::stderr(), "{test} SKIPPED: {what}");
}
