//! Devices that speak only when asked, on one line.

use crate::support::{Daemon, Device, Engine, Setup, checked};
use serde_json::Value;

/// Its replies say whose they are and not what they answer.
const METER: &str = r#"
    title = "a meter"
    frame = "idle"
    check = "modbus"
    [bus]
    address = { at = 0, type = "u8" }
    timeout = "150ms"
    echo = "no"
    [[kind]]
    name = "error"
    means = "error"
    when = { length = 2 }
    fields = [{ name = "error", at = 1, type = "u8", values = { 1 = "no such thing", 2 = "not now" } }]
    [[kind]]
    name = "energy"
    when = { length = 3, request = { bytes = { at = 1, is = [1] } } }
    fields = [{ name = "energy", at = 1, type = "u16", unit = "Wh" }]
    [[kind]]
    name = "level"
    when = { length = 4, request = { bytes = { at = 1, is = [2] } } }
    fields = [{ name = "level", at = 2, type = "u16" }]
    [[kind]]
    name = "set"
    means = "ack"
    when = { length = 4, request = { bytes = { at = 1, is = [6] } } }
    [[command]]
    name = "level"
    verify = "level"
    fields = [{ name = "address", type = "u8" }, { type = "u8", is = 6 }, { name = "level", type = "u16" }]
    [[command]]
    name = "read"
    fields = [{ name = "address", type = "u8" }, { name = "what", type = "u8" }]
    [[poll]]
    name = "energy"
    every = "100ms"
    command = "read"
    with = { what = 1 }
    [[poll]]
    name = "level"
    every = "1h"
    command = "read"
    with = { what = 2 }
"#;

/// Answers one request as the meters do: energy is a hundred times the address, the level is 7. Gives the request.
fn answer(device: &Device) -> Vec<u8> {
    let mut request = device.receive(4);
    if request[1] == 6 {
        request.extend(device.receive(2));
    }
    assert_eq!(
        checked(&request[..request.len() - 2]),
        request,
        "the check is right"
    );
    let address = request[0];
    device.send(&checked(&match request[1] {
        1 => vec![address, 0, address * 100],
        2 => vec![address, 2, 0, 7],
        _ => request[..4].to_vec(),
    }));
    request
}

fn two_meters(device: &Device) -> Daemon {
    Setup::new(&format!(
        r#"
        [[port]]
        name = "bus"
        path = {path:?}
        [[port.publish]]
        topic = "home/{{{{ device }}}}/{{{{ field }}}}"
        [[port.command]]
        topic = "home/{{{{ device }}}}/level/set"
        command = "level"
        result = true
        [[port.command]]
        topic = "home/{{{{ device }}}}/level/blind"
        command = "level"
        verify = ""
        result = true
        [[port.command]]
        topic = "home/{{{{ device }}}}/level/read"
        poll = "level"
        [[port.device]]
        profile = "meter"
        name = "one"
        address = 1
        [[port.device]]
        profile = "meter"
        address = 2
        poll = {{ energy = "1h" }}
        [[port.device.publish]]
        topic = "second/{{{{ address }}}}"
        payload = "values"
        when = {{ kind = "energy" }}
        "#,
        path = device.path(),
    ))
    .profile("meter", METER)
    .start()
}

#[test]
fn two_devices_are_asked_and_each_value_goes_to_its_own_topic() {
    let device = Device::new();
    let daemon = two_meters(&device);
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    client.subscribe("second/#", 0);
    for _ in 0..5 {
        answer(&device);
    }
    assert_eq!(client.next_on("home/one/energy").text(), "100");
    assert_eq!(client.next_on("home/one/level").text(), "7");
    assert_eq!(client.next_on("home/meter-2/energy").text(), "200");
    let values = client.next_on("second/2").text();
    assert!(values.contains("\"energy\":200"), "{values}");
    client.subscribe("mqttyd/port/bus/#", 0);
    loop {
        answer(&device);
        let Some(message) = client.next_within(std::time::Duration::from_millis(20)) else {
            continue;
        };
        if message.topic == "mqttyd/port/bus/counters" {
            let counters: Value = serde_json::from_slice(&message.payload).unwrap();
            let bus = &counters["bus"];
            if bus["counts"]["answers"].as_u64() >= Some(4) {
                assert!(bus["planned"].as_f64().unwrap() > 10.0, "{counters}");
                break;
            }
        }
    }
}

