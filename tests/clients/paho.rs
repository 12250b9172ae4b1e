//! Python's paho-mqtt against the real binary, with both versions of the protocol.

use crate::support::{Daemon, Device, Engine, Maker, Options, Outside, PATIENCE, Route, Setup, Version};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

const BOTH: [Version; 2] = [Version::V3, Version::V5];

fn with(version: Version) -> Options {
    Options {
        version,
        ..Options::default()
    }
}

/// A gateway with one device and an entry of each quality of service in each direction.
fn every_qos(device: &Device) -> Daemon {
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "scale"
        path = {path:?}
        [[port.publish]]
        topic = "up/0"
        qos = 0
        [[port.publish]]
        topic = "up/1"
        qos = 1
        [[port.publish]]
        topic = "up/2"
        qos = 2
        [[port.command]]
        topic = "down/0/+"
        qos = 0
        [[port.command]]
        topic = "down/1/+"
        qos = 1
        [[port.command]]
        topic = "down/2/+"
        qos = 2
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["scale"], "open");
    daemon
}

#[test]
fn frames_reach_a_subscriber_of_every_qos() {
    for version in BOTH {
        let device = Device::new();
        let daemon = every_qos(&device);
        for asked in 0..=2 {
            let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "reader", &with(version)) else {
                return;
            };
            paho.subscribe("up/+", asked);
            let frame = format!("weight {asked}");
            device.send(format!("{frame}\n").as_bytes());
            let mut got: Vec<_> = (0..3)
                .map(|_| paho.next())
                .map(|m| (m.topic, m.qos, m.payload))
                .collect();
            got.sort();
            // MQTT-3.8.4-8 asks for the lesser of the two; rumqttd delivers with what the subscription asked for.
            let effective = |sent: u8| match Engine::tested() {
                Engine::Native => sent.min(asked),
                Engine::Rumqttd => asked,
            };
            let want: Vec<_> = (0..=2)
                .map(|sent| (format!("up/{sent}"), effective(sent), frame.clone().into_bytes()))
                .collect();
            assert_eq!(got, want, "subscribed with QoS {asked}, {version:?}");
            paho.disconnect();
        }
    }
}

#[test]
fn commands_of_every_qos_reach_the_device_once() {
    for version in BOTH {
        let device = Device::new();
        let daemon = every_qos(&device);
        let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "writer", &with(version)) else {
            return;
        };
        for subscribed in 0..=2 {
            for sent in 0..=2 {
                let command = format!("tare {subscribed} {sent}");
                paho.publish(
                    &format!("down/{subscribed}/{sent}"),
                    command.as_bytes(),
                    sent,
                    false,
                );
                device.expect(format!("{command}\n").as_bytes());
            }
        }
        // One that came twice would stand before this one.
        paho.publish("down/0/x", b"last", 1, false);
        device.expect(b"last\n");
        assert!(device.is_quiet());
    }
}

#[test]
fn wildcards_and_unsubscribing() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let Some(mut reader) = Outside::connect(Maker::Paho, &daemon, "reader", &with(version)) else {
            return;
        };
        let Some(mut writer) = Outside::connect(Maker::Paho, &daemon, "writer", &with(version)) else {
            return;
        };
        reader.subscribe("home/+/raw", 1);
        reader.subscribe("garden/#", 1);
        for topic in [
            "home/raw",
            "home/a/b/raw",
            "gardens",
            "home/scale/raw",
            "garden/pond/depth",
        ] {
            writer.publish(topic, topic.as_bytes(), 1, false);
        }
        let mut got = [reader.next().topic, reader.next().topic];
        got.sort();
        assert_eq!(got, ["garden/pond/depth", "home/scale/raw"], "{version:?}");

        reader.unsubscribe("garden/#");
        writer.publish("garden/pond/depth", b"no longer", 1, false);
        writer.publish("home/air/raw", b"still", 1, false);
        assert_eq!(reader.next().payload, b"still", "{version:?}");
    }
}

#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_leaves() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let Some(mut reader) = Outside::connect(Maker::Paho, &daemon, "reader", &with(version)) else {
            return;
        };
        reader.subscribe("will/#", 1);
        let will = |topic| Options {
            will: Some((topic, "gone", 1, false)),
            ..with(version)
        };
        let Some(mut leaves) = Outside::connect(Maker::Paho, &daemon, "leaves", &will("will/left")) else {
            return;
        };
        let Some(mut lost) = Outside::connect(Maker::Paho, &daemon, "lost", &will("will/lost")) else {
            return;
        };
        leaves.disconnect();
        lost.vanish();
        let message = reader.next();
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("will/lost", &b"gone"[..]),
            "{version:?}"
        );
    }
}

#[test]
fn a_silent_client_is_dropped_and_one_that_pings_is_kept() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let Some(mut reader) = Outside::connect(Maker::Paho, &daemon, "reader", &with(version)) else {
            return;
        };
        reader.subscribe("will/#", 1);
        let client = |topic| Options {
            keep_alive: 3,
            will: Some((topic, "gone", 1, false)),
            ..with(version)
        };
        let Some(mut pings) = Outside::connect(Maker::Paho, &daemon, "pings", &client("will/pings")) else {
            return;
        };
        let Some(silent) = Outside::connect(Maker::Paho, &daemon, "silent", &client("will/silent")) else {
            return;
        };
        silent.signal(Signal::STOP);
        // Twice the time after which a broker that hears nothing would end the connection.
        for _ in 0..3 {
            pings.event("pong");
        }
        assert_eq!(reader.next().topic, "will/silent", "{version:?}");
        pings.publish("will/pings", b"still here", 1, false);
        assert_eq!(reader.next().payload, b"still here", "{version:?}");
        silent.signal(Signal::CONT);
    }
}

