//! What a line wants done around frames, as far as a pty has it: it refuses to be turned, and takes the rest.

use crate::support::{Daemon, Device, Setup, pause};
use std::time::Duration;

/// A port whose line can't be turned: it says so, with the key and what else there is.
fn refused(rs485: &str, says: &[&str]) {
    let device = Device::new();
    let daemon = Setup::new(&format!(
        "[[port]]\nname = 'pump'\npath = {path:?}\nrs485 = {{ {rs485} }}\n[[port.command]]\ntopic = 'pump/set'",
        path = device.path(),
    ))
    .start();
    let mut parts = vec!["warn", "pump", "can't open the port", "rs485.direction"];
    parts.extend(says);
    daemon.log().wait(&parts);
    daemon.wait_ports(&["pump"], "failing");
    let mut client = daemon.client("writer");
    client.publish("pump/set", b"on", 1, false);
    assert!(
        device.is_quiet(),
        "something was sent on a line that can't be turned"
    );
}

#[test]
fn a_driver_that_does_not_know_rs485_is_told_with_the_other_ways() {
    refused(
        "direction = 'kernel'",
        &["\"kernel\"", "TIOCSRS485", "\"rts\"", "gpio", "\"automatic\""],
    );
}

#[test]
fn a_driver_without_rts_is_told_with_the_other_ways() {
    refused(
        "direction = 'rts'",
        &["\"rts\"", "TIOCMBIC", "gpio", "\"automatic\""],
    );
}

#[test]
fn a_gpio_line_that_is_not_there_is_named() {
    refused(
        "direction = { gpio = { chip = '/dev/no-such-chip', line = 17 } }",
        &["GPIO line 17", "/dev/no-such-chip"],
    );
}

/// With marks the kernel writes each 0xff twice, and what it writes for a break looks like other bytes.
#[test]
fn what_looks_like_a_mark_is_none() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "lin"
        path = {path:?}
        frame = {{ fixed = {{ length = 8 }} }}
        on-break = "begin"
        [[port.publish]]
        topic = "lin/frame"
        payload = "hex"
        [[port.command]]
        topic = "lin/set"
        payload = "hex"
        bare = true
        break = "3ms"
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["lin"], "open");
    let mut client = daemon.client("reader");
    client.subscribe("lin/frame", 1);
    let frame = [0xff, 0, 0, 0xff, 0xff, 0, 1, 0xff];
    device.send(&frame);
    assert_eq!(&client.next().payload[..], b"ff0000ffff0001ff");
    for byte in frame {
        device.send(&[byte]);
        pause(Duration::from_millis(2));
    }
    assert_eq!(&client.next().payload[..], b"ff0000ffff0001ff");
    client.publish("lin/set", b"55ff00", 1, false);
    client.publish("lin/set", b"56", 1, false);
    device.expect(&[0x55, 0xff, 0, 0x56]);
}

/// The first byte goes alone, and what is behind it when it has left.
#[test]
fn a_bus_with_a_ninth_bit_and_a_wake_up_is_asked() {
    let device = Device::new();
    let daemon = Setup::new(&format!(
        r#"
        [[port]]
        name = "hall"
        path = {path:?}
        ninth-bit = "address"
        [[port.device]]
        name = "coins"
        profile = "coins"
        address = 8
        [[port.publish]]
        topic = "hall/{{{{ field }}}}"
        [[port.command]]
        topic = "hall/set"
        command = "set"
        result = true
        break = "1ms"
        "#,
        path = device.path(),
    ))
    .profile(
        "coins",
        r#"
        title = "a coin changer"
        frame = "idle"
        [bus]
        echo = "no"
        [[kind]]
        name = "count"
        when = { length = 2 }
        fields = [{ name = "count", type = "u16" }]
        [[kind]]
        name = "done"
        means = "ack"
        when = { length = 1 }
        [[command]]
        name = "count"
        fields = [{ name = "address", type = "u8" }, { type = "u8", is = 1 }]
        [[command]]
        name = "set"
        fields = [{ name = "address", type = "u8" }, { name = "level", type = "u8" }]
        [[poll]]
        name = "count"
        every = "1h"
        step = [{ break = "2ms", silent = true }, { command = "count", break = "2ms", reply = ["count"] }]
        "#,
    )
    .start();
    let mut client = daemon.client("reader");
    client.subscribe("hall/#", 1);
    device.expect(&[8, 1]);
    device.send(&[0xff, 0xff]);
    let count = client.next_on("hall/count");
    assert_eq!(&count.payload[..], b"65535");
    client.publish("hall/set", b"255", 1, false);
    device.expect(&[8, 255]);
    device.send(&[0]);
    loop {
        let told = client.next_on("hall/set/result");
        let told: serde_json::Value = serde_json::from_slice(&told.payload).expect("JSON");
        if told["final"] == true {
            assert_eq!((&told["state"], &told["tries"]), (&"answered".into(), &1.into()));
            break;
        }
    }
}