#[test]
fn a_command_is_asked_and_a_read_brings_its_values_at_once() {
    let device = Device::new();
    let daemon = two_meters(&device);
    daemon.wait_ports(&["bus"], "open");
    let mut client = daemon.client("reader");
    for _ in 0..4 {
        answer(&device);
    }
    client.subscribe("home/+/level", 0);
    client.publish("home/meter-2/level/set", b"513", 1, false);
    let set = loop {
        let request = answer(&device);
        if request[1] == 6 {
            break request;
        }
    };
    assert_eq!(set, checked(&[2, 6, 2, 1]));
    client.publish("home/one/level/read", b"", 1, false);
    while answer(&device) != checked(&[1, 2]) {}
    assert_eq!(client.next_on("home/one/level").text(), "7");
}

#[test]
fn a_reply_of_another_device_is_never_published_and_what_cannot_be_read_is_said() {
    let device = Device::new();
    let daemon = two_meters(&device);
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    client.subscribe("mqttyd/port/bus/device/+/state", 0);
    // The wrong one answers, twice; then nobody does, twice.
    let request = device.receive(4);
    assert_eq!(request, checked(&[1, 1]));
    device.send(&checked(&[2, 0, 99]));
    assert_eq!(device.receive(4), request, "it is asked again");
    device.send(&checked(&[2, 0, 99]));
    let state = loop {
        let message = client.next();
        assert!(
            message.topic.starts_with("mqttyd/"),
            "{}: {}",
            message.topic,
            message.text()
        );
        let state: Value = serde_json::from_slice(&message.payload).unwrap();
        if state["polls"]["energy"]["state"] == "unread" {
            break state;
        }
    };
    assert_eq!(state["device"], "one");
    assert_eq!(state["address"], 1);
    assert_eq!(state["state"], "offline");
    assert_eq!(state["polls"]["energy"]["reason"], "foreign");
    assert!(state["polls"]["energy"]["since"].is_string());
    daemon.log().wait(&["warn", "one", "does not answer"]);
    // The other one has its turn all the same.
    while answer(&device)[0] != 2 {}
    assert_eq!(client.next_on("home/meter-2/energy").text(), "200");
}

