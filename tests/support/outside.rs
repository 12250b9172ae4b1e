//! MQTT clients that we did not write, each behind the same few verbs: Python's paho-mqtt and aiomqtt from PyPI,
//! mqtt.js from npm, and the crate rumqttc.

use super::install;
use super::rumqttc;
use super::{Daemon, Lines, Message, Program, Version, missing};
use data_encoding::HEXLOWER;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Whose client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Eclipse paho for Python, which has a thread.
    Paho,
    /// aiomqtt for Python, which has coroutines.
    Aiomqtt,
    /// mqtt.js, in Node.
    MqttJs,
    /// The crate rumqttc, in a thread of the test.
    Rumqttc,
}

/// The way to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Route {
    #[default]
    Tcp,
    Tls,
    Websocket,
    SecureWebsocket,
}

impl Route {
    /// Every one of them.
    pub(crate) const ALL: [Route; 4] = [Route::Tcp, Route::Tls, Route::Websocket, Route::SecureWebsocket];

    /// How its addresses begin.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Route::Tcp => "mqtt://",
            Route::Tls => "mqtts://",
            Route::Websocket => "ws://",
            Route::SecureWebsocket => "wss://",
        }
    }

    /// Whether it needs a certificate.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Route::Tls | Route::SecureWebsocket)
    }

    /// Whether MQTT goes in frames of WebSocket.
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Route::Websocket | Route::SecureWebsocket)
    }
}

/// How a client connects.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The version of the protocol.
    pub(crate) version: Version,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// What the broker publishes when the client is lost: topic, payload, QoS, retain.
    pub(crate) will: Option<(&'static str, &'static str, u8, bool)>,
    /// The way to the broker.
    pub(crate) route: Route,
    /// The file of the certificate that is trusted on a secure way; its name is `localhost`.
    pub(crate) ca: Option<PathBuf>,
    /// Whether the session is kept for a client of this name that comes again, and one that was kept is taken up.
    pub(crate) keeps: bool,
    /// Whether reasons are wanted in words, too; paho alone can say no.
    pub(crate) problem: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V3,
            keep_alive: 60,
            will: None,
            route: Route::Tcp,
            ca: None,
            keeps: false,
            problem: true,
        }
    }
}

/// What MQTT 5 carries with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Properties(pub(crate) Value);

impl Properties {
    /// Some of each kind.
    pub(crate) fn some() -> Properties {
        Properties(json!({
            "content": "text/plain",
            "response": "answers/héré",
            "correlation": "00ff7f",
            "user": [["unit", "kg"], ["unit", "lb"], ["site", "Zürich"]],
        }))
    }
}

/// A client that does what it is told, and tells what happens.
pub(crate) struct Outside {
    kind: Kind,
    events: Lines,
    /// How far the events of each kind have been taken.
    taken: HashMap<String, usize>,
}

enum Kind {
    Process(Program),
    Thread(UnixStream),
}

impl Outside {
    /// Connects a client. None: what it needs is not here.
    #[track_caller]
    pub(crate) fn connect(maker: Maker, daemon: &Daemon, name: &str, options: &Options) -> Option<Outside> {
        let mut client = Outside::start(maker, daemon, name, options)?;
        let connected = client.event("connected");
        assert_eq!(connected["reason"], "Success", "{maker:?}: {connected}");
        Some(client)
    }

    /// Connects a client that comes again: whether the broker has kept its session is looked at, too.
    #[track_caller]
    pub(crate) fn resume(maker: Maker, daemon: &Daemon, name: &str, options: &Options) -> Option<Outside> {
        let mut client = Outside::start(maker, daemon, name, options)?;
        let connected = client.event("connected");
        assert_ne!(connected["session"], false, "{maker:?}: {connected}");
        Some(client)
    }

    /// Connects a client that is not taken in: what it is told.
    #[track_caller]
    pub(crate) fn refused(maker: Maker, daemon: &Daemon, name: &str, options: &Options) -> Option<Value> {
        let mut client = Outside::start(maker, daemon, name, options)?;
        let connected = client.event("connected");
        assert_ne!(connected["reason"], "Success", "{maker:?}: {connected}");
        Some(connected)
    }

    /// Subscribes, and is told something.
    #[track_caller]
    pub(crate) fn try_subscribe(&mut self, filter: &str, qos: u8) -> Value {
        self.tell(&json!({ "do": "subscribe", "filter": filter, "qos": qos }));
        self.event("subscribed")
    }

