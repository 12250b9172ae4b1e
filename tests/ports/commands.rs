//! From the topics to the line.

use crate::support::{Daemon, Device};
use std::time::{Duration, Instant};

#[test]
fn framing_check_and_template_are_added() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "gps"
        path = {path:?}
        frame = {{ line = {{ end = "\r\n" }} }}
        check = {{ algorithm = "xor8", encoding = "hex", prefix = "*" }}
        [[port.command]]
        topic = "gps/raw"
        [[port.command]]
        topic = "gps/+/set"
        payload = {{ template = "SET {{{{ 1 }}}} {{{{ payload }}}}" }}
        [[port.command]]
        topic = "gps/hex"
        payload = "hex"
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["gps"], "open");
    let mut client = daemon.client("writer");
    client.publish("gps/raw", b"AB", 1, false);
    device.expect(b"AB*03\r\n");
    client.publish("gps/rate/set", b"5", 1, false);
    device.expect(b"SET rate 5*75\r\n");
    client.publish("gps/hex", b"4142", 1, false);
    device.expect(b"AB*03\r\n");
}

#[test]
fn a_command_that_makes_no_frame_is_dropped_with_a_warning_that_names_its_topic() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "scale"
        path = {path:?}
        [[port.command]]
        topic = "scale/hex"
        payload = "hex"
        [[port.command]]
        topic = "scale/raw"
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["scale"], "open");
    let mut client = daemon.client("writer");
    client.publish("scale/hex", b"not hex", 1, false);
    client.publish("scale/raw", b"two\nlines", 1, false);
    client.publish("scale/raw", b"good", 1, false);
    device.expect(b"good\n");
    assert!(device.is_quiet());
    daemon.log().wait(&["warn", "scale/hex"]);
}

/// The gateway has one command topic, and is told five commands while the device is away.
fn five_commands_for_an_absent_device(queue: &str) -> (Daemon, Device) {
    let mut device = Device::absent();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'valve'\npath = {:?}\n[[port.command]]\ntopic = 'valve/set'\n{queue}",
        device.path(),
    ));
    daemon.wait_ports(&["valve"], "waiting");
    let mut client = daemon.client("writer");
    client.subscribe("mqttyd/port/valve/counters", 0);
    for n in 1..=5 {
        client.publish("valve/set", format!("turn {n}").as_bytes(), 1, false);
    }
    loop {
        let message = client.next_on("mqttyd/port/valve/counters");
        let counters: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
        if counters["commands"] == 5 {
            break;
        }
    }
    device.plug();
    (daemon, device)
}

#[test]
fn a_full_queue_refuses_the_newest() {
    let queue = "queue = 2\nwhen-full = 'drop-newest'\nexpire = '10min'";
    let (daemon, device) = five_commands_for_an_absent_device(queue);
    device.expect(b"turn 1\nturn 2\n");
    daemon.wait_ports(&["valve"], "open");
    assert!(device.is_quiet());
    daemon.log().wait(&["warn", "queue", "valve/set"]);
}

#[test]
fn a_full_queue_drops_the_oldest() {
    let queue = "queue = 2\nwhen-full = 'drop-oldest'\nexpire = '10min'";
    let (daemon, device) = five_commands_for_an_absent_device(queue);
    device.expect(b"turn 4\nturn 5\n");
    daemon.log().wait(&["warn", "queue", "valve/set"]);
}

#[test]
fn a_command_that_waited_too_long_does_not_move_a_device_that_comes_back() {
    let mut device = Device::absent();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'valve'\npath = {:?}\n[[port.command]]\ntopic = 'valve/set'\nexpire = '50ms'",
        device.path(),
    ));
    daemon.wait_ports(&["valve"], "waiting");
    let mut client = daemon.client("writer");
    client.publish("valve/set", b"open", 1, false);
    daemon.log().wait(&["warn", "valve/set", "expire"]);
    device.plug();
    daemon.wait_ports(&["valve"], "open");
    client.publish("valve/set", b"close", 1, false);
    device.expect(b"close\n");
}

#[test]
fn commands_are_spaced_on_the_line() {
    let spacing = Duration::from_millis(100);
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'slow'\npath = {:?}\n[[port.command]]\ntopic = 'slow/set'\nspacing = '100ms'",
        device.path(),
    ));
    daemon.wait_ports(&["slow"], "open");
    let mut client = daemon.client("writer");
    let start = Instant::now();
    for n in 0..5 {
        client.publish("slow/set", format!("{n}").as_bytes(), 0, false);
    }
    let received = device.receive_timed(10);
    let text: Vec<u8> = received.iter().map(|(byte, _)| *byte).collect();
    assert_eq!(text, b"0\n1\n2\n3\n4\n");
    // Measured from before the first: a test that is held up must not see less than there was.
    for (n, frame) in received.chunks(2).enumerate() {
        let silence = spacing * n as u32;
        assert!(
            frame[0].1 - start >= silence,
            "frame {n} came {:?} after the first",
            frame[0].1 - start
        );
    }
}

/// A retained command of this moment is a command like any other; what is refused is the replay at a start.
#[test]
fn a_command_that_is_published_with_retain_while_the_gateway_runs_is_sent_once() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'lamp'\npath = {:?}\n[[port.command]]\ntopic = 'lamp/set'",
        device.path(),
    ));
    daemon.wait_ports(&["lamp"], "open");
    let mut client = daemon.client("writer");
    client.publish("lamp/set", b"on", 1, true);
    device.expect(b"on\n");
    client.publish("lamp/set", b"off", 1, false);
    device.expect(b"off\n");
}

#[test]
fn on_any_port_it_is_told_what_becomes_of_a_command() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'valve'\npath = {:?}\n\
         [[port.command]]\ntopic = 'valve/set'\nresult = 'told/{{{{ topic }}}}'\n",
        device.path(),
    ));
    daemon.wait_ports(&["valve"], "open");
    let mut client = daemon.client("writer");
    client.subscribe("told/#", 0);
    client.publish("valve/set", b"open", 1, false);
    device.expect(b"open\n");
    let mut states = Vec::new();
    client.publish("valve/set", b"two\nlines", 1, false);
    for _ in 0..4 {
        let told: serde_json::Value =
            serde_json::from_slice(&client.next_on("told/valve/set").payload).unwrap();
        states.push((told["state"].as_str().unwrap().to_owned(), told["final"] == true));
    }
    let wanted = [
        ("queued", false),
        ("sent", true),
        ("queued", false),
        ("refused", true),
    ];
    assert_eq!(states, wanted.map(|(state, end)| (state.to_owned(), end)));
}
