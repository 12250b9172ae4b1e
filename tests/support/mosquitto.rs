//! mosquitto_sub and mosquitto_pub, as people use them.

use super::program::find;
use super::{Daemon, Message, Program, Route, Version, missing};
use std::process::{Command, Stdio};

const HOW: &str = "mosquitto_sub and mosquitto_pub are not installed: apt install mosquitto-clients";

fn command(program: &str, daemon: &Daemon, version: Version) -> Option<Command> {
    let Some(path) = find(program) else {
        missing(HOW);
        return None;
    };
    let address = daemon.address_over(Route::Tcp, version);
    // On a pipe its lines would wait in its buffer.
    let mut command = Command::new("stdbuf");
    command.arg("-oL").arg(path).arg("-V").arg(match version {
        Version::V3 => "mqttv311",
        Version::V5 => "mqttv5",
    });
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.stdin(Stdio::null());
    Some(command)
}

/// Runs one of mosquitto's clients with these arguments until it ends, which must be well; gives what it said. None:
/// it is not installed.
#[track_caller]
pub(crate) fn mosquitto(program: &str, args: &[&str]) -> Option<String> {
    let Some(path) = find(program) else {
        missing(HOW);
        return None;
    };
    let mut program = Program::start(Command::new(path).args(args).stdin(Stdio::null()));
    let status = program.wait();
    assert!(status.success(), "{args:?}: {status}: {}", program.err.text());
    Some(program.out.text())
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
        let mut command = command("mosquitto_sub", daemon, version)?;
        // Payloads as hexadecimal digits: nothing in them can be mistaken for something else.
        let program = Program::start(command.args(["-d", "-F", "message %t %q %r %x"]).args(args));
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

/// Runs mosquitto_pub with these arguments; it must succeed.
#[track_caller]
pub(crate) fn mosquitto_pub(daemon: &Daemon, version: Version, args: &[&str]) {
    let Some(mut command) = command("mosquitto_pub", daemon, version) else {
        return;
    };
    let mut program = Program::start(command.args(args));
    let status = program.wait();
    assert!(
        status.success(),
        "mosquitto_pub {args:?}: {status}: {}",
        program.err.text()
    );
}
