//! From the line to the topics: framing, payloads, conditions, topics made of what the line says.

use crate::support::{Daemon, Device};
use std::time::Duration;

#[test]
fn lines_become_messages_with_the_payload_that_was_asked_for() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "scale"
        path = {path:?}
        frame = {{ line = {{ max = 64 }} }}
        [[port.publish]]
        topic = "scale/raw"
        [[port.publish]]
        topic = "scale/text"
        payload = "text"
        [[port.publish]]
        topic = "scale/hex"
        payload = "hex"
        [[port.publish]]
        topic = "scale/base64"
        payload = "base64"
        [[port.publish]]
        topic = "scale/json"
        payload = "json"
        "#,
        path = device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("scale/+", 0);
    device.send(b"12.5 kg\n");
    for (topic, payload) in [
        ("scale/raw", "12.5 kg"),
        ("scale/text", "12.5 kg"),
        ("scale/hex", "31322e35206b67"),
        ("scale/base64", "MTIuNSBrZw=="),
    ] {
        assert_eq!(client.next_on(topic).text(), payload);
    }
    let json: serde_json::Value =
        serde_json::from_slice(&client.next_on("scale/json").payload).expect("JSON");
    assert_eq!(
        (&json["port"], &json["data"]),
        (&"scale".into(), &"12.5 kg".into()),
        "{json}"
    );
    assert!(
        json["seq"].is_u64() && json["time"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{json}"
    );
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_one_message() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'slow'\npath = {:?}\nbaud = 300\n[[port.publish]]\ntopic = 'slow/raw'",
        device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("slow/raw", 0);
    for line in ["first of all", "and the second"] {
        device.dribble(format!("{line}\r\n").as_bytes(), Duration::from_millis(3));
        assert_eq!(client.next().text().trim_end_matches('\r'), line);
    }
}

#[test]
fn conditions_choose_and_their_groups_name_the_topic() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "bus"
        path = {path:?}
        [[port.publish]]
        topic = "alarms"
        when = {{ prefix = "!" }}
        [[port.publish]]
        topic = "sensor/{{{{ id }}}}/{{{{ port }}}}"
        when = {{ regex = "^(?<id>[^=]*)=" }}
        "#,
        path = device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("#", 0);
    device.send(b"neither\n!fire\nt1=20\na/b=1\n+=2\n#=3\n=4\n!t2=5\n");
    let mut got = Vec::new();
    while got.len() < 6 {
        let message = client.next();
        if !message.topic.starts_with("mqttyd/") {
            got.push((message.topic.clone(), message.text()));
        }
    }
    let want = [
        ("alarms", "!fire"),
        ("sensor/t1/bus", "t1=20"),
        ("sensor/a%2Fb/bus", "a/b=1"),
        ("sensor/%2B/bus", "+=2"),
        ("sensor/%23/bus", "#=3"),
        // An empty name makes no topic; the frame after it goes on.
        ("alarms", "!t2=5"),
    ];
    assert_eq!(got, want.map(|(topic, text)| (topic.to_owned(), text.to_owned())));
    daemon.log().wait(&["could not be published"]);
}

#[test]
fn bytes_of_every_value_pass_unchanged_both_ways() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "bin"
        path = {path:?}
        frame = "slip"
        [[port.publish]]
        topic = "bin/up"
        [[port.command]]
        topic = "bin/down"
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["bin"], "open");
    let mut client = daemon.client("both");
    client.subscribe("bin/up", 0);
    let all: Vec<u8> = (0..=255).collect();
    client.publish("bin/down", &all, 1, false);
    // 0xc0 ends a frame and may begin it, 0xdb escapes those two (RFC 1055).
    let mut wire = Vec::new();
    while wire.iter().filter(|byte| **byte != 0xc0).count() < 258 || wire.last() != Some(&0xc0) {
        wire.extend(device.receive(1));
    }
    device.send(&wire);
    assert_eq!(client.next().payload, all);
}