#[test]
fn a_line_without_time_for_its_polls_is_refused_with_the_arithmetic() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("devices")).unwrap();
    std::fs::write(folder.path().join("devices/meter.toml"), METER).unwrap();
    let config = folder.path().join("mqttyd.toml");
    let devices: String = (1..=9)
        .map(|n| format!("[[port.device]]\nprofile = 'meter'\naddress = {n}\n"))
        .collect();
    std::fs::write(
        &config,
        format!("[[port]]\nname = 'bus'\npath = '/dev/ttyX'\n[[port.publish]]\ntopic = '{{{{ device }}}}/{{{{ field }}}}'\n{devices}"),
    )
    .unwrap();
    let program = env!("CARGO_BIN_EXE_mqttyd");
    let out = std::process::Command::new(program)
        .arg("check")
        .arg(&config)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &*String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(78), "{text}");
    for part in [
        "has no time for all",
        "meter-3 energy: 4 sent + 5 received",
        "of the line's time",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn the_life_of_a_command_is_told() {
    let device = Device::new();
    let daemon = two_meters(&device);
    daemon.wait_ports(&["bus"], "open");
    let mut client = daemon.client("reader");
    for _ in 0..4 {
        answer(&device);
    }
    client.subscribe("home/+/level/+/result", 0);
    let mut life = |how: &str, value: &[u8]| {
        client.publish(&format!("home/meter-2/level/{how}"), value, 1, false);
        let mut states = Vec::new();
        loop {
            answer(&device);
            while let Some(message) = client.next_within(std::time::Duration::from_millis(20)) {
                let told: Value = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!(told["device"], "meter-2");
                states.push(told["state"].as_str().unwrap().to_owned());
                if told["final"] == true {
                    return (states, told);
                }
            }
        }
    };
    // What reads it back stands in the profile.
    let (states, told) = life("set", b"7");
    assert_eq!(states, ["queued", "sent", "answered", "verified"]);
    assert_eq!(told["values"]["level"], 7);
    let (states, told) = life("set", b"8");
    assert_eq!(states.last().unwrap(), "unverified", "{told}");
    assert_eq!(told["reason"], "`level` is 7, not 8");
    let (states, _) = life("blind", b"8");
    assert_eq!(
        states,
        ["queued", "sent", "answered"],
        "nothing is read back where that is not wanted"
    );
}

/// A publisher that did not hear that it was heard sends it again: the device is told once.
#[test]
fn a_command_that_its_publisher_sends_again_is_done_once() {
    let device = Device::new();
    let daemon = two_meters(&device);
    if Engine::tested() == Engine::Rumqttd {
        // Its links don't tell who has sent a message.
        return;
    }
    daemon.wait_ports(&["bus"], "open");
    let mut client = daemon.client("reader");
    client.subscribe("home/+/level/set/result", 0);
    let (topic, mut levels) = ("home/meter-2/level/set", Vec::new());
    client.publish(topic, b"300", 1, false);
    client.publish_again(topic, b"300");
    client.publish(topic, b"300", 1, false);
    client.publish(topic, b"301", 1, false);
    let mut ends = 0;
    while ends < 3 {
        let request = answer(&device);
        if request[1] == 6 {
            levels.push(u16::from_be_bytes([request[2], request[3]]));
        }
        while let Some(message) = client.next_within(std::time::Duration::from_millis(20)) {
            ends += usize::from(message.text().contains("\"final\":true"));
        }
    }
    assert_eq!(levels, [300, 300, 301]);
}

/// The object itself may say that its values are not known, for those who look at nothing else.
#[test]
fn an_object_says_in_the_same_moment_that_its_values_cannot_be_read() {
    let device = Device::new();
    let daemon = Setup::new(&format!(
        r#"
        [[port]]
        name = "bus"
        path = {path:?}
        [[port.publish]]
        topic = "home/{{{{ device }}}}"
        payload = {{ values = {{ unread = true, quality = true }} }}
        change = true
        when = {{ kind = "energy" }}
        [[port.publish]]
        topic = "all/{{{{ device }}}}"
        payload = {{ values = {{ unread = true }} }}
        [[port.device]]
        profile = "meter"
        name = "one"
        address = 1
        poll = {{ level = "0s" }}
        "#,
        path = device.path(),
    ))
    .profile("meter", METER)
    .start();
    let mut client = daemon.client("reader");
    client.subscribe("home/one", 0);
    client.subscribe("all/one", 0);
    let mut next = |topic: &str| -> Value { serde_json::from_str(&client.next_on(topic).text()).unwrap() };
    // Nothing is known yet but that nothing is: where the topic doesn't hang on the kind of frame, that is said.
    device.receive(8);
    let told = next("all/one");
    assert_eq!(told["unread"]["reason"], "no-reply", "{told}");
    assert_eq!(
        (&told["unread"]["device"], &told["unread"]["poll"]),
        (&"one".into(), &"energy".into())
    );
    assert!(told["unread"].get("last").is_none(), "{told}");
    answer(&device);
    let told = next("home/one");
    assert_eq!(
        (&told["energy"], &told["quality"]["energy"]),
        (&100.into(), &"good".into()),
        "{told}"
    );
    assert!(told.get("unread").is_none());
    // Twice in vain.
    device.receive(8);
    let told = next("home/one");
    assert_eq!(
        (&told["energy"], &told["quality"]["energy"]),
        (&Value::Null, &"unread".into()),
        "{told}"
    );
    let unread = &told["unread"];
    assert_eq!(
        (&unread["reason"], &unread["address"]),
        (&"no-reply".into(), &1.into())
    );
    assert_eq!(unread["last"], serde_json::json!({ "energy": 100 }));
    assert!(
        unread["since"].is_string() && unread["last-time"].as_str() < unread["since"].as_str(),
        "{told}"
    );
    // The same value as before is news now.
    answer(&device);
    let told = next("home/one");
    assert_eq!(
        (&told["energy"], &told["quality"]["energy"]),
        (&100.into(), &"good".into()),
        "{told}"
    );
}

/// The corpus' dialogue of a meter that loses its session, over a line: byte for byte.
#[test]
fn a_session_that_the_device_has_lost_is_opened_again() {
    let bytes = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let device = Device::new();
    let profile = include_str!("../../config/devices/mercury-230.toml");
    let others: String = profile
        .lines()
        .skip_while(|line| *line != "[[poll]]")
        .filter_map(|line| line.strip_prefix("name = \""))
        .map(|name| name.trim_end_matches('"'))
        .take_while(|name| !name.contains(' '))
        .filter(|name| *name != "voltage2")
        .map(|name| format!("poll.{name} = \"0s\"\n"))
        .collect();
    let daemon = Setup::new(&format!(
        "[[port]]\nname = 'cellar'\npath = {:?}\n\
         [[port.publish]]\ntopic = 'home/{{{{ device }}}}/{{{{ field }}}}'\n\
         [[port.device]]\nprofile = 'mercury-230'\naddress = 0\n{others}",
        device.path()
    ))
    .profile("mercury-230", profile)
    .start();
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    for (sent, reply) in [
        ("0001010101010101017781", "000001b0"),
        ("000811120dbb", "0005c1b3"),
        ("0001010101010101017781", "000001b0"),
        ("000811120dbb", "0000eb5d8f2d"),
    ] {
        device.expect(&bytes(sent));
        device.send(&bytes(reply));
    }
    assert_eq!(client.next_on("home/mercury-230-0/voltage").text(), "240.43");
}
