//! A port that is a Modbus device itself, asked by masters that others have made.

use crate::support::{Cable, Daemon, PATIENCE, Peer, Program};
use std::io::Write as _;
use std::time::Instant;

const PORT: &str = r#"
    baud = 19200
    [port.serve]
    address = 17
    topic = "plc/{{ field }}"
    fields = [
      { name = "word", input = 0 },
      { name = "signed", input = 1, type = "i16" },
      { name = "power", input = 2, type = "f32" },
      { name = "label", input = 4, type = "text", length = 4 },
      { name = "level", holding = 5, type = "i16", scale = 0.1, range = [-100, 100], writable = true },
      { name = "total", holding = 6, type = "u32", writable = true },
      { name = "fixed", holding = 8 },
      { name = "lamp", coil = 0, writable = true },
      { name = "pump", coil = 1, writable = true },
      { name = "door", discrete = 0 },
    ]
    [[port.publish]]
    topic = "plc/{{ field }}/written"
"#;

/// A master at work.
struct Master {
    program: Program,
    asked: usize,
}

impl Master {
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.program.stdin(), "{line}").expect("a master that listens");
        self.asked += 1;
        self.program.out.wait_count(self.asked + 1, &[""]);
        self.program.out.all()[self.asked].clone()
    }

    /// Asks again until this is the answer: values come by way of the broker.
    #[track_caller]
    fn ask_until(&mut self, line: &str, answer: &str) {
        let start = Instant::now();
        loop {
            let got = self.ask(line);
            if got == answer {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{line}: {got}, and not {answer}");
        }
    }
}

fn with(peer: Peer, framing: &str) {
    let cable = Cable::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'plc'\npath = {:?}\n{framing}\n{PORT}",
        cable.near().path(),
    ));
    daemon.wait_ports(&["plc"], "open");
    let Some(program) = peer.start_asking("master", cable.far().path()) else {
        return;
    };
    let mut master = Master { program, asked: 0 };
    let mut client = daemon.client("world");
    client.subscribe("plc/+/written", 1);

    // What nobody has said yet is no value.
    assert_eq!(master.ask("input 0 2"), "exception 4");
    for (name, value) in [
        ("word", "4660"),
        ("signed", "-2"),
        ("power", "230.2"),
        ("label", "AB"),
        ("level", "-1.5"),
        ("total", "305419896"),
        ("fixed", "7"),
        ("lamp", "true"),
        ("pump", "false"),
        ("door", "true"),
    ] {
        client.publish(&format!("plc/{name}"), value.as_bytes(), 1, false);
    }
    master.ask_until("discrete 0 1", "1");
    assert_eq!(master.ask("input 0 6"), "4660 65534 17254 13107 16706 0");
    assert_eq!(master.ask("holding 5 4"), "65521 4660 22136 7");
    assert_eq!(master.ask("coils 0 2"), "1 0");

    let mut written = |name: &str, value: &str| {
        assert_eq!(client.next_on(&format!("plc/{name}/written")).text(), value);
    };
    assert_eq!(master.ask("register 5 123"), "done");
    written("level", "12.3");
    assert_eq!(master.ask("write-registers 6 1 2"), "done");
    written("total", "65538");
    assert_eq!(master.ask("coil 0 0"), "done");
    written("lamp", "false");
    assert_eq!(master.ask("write-coils 0 1 1"), "done");
    written("lamp", "true");
    written("pump", "true");
    assert_eq!(master.ask("mask 5 65280 9"), "done");
    written("level", "0.9");
    assert_eq!(master.ask("read-write 6 2 5 65535"), "1 2");
    written("level", "-0.1");
    assert_eq!(master.ask("holding 5 1"), "65535");

    // Every reason to say no, and none of them is told as a value.
    assert_eq!(master.ask("input 5 2"), "exception 2");
    assert_eq!(master.ask("holding 4 1"), "exception 2");
    assert_eq!(master.ask("register 8 1"), "exception 2");
    assert_eq!(master.ask("register 5 1001"), "exception 3");
    assert_eq!(master.ask("holding 5 4"), "65535 1 2 7");
    assert_eq!(master.ask("coil 1 0"), "done");
    written("pump", "false");
}

#[test]
fn to_libmodbus() {
    with(Peer::Libmodbus, "");
}

#[test]
fn to_pymodbus() {
    with(Peer::Pymodbus, "");
}

#[test]
fn to_pymodbus_in_ascii() {
    with(Peer::PymodbusAscii, "frame = 'modbus-ascii'");
}
