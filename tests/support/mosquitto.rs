//! mosquitto_sub and mosquitto_pub, as people use them.

use super::program::find;
use super::{Daemon, Message, Program, Route, Version, missing};
use std::process::{Command, Stdio};

const HOW: &str = "mosquitto_sub and mosquitto_pub are not installed: apt install mosquitto-clients";

/// Where and how to connect.
fn way(daemon: &Daemon, version: Version) -> Vec<String> {
    let address = daemon.address_over(Route::Tcp, version);
    let version = match version {
        Version::V3 => "mqttv311",
        Version::V5 => "mqttv5",
    };
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    ["-h", &host, "-p", &port, "-V", version].map(String::from).into()
}

fn command(program: &str, args: &[impl AsRef<str>]) -> Option<Command> {
    let Some(path) = find(program) else {
        missing(HOW);
        return None;
    };
    // On a pipe its lines would wait in its buffer.
    let mut command = Command::new("stdbuf");
    command.arg("-oL").arg(path).stdin(Stdio::null());
    command.args(args.iter().map(AsRef::as_ref));
    Some(command)
}

/// Runs one of mosquitto's clients with these arguments. None: it is not installed.
#[track_caller]
pub(crate) fn mosquitto(program: &str, args: &[impl AsRef<str>]) -> Option<Program> {
    Some(Program::start(&mut command(program, args)?))
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
        MosquittoSub::with(&with_way(daemon, version, args))
    }

    /// Starts one with no arguments but these, and for what it says.
    #[track_caller]
    pub(crate) fn with(args: &[impl AsRef<str>]) -> Option<MosquittoSub> {
        let mut command = command("mosquitto_sub", args)?;
        // Payloads as hexadecimal digits: nothing in them can be mistaken for something else.
        let program = Program::start(command.args(["-d", "-F", "message %t %q %r %x"]));
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
#[track_caller]
pub(crate) fn mosquitto_sub(daemon: &Daemon, version: Version, args: &[&str]) -> Option<Program> {
    mosquitto("mosquitto_sub", &with_way(daemon, version, args))
}

/// Runs a mosquitto_pub that may fail. None: it is not installed.
#[track_caller]
pub(crate) fn mosquitto_try(daemon: &Daemon, version: Version, args: &[&str]) -> Option<Program> {
    let mut program = mosquitto("mosquitto_pub", &with_way(daemon, version, args))?;
    program.wait();
    Some(program)
}

fn with_way(daemon: &Daemon, version: Version, args: &[&str]) -> Vec<String> {
    let args = args.iter().map(|arg| (*arg).to_owned());
    way(daemon, version).into_iter().chain(args).collect()
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
        "mosquitto_pub: {status}: {}",
        program.err.text()
    );
}
