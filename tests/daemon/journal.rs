//! The journal as those find it who read it: the daemon's entries on a journald that runs.

use crate::support::{Client, Daemon, Device, Engine, PATIENCE, Setup, journald, mqttyd, pause};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// Documented fields that nothing in this story brings about: a clock that is set, TLS files that are changed, a memory
/// that is damaged, a fault in the program.
const NOT_HERE: [&str; 6] = ["CERTIFICATE", "FILE", "KEPT", "LOCATION", "STEP", "THREAD"];

#[test]
fn entries_have_the_ids_and_the_fields_that_the_reference_names() {
    // It has no log of its own: docs/journal.md is about our own broker's.
    if Engine::tested() == Engine::Rumqttd {
        return;
    }
    if journald::is_here() {
        return story();
    }
    let name = "daemon::journal::entries_have_the_ids_and_the_fields_that_the_reference_names";
    if let Some(output) = journald::again(name) {
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A day of a gateway: what it says, and then whether all of that is as the reference has it.
fn story() {
    let (mut air, absent, silent) = (Device::new(), Device::absent(), Device::new());
    let memory = tempfile::tempdir().expect("a folder");
    let mut daemon = start(&air, &absent, &silent, memory.path());
    let started = entry("started");
    has(
        &started,
        &[
            ("CONFIG", &daemon.config.display().to_string()),
            ("VERSION", env!("CARGO_PKG_VERSION")),
        ],
    );
    has(&entry("ready"), &[("PORTS", "3")]);
    has(
        &entry("memory-opened"),
        &[
            ("FOLDER", &memory.path().display().to_string()),
            ("RETAINED", "0"),
            ("SESSIONS", "0"),
        ],
    );
    has(&entry("port-waiting"), &[("PORT", "absent")]);
    let open = entry_of("air", "port-open");
    has(
        &open,
        &[
            ("PORT", "air"),
            ("PATH", &air.path().display().to_string()),
            ("BAUD", "19200"),
        ],
    );
    assert_eq!(open["PRIORITY"], "5", "a notice");

    clients();
    let (plain, _) = listeners();
    let mut client = Client::connect(plain, "reader");
    client.subscribe("air/raw", 0);
    air.send(b"AC*03\nAB*03\n");
    assert_eq!(client.next().text(), "AB");
    let damaged = entry_of("air", "frames-damaged");
    has(&damaged, &[("PORT", "air"), ("COUNT", "1"), ("REASON", "check")]);
    assert_eq!(damaged["PRIORITY"], "4");
    has(
        &entry_of("air", "frames-good"),
        &[("PORT", "air"), ("COUNT", "1")],
    );
    // A line can't hold the end of one.
    client.publish("air/set", b"A\nB", 1, false);
    has(
        &entry("command-dropped"),
        &[
            ("PORT", "air"),
            ("TOPIC", "air/set"),
            ("REASON", "frame"),
            ("COUNT", "1"),
        ],
    );

    has(&entry("device-silent"), &[("PORT", "bus"), ("DEVICE", "meter")]);
    reloads(&daemon);
    air.unplug();
    has(&entry_of("air", "port-gone"), &[("PORT", "air")]);
    assert!(daemon.terminate().0.success());
    entry("stopping");
    all_are_in_the_reference();
}

fn start(air: &Device, absent: &Device, silent: &Device, memory: &std::path::Path) -> Daemon {
    let ports = format!(
        r#"
        [log]
        target = "journal"
        [[port]]
        name = "air"
        path = {:?}
        baud = 19200
        check = {{ algorithm = "xor8", encoding = "hex", prefix = "*" }}
        [[port.publish]]
        topic = "air/raw"
        [[port.command]]
        topic = "air/set"
        [[port]]
        name = "absent"
        path = {:?}
        [[port]]
        name = "bus"
        path = {:?}
        [[port.publish]]
        topic = "bus/{{{{ device }}}}/{{{{ field }}}}"
        [[port.device]]
        name = "meter"
        address = 1
        profile = {{ modbus = {{ every = "50ms" }}, bus = {{ timeout = "20ms", retries = 0 }}, fields = [
          {{ name = "power", input = 0, type = "f32" }},
        ] }}
        "#,
        air.path(),
        absent.path(),
        silent.path(),
    );
    let listener = "[[broker.listener]]\naddress = '127.0.0.1:0'\n";
    Setup::new(&ports)
        .broker("allow-anonymous = true\n[[broker.user]]\nname = 'anna'\npassword = 'a'\n")
        .listeners(&format!("{listener}{listener}transport = 'websocket'\n"))
        .env("STATE_DIRECTORY", &memory.display().to_string())
        .start()
}

/// Who comes well, who comes with a wrong password, and who speaks something else.
fn clients() {
    let (plain, websocket) = listeners();
    drop(Client::connect(plain, "guest"));
    let connected = entry("client-connected");
    has(&connected, &[("CLIENT", "guest"), ("VERSION", "3.1.1")]);
    let peer = text(&connected, "MQTTYD_PEER");
    assert!(peer.parse::<SocketAddr>().is_ok(), "{peer:?}");
    has(&entry("client-gone"), &[("CLIENT", "guest"), ("PEER", peer)]);
    speak(
        plain,
        b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01x\x00\x04anna\x00\x05wrong",
    );
    entry("login-failed");
    speak(plain, b"GET / HTTP/1.1\r\n\r\n");
    has(&entry("client-refused"), &[("COUNT", "1")]);
    speak(websocket, b"no request\r\n\r\n");
    let failed = entry("handshake-failed");
    assert!(!text(&failed, "MQTTYD_ERROR").is_empty(), "{failed}");
}

/// Bytes of nobody's client, until the broker has done with them.
fn speak(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(bytes).expect("bytes taken");
    while stream.read(&mut [0; 256]).is_ok_and(|count| count > 0) {}
}

fn reloads(daemon: &Daemon) {
    let good = fs::read_to_string(&daemon.config).expect("the configuration");
    let reload = || {
        mqttyd()
            .args(["reload", "--socket"])
            .arg(&daemon.control)
            .output()
            .expect("the command run")
    };
    fs::write(&daemon.config, format!("{good}\nnonsense = 1\n")).expect("the configuration written");
    assert_eq!(reload().status.code(), Some(78));
    let refused = entry("config-refused");
    assert_eq!(refused["PRIORITY"], "3", "a person must act");
    assert!(text(&refused, "MESSAGE").contains("nonsense"), "{refused}");
    fs::write(&daemon.config, good).expect("the configuration written");
    assert!(reload().status.success());
    entry("config-reloaded");
}

/// The two addresses that the broker says it listens at: MQTT and WebSocket.
fn listeners() -> (SocketAddr, SocketAddr) {
    entry("listening");
    let addresses: Vec<SocketAddr> = entries(&["MQTTYD_EVENT=listening"])
        .iter()
        .map(|entry| text(entry, "MQTTYD_ADDRESS").parse().expect("an address"))
        .collect();
    let [plain, websocket] = addresses[..] else {
        panic!("{addresses:?}")
    };
    (plain, websocket)
}

/// Each entry that has an event has the id of it, and no field that the reference doesn't name; and there is no field in
/// the reference that entries don't have.
fn all_are_in_the_reference() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/journal.md")).expect("the reference");
    let (fields, events) = page.split_once("\n## Events").expect("two parts");
    let (_, fields) = fields.split_once("\n## Fields").expect("two parts");
    let ids: BTreeMap<&str, &str> = Regex::new(r"\| `([a-z-]+)` \| `([0-9a-f]{32})` \|")
        .expect("a pattern")
        .captures_iter(events)
        .map(|row| row.extract::<2>().1)
        .map(|[name, id]| (name, id))
        .collect();
    let named: BTreeSet<&str> = Regex::new("`MQTTYD_([A-Z_]+)`")
        .expect("a pattern")
        .captures_iter(fields)
        .map(|row| row.extract::<1>().1[0])
        .collect();
    let entries = entries(&[]);
    let mut seen = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.get("MQTTYD_EVENT").is_some()) {
        let event = text(entry, "MQTTYD_EVENT");
        assert_eq!(ids.get(event).copied(), entry["MESSAGE_ID"].as_str(), "{entry}");
        let keys = entry.as_object().expect("an entry").keys();
        seen.extend(keys.filter_map(|key| key.strip_prefix("MQTTYD_")));
    }
    let missing: BTreeSet<&str> = named.difference(&seen).copied().collect();
    assert_eq!(
        missing,
        BTreeSet::from(NOT_HERE),
        "named in docs/journal.md and not seen"
    );
    let unnamed: Vec<_> = seen.difference(&named).collect();
    assert!(unnamed.is_empty(), "not named in docs/journal.md: {unnamed:?}");
}

/// What the journal has of mqttyd that fits.
fn entries(matches: &[&str]) -> Vec<Value> {
    let output = Command::new("journalctl")
        .args(["--output=json", "--quiet", "--identifier=mqttyd"])
        .args(matches)
        .output()
        .expect("journalctl");
    let lines = String::from_utf8(output.stdout).expect("text");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .collect()
}

/// The last entry about this, which may still be on its way.
#[track_caller]
fn entry(event: &str) -> Value {
    last(&[&format!("MQTTYD_EVENT={event}")])
}

/// The last entry about this port.
#[track_caller]
fn entry_of(port: &str, event: &str) -> Value {
    last(&[&format!("MQTTYD_EVENT={event}"), &format!("MQTTYD_PORT={port}")])
}

#[track_caller]
fn last(matches: &[&str]) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(last) = entries(matches).pop() {
            return last;
        }
        assert!(Instant::now() < deadline, "no {matches:?} in {:#?}", entries(&[]));
        pause(Duration::from_millis(20));
    }
}

#[track_caller]
fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {entry}"))
}

/// The entry's own fields of mqttyd, as text.
#[track_caller]
fn has(entry: &Value, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(text(entry, &format!("MQTTYD_{name}")), *value, "{entry}");
    }
}
