//! Sixteen devices that talk as fast as they can.

use crate::support::{Device, Engine, Setup};
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
            "[[port]]\nname = {name:?}\npath = {path:?}\n[[port.publish]]\ntopic = 'flood/{{{{ port }}}}'\nqos = {qos}\n",
        );
    }
    // Room in the log for all of it: a reader that the machine keeps from its turn for longer than publishers
    // wait is another test's matter.
    let daemon = Setup::new(&ports).rumqttd("segments = 64").start();
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

/// rumqttd waits for the answers of a QoS 1 subscriber after some hundred messages: the ports have to wait with it.
#[test]
fn every_frame_arrives_once_and_in_order_with_qos_1() {
    flood(1);
}

#[test]
fn a_subscriber_that_loses_messages_because_it_is_slow_is_warned_of() {
    let device = Device::new();
    let daemon = Setup::new(&format!(
        "[[port]]\nname = 'loud'\npath = {:?}\n[[port.publish]]\ntopic = 'loud/raw'",
        device.path()
    ))
    // Our own broker's queues are tried beside its hub, where who is slow is no matter of time.
    .engine(Engine::Rumqttd)
    .rumqttd("segment-size = 1024\nsegments = 2")
    .start();
    daemon.wait_ports(&["loud"], "open");
    let mut client = daemon.client("slow");
    client.subscribe("loud/raw", 1);
    for n in 0..20_000 {
        device.send(format!("{n} {:x<200}\n", "").as_bytes());
    }
    // It had no answer to the first hundred, so it got no more; now that it answers, the next ones are gone.
    for _ in 0..100 {
        client.next();
    }
    daemon.log().wait(&["warn", "subscriber", "lost"]);
}