    #[track_caller]
    fn start(maker: Maker, daemon: &Daemon, name: &str, options: &Options) -> Option<Outside> {
        let address = daemon.address_over(options.route, options.version);
        let asked = json!({
            "host": if options.route.is_secure() { "localhost".to_owned() } else { address.ip().to_string() },
            "port": address.port(),
            "version": options.version.level(),
            "id": name,
            "keepalive": options.keep_alive,
            "transport": if options.route.is_websocket() { "websockets" } else { "tcp" },
            "ca": options.ca.as_ref().filter(|_| options.route.is_secure()),
            "clean": !options.keeps,
            "problem": options.problem,
            "expiry": if options.keeps { 300 } else { 0 },
            "will": options.will.map(|(topic, payload, qos, retain)| json!({
                "topic": topic, "payload": HEXLOWER.encode(payload.as_bytes()), "qos": qos, "retain": retain,
            })),
        });
        let ready = match maker {
            Maker::Paho => install::python().map(|python| script(&python, "client.py")),
            Maker::Aiomqtt => install::python().map(|python| script(&python, "coroutines.py")),
            Maker::MqttJs => install::node().map(|(node, modules)| {
                let mut command = script(&node, "client.js");
                command.env("NODE_PATH", modules);
                command
            }),
            Maker::Rumqttc => {
                let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
                rumqttc::start(asked, theirs);
                return Some(Outside {
                    events: Lines::of(ours.try_clone().expect("a descriptor")),
                    kind: Kind::Thread(ours),
                    taken: HashMap::new(),
                });
            }
        };
        match ready {
            Ok(mut command) => {
                let program = Program::start(command.arg(asked.to_string()).stdin(Stdio::piped()));
                Some(Outside {
                    events: program.out.clone(),
                    kind: Kind::Process(program),
                    taken: HashMap::new(),
                })
            }
            Err(why) => {
                missing(&why);
                None
            }
        }
    }

    /// Subscribes, and waits until that is granted.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.tell(&json!({ "do": "subscribe", "filter": filter, "qos": qos }));
        let granted = self.event("subscribed");
        assert_eq!(granted["codes"], json!([qos]), "{filter}");
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

    /// Publishes with properties, and waits until the broker has acknowledged it.
    #[track_caller]
    pub(crate) fn publish_with(&mut self, topic: &str, payload: &[u8], qos: u8, properties: &Properties) {
        self.tell(&json!({
            "do": "publish", "topic": topic, "payload": HEXLOWER.encode(payload), "qos": qos, "retain": false,
            "properties": properties.0,
        }));
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

    /// Is gone without a word.
    pub(crate) fn vanish(&mut self) {
        match &mut self.kind {
            Kind::Process(program) => program.kill(),
            Kind::Thread(_) => {
                self.tell(&json!({ "do": "vanish" }));
                self.event("vanished");
            }
        }
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        match &self.kind {
            Kind::Process(program) => program.signal(signal),
            Kind::Thread(_) => panic!("a thread gets no signals"),
        }
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Message {
        self.next_with().0
    }

    /// Waits for the next message, and what came with it.
    #[track_caller]
    pub(crate) fn next_with(&mut self) -> (Message, Properties) {
        let event = self.event("message");
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let message = Message {
            topic: text("topic"),
            payload: HEXLOWER
                .decode(text("payload").as_bytes())
                .expect("hexadecimal digits"),
            qos: event["qos"].as_u64().unwrap_or(9) as u8,
            retain: event["retain"] == true,
        };
        (message, Properties(event["properties"].clone()))
    }

    /// Waits for the next event of a kind: `message`, `pong`, `disconnected` ...
    #[track_caller]
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        let mark = self.taken.get(kind).copied().unwrap_or_default();
        let (mark, line) = self.events.wait_from(mark, &[&format!("\"event\": \"{kind}\"")]);
        self.taken.insert(kind.into(), mark);
        serde_json::from_str(&line).expect("an event in JSON")
    }

    fn tell(&mut self, what: &Value) {
        let to: &mut dyn Write = match &mut self.kind {
            Kind::Process(program) => program.stdin(),
            Kind::Thread(socket) => socket,
        };
        writeln!(to, "{what}").expect("a client that listens");
    }
}

fn script(interpreter: &Path, file: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(format!("{CLIENTS}/{file}"));
    command
}
