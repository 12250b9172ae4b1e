//! Sixteen devices that talk as fast as they can.

use crate::support::{Daemon, Device};
use std::fmt::Write as _;

const DEVICES: usize = 16;
const FRAMES: usize = 2_000;

/// Numbered frames of every device at once: none is lost, repeated, reordered or mixed with another's.
fn flood(qos: u8) {
    let devices: Vec<Device> = (0..DEVICES).map(|_| Device::new()).collect();
    let mut ports = String::new();
    let names: Vec<String> = (0..DEVICES).map(|n| format!("p{n}")).collect();
    for (name, device) in names.iter().zip(&devices) {
        let path = device.path();
        let _ = write!(
            ports,
            "[[port]]\nname = {name:?}\npath = {path:?}\n[[port.publish]]\ntopic = 'flood/{{port}}'\nqos = {qos}\n",
        );
    }
    let daemon = Daemon::start(&ports);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    daemon.wait_ports(&names, "open");
    let mut client = daemon.client("reader");
    client.subscribe("flood/+", qos);

    let frame = |device: usize, n: usize| format!("device {device} frame {n} {:x<40}", "");
    std::thread::scope(|scope| {
        for (at, device) in devices.iter().enumerate() {
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for n in 0..FRAMES {
                    bytes.extend(format!("{}\n", frame(at, n)).into_bytes());
                }
                device.send(&bytes);
            });
        }
        let mut next = [0; DEVICES];
        for _ in 0..DEVICES * FRAMES {
            let message = client.next();
            let at: usize = message.topic["flood/p".len()..]
                .parse()
                .expect("a device's number");
            assert_eq!(message.text(), frame(at, next[at]), "on {}", message.topic);
            next[at] += 1;
        }
        assert_eq!(next, [FRAMES; DEVICES]);
    });
}

#[test]
fn every_frame_arrives_once_and_in_order_with_qos_0() {
    flood(0);
}

#[test]
fn every_frame_arrives_once_and_in_order_with_qos_1() {
    flood(1);
}
