//! mosquitto_sub and mosquitto_pub against the real binary, with both versions of the protocol.

use crate::support::{Daemon, Device, MosquittoSub, Version, mosquitto_pub};
use rustix::process::Signal;

const BOTH: [Version; 2] = [Version::V3, Version::V5];

#[test]
fn frames_and_commands_of_every_qos() {
    for version in BOTH {
        let device = Device::new();
        let daemon = Daemon::start(&format!(
            r#"
            [[port]]
            name = "scale"
            path = {path:?}
            [[port.publish]]
            topic = "{{port}}/up"
            qos = 2
            [[port.command]]
            topic = "scale/down/#"
            qos = 2
            "#,
            path = device.path(),
        ));
        daemon.wait_ports(&["scale"], "open");
        for qos in ["0", "1", "2"] {
            let Some(mut sub) = MosquittoSub::start(&daemon, version, &["-t", "scale/up", "-q", qos]) else {
                return;
            };
            device.send(b"12.5 kg\n");
            let message = sub.next();
            let got = (
                message.topic.as_str(),
                &message.payload[..],
                message.qos.to_string(),
            );
            assert_eq!(got, ("scale/up", &b"12.5 kg"[..], qos.to_owned()), "{version:?}");

            mosquitto_pub(&daemon, version, &["-t", "scale/down/tare", "-m", "T", "-q", qos]);
            device.expect(b"T\n");
        }
    }
}

#[test]
fn wildcards_unsubscribing_and_lines_of_stdin() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let args = ["-t", "a/+/c", "-t", "b/#", "-t", "left", "-U", "left", "-q", "1"];
        let Some(mut sub) = MosquittoSub::start(&daemon, version, &args) else {
            return;
        };
        // The answer to the last thing that it asks: from here on `left` is none of its filters.
        sub.program.out.wait(&["received UNSUBACK"]);
        for topic in ["left", "a/c", "a/b/c", "b"] {
            mosquitto_pub(&daemon, version, &["-t", topic, "-m", topic, "-q", "1"]);
        }
        let mut got = [sub.next().topic, sub.next().topic];
        got.sort();
        assert_eq!(got, ["a/b/c", "b"], "{version:?}");
    }
}

#[test]
fn wills_and_keep_alive() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let Some(mut sub) = MosquittoSub::start(&daemon, version, &["-t", "will/#", "-q", "1"]) else {
            return;
        };
        let start = |topic: &str, keep_alive: &str| {
            let args = [
                "-t",
                "x",
                "-k",
                keep_alive,
                "--will-topic",
                topic,
                "--will-payload",
                "gone",
            ];
            MosquittoSub::start(&daemon, version, &args).expect("one is installed, as just seen")
        };
        let mut killed = start("will/killed", "60");
        killed.program.kill();
        assert_eq!(sub.next().topic, "will/killed", "{version:?}");

        // It leaves in good order after its first message.
        let args = [
            "-t",
            "last",
            "-C",
            "1",
            "--will-topic",
            "will/left",
            "--will-payload",
            "gone",
        ];
        let mut leaves = MosquittoSub::start(&daemon, version, &args).expect("one is installed");
        mosquitto_pub(&daemon, version, &["-t", "last", "-m", "x"]);
        assert!(leaves.program.wait().success());

        // The shortest keep alive that mosquitto_sub takes.
        let pings = start("will/pings", "5");
        let silent = start("will/silent", "5");
        silent.program.signal(Signal::STOP);
        assert_eq!(sub.next().topic, "will/silent", "{version:?}");
        pings.program.out.wait(&["received PINGRESP"]);
        mosquitto_pub(
            &daemon,
            version,
            &["-t", "will/end", "-m", "nobody else was lost", "-q", "1"],
        );
        assert_eq!(sub.next().topic, "will/end", "{version:?}");
    }
}

#[test]
fn retained_states() {
    let absent = Device::absent();
    for version in BOTH {
        // Without a port there is only a broker, which has no state to tell.
        let daemon = Daemon::start(&format!("[[port]]\nname = 'absent'\npath = {:?}", absent.path()));
        let Some(mut sub) = MosquittoSub::start(&daemon, version, &["-t", "mqttyd/state", "-q", "1"]) else {
            return;
        };
        let message = sub.next();
        assert_eq!(
            (&message.payload[..], message.retain),
            (&b"online"[..], true),
            "{version:?}"
        );

        mosquitto_pub(&daemon, version, &["-t", "kept", "-m", "this", "-r", "-q", "1"]);
        let mut late = MosquittoSub::start(&daemon, version, &["-t", "kept"]).expect("one is installed");
        assert!(late.next().retain, "{version:?}");
    }
}
