//! Slaves that others have made, on a bus that mqttyd asks, and on one that it only listens to.

use crate::support::{Cable, Client, Daemon, Peer};
use std::io::Write as _;

/// What the slaves of `tests/peers` hold, as far as it matters here.
const PROFILE: &str = r#"{ modbus = { every = "200ms" }, fields = [
    { name = "word", input = 0 },
    { name = "signed", input = 1, type = "i16" },
    { name = "cdab", input = 12, type = "f32", order = "word-swapped", decimals = 4 },
    { name = "lamp", coil = 3, writable = true },
    { name = "level", holding = 5, type = "i16", scale = 0.1, range = [-100, 100], writable = true },
    { name = "fan", holding = 11, bits = [4, 7], writable = true, function = 22 },
    { name = "missing", holding = 64 },
] }"#;

fn bus(peer: Peer, cable: &Cable) -> Daemon {
    let framing = match peer {
        Peer::PymodbusAscii => "frame = 'modbus-ascii'",
        Peer::Pymodbus | Peer::Libmodbus => "",
    };
    Daemon::start(&format!(
        r#"
        [[port]]
        name = "bus"
        path = {:?}
        baud = 19200
        {framing}
        [[port.publish]]
        topic = "home/{{{{ device }}}}/{{{{ field }}}}"
        [[port.command]]
        topic = "home/{{{{ device }}}}/level/set"
        command = "level"
        [[port.command]]
        topic = "home/{{{{ device }}}}/lamp/set"
        command = "lamp"
        [[port.command]]
        topic = "home/{{{{ device }}}}/fan/set"
        command = "fan"
        [[port.device]]
        name = "meter"
        address = 17
        profile = {PROFILE}
        "#,
        cable.near().path(),
    ))
}

/// Waits until a topic has this value.
#[track_caller]
fn until(client: &mut Client, topic: &str, value: &str) {
    for _ in 0..1000 {
        if client.next_on(topic).text() == value {
            return;
        }
    }
    panic!("{topic} is never {value}");
}

fn asked(peer: Peer) {
    let cable = Cable::new();
    let Some(_slave) = peer.start("slave", cable.far().path()) else {
        return;
    };
    let daemon = bus(peer, &cable);
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    until(&mut client, "home/meter/word", "1234");
    until(&mut client, "home/meter/signed", "-1234");
    until(&mut client, "home/meter/cdab", "3.1416");
    until(&mut client, "home/meter/lamp", "true");
    until(&mut client, "home/meter/level", "0.0");
    for (name, value) in [("lamp", "false"), ("level", "-12.3"), ("fan", "9")] {
        client.publish(&format!("home/meter/{name}/set"), value.as_bytes(), 0, false);
        until(&mut client, &format!("home/meter/{name}"), value);
    }
    // A register that the device does not have is told with its reason, and holds up nothing.
    let mut state = daemon.client("state");
    state.subscribe("mqttyd/port/bus/device/meter/state", 0);
    loop {
        let message = state.next_on("mqttyd/port/bus/device/meter/state");
        let told: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
        let missing = &told["polls"]["missing"];
        if missing["state"] == "unread" {
            assert_eq!(missing["reason"], "refused");
            assert!(
                missing["text"].to_string().contains("illegal data address"),
                "{missing}"
            );
            assert_eq!(told["polls"]["input-0"]["state"], "good");
            break;
        }
    }
    until(&mut client, "home/meter/word", "1234");
}

/// A master of libmodbus asks a slave of pymodbus, and mqttyd hears both.
#[test]
fn what_others_ask_is_overheard() {
    let cable = Cable::new();
    let (Some(_slave), Some(mut master)) = (
        Peer::Pymodbus.start("slave", cable.far().path()),
        Peer::Libmodbus.start_asking("master", cable.near().path()),
    ) else {
        return;
    };
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "bus"
        path = {:?}
        baud = 19200
        [port.bus]
        listen = true
        [[port.publish]]
        topic = "home/{{{{ device }}}}/{{{{ field }}}}"
        [[port.device]]
        name = "meter"
        address = 17
        profile = {PROFILE}
        "#,
        cable.tap().path(),
    ));
    daemon.wait_ports(&["bus"], "open");
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    let mut ask = |line: &str| writeln!(master.stdin(), "{line}").expect("a master that listens");
    ask("input 0 1");
    assert_eq!(client.next_on("home/meter/word").text(), "1234");
    // Any range, each value in it once; a refusal and what nobody names give none.
    ask("input 100 1");
    ask("holding 20 2");
    ask("coils 0 5");
    assert_eq!(client.next().topic, "home/meter/lamp");
    ask("register 5 123");
    ask("holding 5 1");
    assert_eq!(client.next_on("home/meter/level").text(), "12.3");
    ask("read-write 5 1 5 65535");
    assert_eq!(client.next_on("home/meter/level").text(), "-0.1");
}

#[test]
fn libmodbus_is_asked() {
    asked(Peer::Libmodbus);
}

#[test]
fn pymodbus_is_asked() {
    asked(Peer::Pymodbus);
}

#[test]
fn pymodbus_is_asked_in_ascii() {
    asked(Peer::PymodbusAscii);
}
