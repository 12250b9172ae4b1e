//! A port with a device: its frames become named values, its commands become frames.

use crate::support::{Daemon, Device};

/// A sensor described in place: two kinds of frame, a range, a command.
const SENSOR: &str = r#"
    device.frame = { length = { start = [0xaa], width = 1 } }
    device.check = "sum8"
    [[port.device.kind]]
    name = "values"
    when = { bytes = { at = 2, is = [0x01] } }
    fields = [
      { name = "temperature", at = 3, type = "i16", scale = 0.1, unit = "°C", range = [-40, 85] },
      { name = "mode", type = "u8", values = { 0 = "off", 1 = "on" } },
    ]
    [[port.device.kind]]
    name = "refusal"
    means = "error"
    when = { bytes = { at = 2, is = [0x7f] } }
    fields = [{ name = "code", at = 3, type = "u8" }]
    [[port.device.command]]
    name = "set"
    fields = [
      { type = "u8", is = 0xaa },
      { type = "u8", is = 4 },
      { type = "u8", is = 0x20 },
      { name = "target", type = "i16", scale = 0.1, range = [5, 30] },
    ]
"#;

#[test]
fn frames_become_values_and_commands_become_frames() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'room'\npath = {:?}\n{SENSOR}\n\
         [[port.publish]]\ntopic = \"home/{{{{ port }}}}/{{{{ field }}}}\"\n\
         [[port.publish]]\ntopic = \"home/{{{{ port }}}}\"\npayload = \"values\"\nwhen = {{ kind = \"values\" }}\n\
         [[port.command]]\ntopic = 'home/room/set'\ncommand = 'set'\n",
        device.path(),
    ));
    let mut client = daemon.client("reader");
    client.subscribe("home/#", 0);
    device.send(&[0xaa, 5, 0x01, 0x00, 0xe1, 0x01, 0x92]);
    assert_eq!(client.next_on("home/room/temperature").text(), "22.5");
    assert_eq!(client.next_on("home/room/mode").text(), "on");
    let values = client.next_on("home/room").text();
    assert!(
        values.contains("\"temperature\":22.5") && values.contains("\"mode\":\"on\""),
        "{values}"
    );
    // A value that cannot be is not published, the others of its frame are.
    device.send(&[0xaa, 5, 0x01, 0x7f, 0xff, 0x00, 0x2e]);
    assert_eq!(client.next_on("home/room/mode").text(), "off");
    device.send(&[0xaa, 3, 0x7f, 0x09, 0x35]);
    assert_eq!(client.next_on("home/room/code").text(), "9");
    client.publish("home/room/set", br#"{"target": 21.5}"#, 0, false);
    device.expect(&[0xaa, 4, 0x20, 0x00, 0xd7, 0xa5]);
}
