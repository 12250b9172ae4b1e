//! Frames that the line has damaged.

use crate::support::{Daemon, Device};

/// With a checksum at the end as NMEA 0183 has it.
fn checked(device: &Device) -> Daemon {
    Daemon::start(&format!(
        r#"
        [[port]]
        name = "gps"
        path = {path:?}
        frame = "line"
        check = {{ algorithm = "xor8", encoding = "hex", prefix = "*" }}
        [[port.publish]]
        topic = "gps/raw"
        "#,
        path = device.path(),
    ))
}

#[test]
fn a_damaged_frame_is_dropped_and_warned_of_once_and_the_next_good_one_goes_on() {
    let device = Device::new();
    let daemon = checked(&device);
    let mut client = daemon.client("reader");
    client.subscribe("gps/raw", 0);
    device.send(b"AB*03\nAC*03\nAD*03\n*\nAB*03\n");
    assert_eq!(client.next().text(), "AB");
    assert_eq!(
        client.next().text(),
        "AB",
        "the first good frame after three damaged ones"
    );
    daemon.log().wait(&["good frames again"]);
    assert_eq!(
        daemon.log().count(&["warn", "damaged"]),
        1,
        "{}",
        daemon.log().text()
    );
}

#[test]
fn counters_tell_what_was_damaged() {
    let device = Device::new();
    let daemon = checked(&device);
    let mut client = daemon.client("reader");
    client.subscribe("mqttyd/port/gps/counters", 0);
    device.send(b"AB*03\nAC*03\n");
    loop {
        let message = client.next();
        let counters: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
        if counters["frames"] == 1 && counters["damaged"]["check"] == 1 {
            assert_eq!(counters["published"], 1, "{counters}");
            return;
        }
    }
}

#[test]
fn a_line_without_an_end_is_bounded_and_the_next_one_is_published() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'noise'\npath = {:?}\nframe = {{ line = {{ max = 64 }} }}\n\
         [[port.publish]]\ntopic = 'noise/raw'",
        device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("noise/raw", 0);
    device.send(&[b'x'; 100_000]);
    device.send(b"\nafter the noise\n");
    assert_eq!(client.next().text(), "after the noise");
    assert_eq!(
        daemon.log().count(&["warn", "damaged"]),
        1,
        "{}",
        daemon.log().text()
    );
}