#[test]
fn states_are_there_for_those_who_come_later() {
    for version in BOTH {
        let device = Device::new();
        let absent = Device::absent();
        let daemon = Daemon::start(&format!(
            "[[port]]\nname = 'here'\npath = {:?}\n[[port]]\nname = 'absent'\npath = {:?}",
            device.path(),
            absent.path(),
        ));
        daemon.wait_ports(&["here"], "open");
        daemon.wait_ports(&["absent"], "waiting");
        let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "late", &with(version)) else {
            return;
        };
        let states = [
            ("mqttyd/state", "online"),
            ("mqttyd/port/here/state", "open"),
            ("mqttyd/port/absent/state", "waiting"),
        ];
        for (topic, state) in states {
            paho.subscribe(topic, 1);
            let message = paho.next();
            let got = (message.topic.as_str(), &message.payload[..], message.retain);
            assert_eq!(got, (topic, state.as_bytes(), true), "{version:?}");
        }
    }
}

#[test]
fn a_frame_that_is_retained_is_there_for_those_who_come_later() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'air'\npath = {:?}\n[[port.publish]]\ntopic = 'air/last'\nretain = true",
        device.path(),
    ));
    let Some(mut first) = Outside::connect(Maker::Paho, &daemon, "first", &Options::default()) else {
        return;
    };
    first.subscribe("air/last", 0);
    device.send(b"21.5\n");
    assert!(!first.next().retain, "a message of this moment");
    for version in BOTH {
        let Some(mut late) = Outside::connect(Maker::Paho, &daemon, "late", &with(version)) else {
            return;
        };
        late.subscribe("air/#", 0);
        let message = late.next();
        assert_eq!(
            (&message.payload[..], message.retain),
            (&b"21.5"[..], true),
            "{version:?}"
        );
    }
}

#[test]
fn clients_that_come_and_go_are_no_errors_in_the_log() {
    for version in BOTH {
        let daemon = Daemon::start("");
        let Some(mut leaves) = Outside::connect(Maker::Paho, &daemon, "leaves", &with(version)) else {
            return;
        };
        leaves.subscribe("a/#", 1);
        leaves.publish("a/b", b"x", 1, false);
        leaves.disconnect();
        let Some(mut lost) = Outside::connect(Maker::Paho, &daemon, "lost", &with(version)) else {
            return;
        };
        lost.vanish();
        // The broker has seen both go when it lets others of their names in.
        for name in ["leaves", "lost"] {
            let Some(mut again) = Outside::connect(Maker::Paho, &daemon, name, &with(version)) else {
                return;
            };
            again.subscribe("a/#", 1);
        }
        let errors = daemon.log().count(&[" error "]);
        assert_eq!(errors, 0, "{version:?}:\n{}", daemon.log().text());
    }
}

/// rumqttd's router dies of a topic whose first character is not ASCII. What must not happen is that the process
/// lives on without a broker.
#[test]
fn a_topic_that_kills_rumqttd_ends_the_process_with_a_word() {
    let device = Device::new();
    let port = format!(
        "[[port]]\nname = 'air'\npath = {:?}\n[[port.command]]\ntopic = 'air/down'",
        device.path()
    );
    let mut daemon = Setup::new(&port).engine(Engine::Rumqttd).start();
    let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "hostile", &Options::default()) else {
        return;
    };
    paho.post("é/x", b"boo", 0, false);
    assert!(
        daemon.log().wait_end(PATIENCE),
        "the process goes on without a broker:\n{}",
        daemon.log().text()
    );
    assert_eq!(daemon.program.wait().code(), Some(1));
    let ended = daemon
        .log()
        .find_within(Duration::ZERO, 0, &["error", "broker", "died"]);
    assert!(
        ended.is_some(),
        "nothing said that the broker is dead:\n{}",
        daemon.log().text()
    );
}

#[test]
fn topics_of_any_alphabet_pass_our_own_broker() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    for version in BOTH {
        let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "anybody", &with(version)) else {
            return;
        };
        paho.subscribe("é/#", 1);
        for topic in ["é/x", "é/Зал/温度/🌡"] {
            paho.publish(topic, topic.as_bytes(), 1, false);
            assert_eq!(paho.next().topic, topic, "{version:?}");
        }
    }
}

#[test]
fn browsers_and_encrypted_clients_come_in() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.key_pair.serialize_pem()).unwrap();
    let tls = format!("tls = {{ certfile = {cert:?}, keyfile = {key:?} }}");
    for route in [Route::Tls, Route::Websocket, Route::SecureWebsocket] {
        let listener = format!(
            "[[broker.listener]]\naddress = '127.0.0.1:0'\ntransport = '{}'\n{}",
            if route.is_websocket() { "websocket" } else { "tcp" },
            if route.is_secure() { &tls } else { "" },
        );
        let daemon = Setup::new("").listeners(&listener).start();
        let options = Options {
            route,
            ca: Some(cert.clone()),
            ..Options::default()
        };
        let Some(mut paho) = Outside::connect(Maker::Paho, &daemon, "browser", &options) else {
            return;
        };
        paho.subscribe("a/#", 1);
        paho.publish("a/b", b"\x00\xff", 1, false);
        let message = paho.next();
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("a/b", &b"\x00\xff"[..])
        );
    }
}
