//! What is published of a device's values, and when.

use crate::support::{Daemon, Device, Program, mqttyd};
use serde_json::Value;

/// A scale that says lines such as `W=12.5;P=1`.
fn scale(device: &Device, publish: &str) -> Daemon {
    Daemon::start(&format!(
        r#"
        [[port]]
        name = "scale"
        path = {path:?}
        [port.device]
        decode = {{ pairs = {{ separator = ";", assign = "=" }} }}
        fields = [
            {{ name = "weight", at = "W", type = "decimal", unit = "kg", range = [0, 100] }},
            {{ name = "pan", at = "P" }},
        ]
        {publish}
        "#,
        path = device.path(),
    ))
}

#[test]
fn a_topic_for_each_value_and_an_object_for_each_frame() {
    let device = Device::new();
    let daemon = scale(
        &device,
        r#"
        [[port.publish]]
        topic = "home/{{ port }}/{{ field }}"
        retain = true
        [[port.publish]]
        topic = "home/{{ port }}"
        payload = { values = { units = true, quality = true } }
        "#,
    );
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    device.send(b"W=12.5;P=left\nW=800;P=a/b\n");
    assert_eq!(client.next_on("home/scale/weight").text(), "12.5");
    assert_eq!(client.next_on("home/scale/pan").text(), "left");
    let object: Value = serde_json::from_slice(&client.next_on("home/scale").payload).expect("JSON");
    assert_eq!(object["weight"], 12.5);
    assert_eq!(object["units"]["weight"], "kg");
    assert!(
        object["time"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{object}"
    );
    assert_eq!(client.next_on("home/scale/pan").text(), "a/b");
    let object: Value = serde_json::from_slice(&client.next_on("home/scale").payload).expect("JSON");
    assert_eq!(
        (&object["weight"], &object["quality"]["weight"]),
        (&Value::Null, &"out-of-range".into())
    );
    let mut later = daemon.client("later");
    later.subscribe("home/scale/weight", 0);
    assert_eq!(
        later.next().text(),
        "12.5",
        "a value out of range is not published"
    );
    let mut counts = daemon.client("counts");
    counts.subscribe("mqttyd/port/scale/counters", 0);
    loop {
        let counters: Value = serde_json::from_slice(&counts.next().payload).expect("JSON");
        if counters["frames"] == 2 {
            assert_eq!(counters["out-of-range"], 1, "{counters}");
            break;
        }
    }
}

#[test]
fn a_value_from_the_line_makes_no_other_level_of_a_topic() {
    let device = Device::new();
    let daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'pans/{{ pan }}/weight'\npayload = { template = '{{ weight }} {{ units.weight }}' }",
    );
    let mut client = daemon.client("reader");
    client.subscribe("#", 0);
    device.send(b"W=1.5;P=a/../#\n");
    assert_eq!(client.next_on("pans/a%2F..%2F%23/weight").text(), "1.5 kg");
}

#[test]
fn only_changes_beyond_the_dead_band_are_published() {
    let device = Device::new();
    let daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'w'\nfields = [{ name = 'weight', change = { by = 0.5 } }]\n\
         [[port.publish]]\ntopic = 'end'\nfields = ['pan']\nchange = true",
    );
    let mut client = daemon.client("reader");
    client.subscribe("w", 0);
    client.subscribe("end", 0);
    device.send(b"W=1.0;P=a\nW=1.4;P=a\nW=1.5;P=a\nW=1.1;P=a\nW=9.0;P=z\n");
    assert_eq!(client.next_on("w").text(), "1.0");
    assert_eq!(client.next_on("end").text(), "a");
    assert_eq!(client.next_on("w").text(), "1.5");
    assert_eq!(client.next_on("w").text(), "9.0");
    assert_eq!(client.next_on("end").text(), "z");
}

#[test]
fn of_many_values_in_an_interval_the_last_comes_at_its_end() {
    let device = Device::new();
    let daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'w'\nfields = ['weight']\nevery = '1s'",
    );
    let mut client = daemon.client("reader");
    client.subscribe("w", 0);
    device.send(b"W=1;P=a\nW=2;P=a\nW=3;P=a\nW=4;P=a\n");
    assert_eq!(client.next().text(), "1");
    assert_eq!(client.next().text(), "4", "the latest one, at the interval's end");
}

