//! mosquitto_sub and mosquitto_pub, as people use them.

use super::program::find;
use super::{Daemon, Message, Program, Version, missing};
use std::process::{Command, Stdio};

const HOW: &str = "mosquitto_sub and mosquitto_pub are not installed: apt install mosquitto-clients";

fn command(program: &str, daemon: &Daemon, version: Version) -> Option<Command> {
    let Some(path) = find(program) else {
        missing(HOW);
        return None;
    };
    let address = daemon.address(version);
    // On a pipe its lines would wait in its buffer.
    let mut command = Command::new("stdbuf");
    command.arg("-oL").arg(path);
    command
        .arg("-h")
        .arg(address.ip().to_string())
        .arg("-p")
        .arg(address.port().to_string());
    command
        .arg("-V")
        .arg(if version == Version::V5 {
            "mqttv5"
        } else {
            "mqttv311"
        })
        .stdin(Stdio::null());
    Some(command)
}

/// A mosquitto_sub that runs.
pub(crate) struct MosquittoSub {
    /// The process.
    pub(crate) program: Program,
    mark: usize,
}

impl MosquittoSub {
    /// Starts one with these arguments and waits until its subscription is granted. None: it is not installed.
    #[track_caller]
    pub(crate) fn start(daemon: &Daemon, version: Version, args: &[&str]) -> Option<MosquittoSub> {
        // Payloads as hexadecimal digits: nothing in them can be mistaken for something else.
        let format = ["-d", "-F", "message %t %q %r %x"];
        let program = mosquitto_sub(daemon, version, &[&format, args].concat())?;
        program.out.wait(&["Subscribed"]);
        Some(MosquittoSub { program, mark: 0 })
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Message {
        let (mark, line) = self.program.out.wait_from(self.mark, &["message "]);
        self.mark = mark;
        let mut words = line.trim_start_matches("message ").split(' ');
        let mut word = || words.next().unwrap_or_default();
        let topic = word().to_owned();
        let qos = word().parse().unwrap_or_else(|_| panic!("a message in {line:?}"));
        let retain = word() == "1";
        let payload = data_encoding::HEXLOWER
            .decode(word().as_bytes())
            .expect("hexadecimal digits");
        Message {
            topic,
            payload,
            qos,
            retain,
        }
    }
}

/// Starts a mosquitto_sub that may fail. None: it is not installed.
pub(crate) fn mosquitto_sub(daemon: &Daemon, version: Version, args: &[&str]) -> Option<Program> {
    let mut command = command("mosquitto_sub", daemon, version)?;
    Some(Program::start(command.args(args)))
}

/// Runs a mosquitto_pub that may fail. None: it is not installed.
#[track_caller]
pub(crate) fn mosquitto_try(daemon: &Daemon, version: Version, args: &[&str]) -> Option<Program> {
    let mut program = Program::start(command("mosquitto_pub", daemon, version)?.args(args));
    program.wait();
    Some(program)
}

/// Runs mosquitto_pub with these arguments; it must succeed.
#[track_caller]
pub(crate) fn mosquitto_pub(daemon: &Daemon, version: Version, args: &[&str]) {
    let Some(mut program) = mosquitto_try(daemon, version, args) else {
        return;
    };
    let status = program.wait();
    assert!(
        status.success(),
        "mosquitto_pub {args:?}: {status}: {}",
        program.err.text()
    );
}
