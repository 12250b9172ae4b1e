//! Eclipse paho, the MQTT client that Python programs use, from PyPI and in an environment of its own.

use super::program::find;
use super::{Daemon, Message, PATIENCE, Program, Version, missing};
use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What is installed from PyPI.
const PAHO: &str = "paho-mqtt==2.1.0";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/client.py");

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Options {
    /// The version of the protocol.
    pub(crate) version: Version,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// What the broker publishes when the client is lost: topic, payload, QoS, retain.
    pub(crate) will: Option<(&'static str, &'static str, u8, bool)>,
    /// Over WebSocket.
    pub(crate) websocket: bool,
    /// Over TLS: the file of the certificate that is trusted, whose name is `localhost`.
    pub(crate) ca: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V3,
            keep_alive: 60,
            will: None,
            websocket: false,
            ca: None,
        }
    }
}

/// A paho client in a Python process. It does what it is told on stdin, and tells on stdout what happens.
pub(crate) struct Paho {
    /// The process.
    pub(crate) program: Program,
    /// How far the events of each kind have been taken.
    taken: HashMap<String, usize>,
}

impl Paho {
    /// Connects a client. None: there is no Python or no paho for it here.
    #[track_caller]
    pub(crate) fn connect(daemon: &Daemon, name: &str, options: &Options) -> Option<Paho> {
        let python = python()?;
        let address = daemon.address(options.version);
        let asked = json!({
            "host": if options.ca.is_some() { "localhost".to_owned() } else { address.ip().to_string() },
            "port": address.port(),
            "version": if options.version == Version::V5 { 5 } else { 4 },
            "id": name,
            "keepalive": options.keep_alive,
            "transport": if options.websocket { "websockets" } else { "tcp" },
            "ca": &options.ca,
            "will": options.will.map(|(topic, payload, qos, retain)| json!({
                "topic": topic, "payload": HEXLOWER.encode(payload.as_bytes()), "qos": qos, "retain": retain,
            })),
        });
        let mut command = Command::new(python);
        command
            .arg("-u")
            .arg(SCRIPT)
            .arg(asked.to_string())
            .stdin(Stdio::piped());
        let mut paho = Paho {
            program: Program::start(&mut command),
            taken: HashMap::new(),
        };
        let connected = paho.event("connected");
        assert_eq!(connected["reason"], "Success", "{connected}");
        Some(paho)
    }

    /// Subscribes, and waits until that is granted.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.tell(&json!({ "do": "subscribe", "filter": filter, "qos": qos }));
        let granted = self.event("subscribed");
        assert_eq!(
            granted["codes"],
            json!([format!("Granted QoS {qos}")]),
            "{filter}"
        );
    }

    /// Unsubscribes, and waits until that is done.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        self.tell(&json!({ "do": "unsubscribe", "filter": filter }));
        self.event("unsubscribed");
    }

    /// Publishes, and waits until the broker has acknowledged it (with QoS 0: until it is sent).
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        self.post(topic, payload, qos, retain);
        self.event("published");
    }

    /// Publishes, and waits for nothing.
    pub(crate) fn post(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        self.tell(&json!({
            "do": "publish", "topic": topic, "payload": HEXLOWER.encode(payload), "qos": qos, "retain": retain,
        }));
    }

    /// Disconnects in good order, and waits for that.
    #[track_caller]
    pub(crate) fn disconnect(&mut self) {
        self.tell(&json!({ "do": "disconnect" }));
        self.event("disconnected");
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Message {
        let event = self.event("message");
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Message {
            topic: text("topic"),
            payload: HEXLOWER
                .decode(text("payload").as_bytes())
                .expect("hexadecimal digits"),
            qos: event["qos"].as_u64().unwrap_or(9) as u8,
            retain: event["retain"] == true,
        }
    }

    /// Waits for the next event of a kind: `message`, `pong`, `disconnected` ...
    #[track_caller]
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        let mark = self.taken.get(kind).copied().unwrap_or_default();
        let (mark, line) = self
            .program
            .out
            .wait_from(mark, &[&format!("\"event\": \"{kind}\"")]);
        self.taken.insert(kind.into(), mark);
        serde_json::from_str(&line).expect("an event in JSON")
    }

    fn tell(&mut self, what: &Value) {
        writeln!(self.program.stdin(), "{what}").expect("a client that listens");
    }
}

/// The Python that has paho. It is installed once for the target folder; other tests wait meanwhile.
fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(|| environment(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("paho"))) {
        Ok(python) => Some(python.clone()),
        Err(why) => {
            missing(why);
            None
        }
    }
}

fn environment(folder: &Path) -> Result<PathBuf, String> {
    let Some(system) = find("python3") else {
        return Err("python3 is not installed: apt install python3 python3-venv".into());
    };
    // Several test processes may run at once.
    let lock = File::create(folder.with_extension("lock")).map_err(|error| format!("no lock: {error}"))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| format!("no lock: {error}"))?;
    let python = folder.join("bin/python");
    let done = folder.join("installed");
    if fs::read_to_string(&done).is_ok_and(|what| what == PAHO) {
        return Ok(python);
    }
    let _ = fs::remove_dir_all(folder);
    run(Command::new(system).args(["-m", "venv"]).arg(folder)).map_err(|why| {
        format!("python3 can't make a virtual environment: apt install python3-venv\n{why}")
    })?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PAHO,
    ];
    run(Command::new(&python).args(pip))
        .map_err(|why| format!("{PAHO} can't be installed from PyPI; is there a network?\n{why}"))?;
    fs::write(done, PAHO).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).trim_end().to_owned())
}

/// The bound is for events; a Python that starts on a busy machine is within it, too.
const _: () = assert!(PATIENCE.as_secs() >= 30);