#[test]
fn what_waits_is_published_when_the_gateway_stops() {
    let device = Device::new();
    let mut daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'w'\nfields = ['weight']\nevery = '1h'",
    );
    let mut client = daemon.client("reader");
    client.subscribe("w", 0);
    device.send(b"W=1;P=a\nW=2;P=a\n");
    assert_eq!(client.next().text(), "1");
    let (status, _) = daemon.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(client.next().text(), "2");
}

#[test]
fn a_window_gives_one_value() {
    let device = Device::new();
    let daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'w'\nfields = ['weight']\nwindow = { over = '500ms', take = 'median' }",
    );
    let mut client = daemon.client("reader");
    client.subscribe("w", 0);
    device.send(b"W=1.0;P=a\nW=9.0;P=a\nW=2.0;P=a\n");
    assert_eq!(client.next().text(), "2.00");
}

#[test]
fn silence_is_said_and_the_next_value_follows_at_once() {
    let device = Device::new();
    let daemon = scale(
        &device,
        "[[port.publish]]\ntopic = 'w'\nfields = ['weight']\nchange = true\n\
         stale = { after = '300ms', topic = 'w/quality', payload = 'no {{ field }} since {{ time }}' }",
    );
    let mut client = daemon.client("reader");
    client.subscribe("w/#", 0);
    device.send(b"W=1;P=a\n");
    assert_eq!(client.next_on("w").text(), "1");
    let said = client.next_on("w/quality").text();
    assert!(
        said.starts_with("no weight since 20") && said.ends_with('Z'),
        "{said}"
    );
    device.send(b"W=1;P=a\n");
    assert_eq!(
        client.next_on("w").text(),
        "1",
        "the same value, and it isn't stale any more"
    );
}

#[test]
fn a_recording_of_watch_gives_the_same_messages_again() {
    let device = Device::new();
    let daemon = scale(&device, "[[port.publish]]\ntopic = 'home/{{ field }}'");
    daemon.wait_ports(&["scale"], "open");
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    let mut watch = Program::start(
        mqttyd()
            .args(["watch", "--json", "-n", "2", "--socket"])
            .arg(&daemon.control),
    );
    watch.out.wait(&["hello"]);
    device.send(b"W=1;P=a\nW=2;P=b\n");
    let live: Vec<String> = (0..4)
        .map(|_| client.next())
        .map(|message| format!("{} {}", message.topic, message.text()))
        .collect();
    assert!(watch.wait().success(), "{}", watch.err.text());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("day");
    std::fs::write(&file, watch.out.text()).expect("the recording written");
    let mut replay = Program::start(mqttyd().arg("replay").arg(&file).arg("-c").arg(&daemon.config));
    assert!(replay.wait().success(), "{}", replay.err.text());
    let text = replay.out.text();
    let again: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(again, live, "{text}");
}

#[test]
fn replay_says_what_was_wrong_and_how_it_went() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("my.toml");
    std::fs::write(
        &config,
        "[[port]]\nname = 'gps'\npath = '/dev/null'\n\
         check = { algorithm = 'xor8', encoding = 'hex', prefix = '*' }\n\
         [[port.publish]]\ntopic = 'gps/raw'\n",
    )
    .expect("the configuration written");
    let run = |bytes: &[u8], args: &[&str]| {
        let file = folder.path().join("capture");
        std::fs::write(&file, bytes).expect("the capture written");
        let mut program = Program::start(
            mqttyd()
                .arg("replay")
                .arg(&file)
                .arg("-c")
                .arg(&config)
                .args(args),
        );
        let status = program.wait();
        (status.code(), program.out.text(), program.err.text())
    };
    let (code, out, err) = run(b"AB*03\nAC*03\n", &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out.trim_end(),
        "gps/raw AB\n! damaged (check): 41432a30330a\n# 1 frame, 1 damaged; 1 message"
    );
    assert_eq!(run(b"AB*03\nAC*03\n", &["--strict"]).0, Some(1));
    assert_eq!(
        run(b"AC*03\n", &[]).0,
        Some(1),
        "nothing would have been published"
    );
    let (code, out, _) = run(
        b"00000000: 4142 2a30 330a   AB*03.\n",
        &["--json", "--port", "gps"],
    );
    assert_eq!(code, Some(0));
    let first: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&first["topic"], &first["payload"]),
        (&"gps/raw".into(), &"AB".into())
    );
    let (code, _, err) = run(b"AB*03\n", &["--port", "gsp"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("there are gps"), "{err}");
}
