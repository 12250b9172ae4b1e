//! One story for every client that we did not write: over each way, with each version of the protocol.

use crate::support::{Daemon, Engine, Maker, Options, Outside, Properties, Route, Setup, Version};
use std::fs;
use std::path::PathBuf;

#[test]
fn paho() {
    tell(Maker::Paho);
}

#[test]
fn aiomqtt() {
    tell(Maker::Aiomqtt);
}

#[test]
fn mqtt_js() {
    tell(Maker::MqttJs);
}

#[test]
fn rumqttc() {
    tell(Maker::Rumqttc);
}

fn tell(maker: Maker) {
    let house = House::open();
    for route in Route::ALL {
        for version in [Version::V3, Version::V5] {
            if house.story(maker, route, version).is_none() {
                return;
            }
        }
    }
}

/// A broker with a listener for each way, and a Unix socket.
pub(super) struct House {
    pub(super) daemon: Daemon,
    pub(super) ca: PathBuf,
    /// The path of its Unix socket.
    pub(super) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl House {
    pub(super) fn open() -> House {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&cert, made.cert.pem()).expect("the certificate's file");
        fs::write(&key, made.key_pair.serialize_pem()).expect("the key's file");
        let listeners = Route::ALL.map(|route| {
            format!(
                "[[broker.listener]]\naddress = '127.0.0.1:0'\n{}{}",
                if route.is_websocket() {
                    "transport = 'websocket'\npath = '/mqtt'\n"
                } else {
                    ""
                },
                if route.is_secure() {
                    format!("tls = {{ certfile = {cert:?}, keyfile = {key:?} }}\n")
                } else {
                    String::new()
                },
            )
        });
        let socket = folder.path().join("mqtt.sock");
        let unix = format!("[[broker.listener]]\naddress = 'unix:{}'\n", socket.display());
        House {
            daemon: Setup::new("")
                .engine(Engine::Native)
                .listeners(&(listeners.concat() + unix.as_str()))
                .start(),
            ca: cert,
            socket,
            _folder: folder,
        }
    }

    /// A reader that comes, goes and comes again, and a writer with a will. None: the client is not installed.
    fn story(&self, maker: Maker, route: Route, version: Version) -> Option<()> {
        let what = format!("{maker:?} over {route:?} with {version:?}");
        let options = Options {
            version,
            route,
            ca: Some(self.ca.clone()),
            ..Options::default()
        };
        let keeps = Options {
            keeps: true,
            ..options.clone()
        };
        let mortal = Options {
            will: Some(("story/will", "gone", 1, false)),
            ..options.clone()
        };
        let mut reader = Outside::connect(maker, &self.daemon, "reader", &keeps)?;
        let mut writer = Outside::connect(maker, &self.daemon, "writer", &mortal)?;

        // Every quality of service both ways, in order.
        reader.subscribe("story/#", 2);
        for qos in 0..=2 {
            writer.publish("story/told", &[b'0' + qos, 0, 0xff], qos, false);
        }
        for qos in 0..=2 {
            let message = reader.next();
            assert_eq!(
                (
                    message.topic.as_str(),
                    &message.payload[..],
                    message.qos,
                    message.retain
                ),
                ("story/told", &[b'0' + qos, 0, 0xff][..], qos, false),
                "{what}"
            );
        }
        let large: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
        writer.publish("story/large", &large, 1, false);
        assert!(reader.next().payload == large, "{what}");
        if version == Version::V5 {
            let properties = Properties::some();
            writer.publish_with("story/told", b"with", 1, &properties);
            assert_eq!(reader.next_with().1, properties, "{what}");
        }

        // Retained: kept for who comes later, and cleared.
        writer.publish("kept/here", b"still", 1, true);
        reader.subscribe("kept/+", 1);
        let message = reader.next();
        assert_eq!(
            (&message.payload[..], message.retain),
            (&b"still"[..], true),
            "{what}"
        );
        reader.unsubscribe("kept/+");
        writer.publish("kept/here", b"", 1, true);
        reader.subscribe("kept/#", 0);
        writer.publish("story/next", b"nothing before", 1, false);
        assert_eq!(reader.next().payload, b"nothing before", "{what}");
        reader.unsubscribe("kept/#");
        writer.publish("kept/here", b"nobody hears", 1, false);

        // A session that outlives its connection.
        reader.vanish();
        for qos in 1..=2 {
            writer.publish("story/missed", &[b'0' + qos], qos, false);
        }
        let mut reader = Outside::resume(maker, &self.daemon, "reader", &keeps)?;
        for qos in 1..=2 {
            let message = reader.next();
            let got = (message.topic.as_str(), &message.payload[..], message.qos);
            assert_eq!(got, ("story/missed", &[b'0' + qos][..], qos), "{what}");
        }

        // The will of one that is lost, and not of one that leaves.
        writer.vanish();
        let message = reader.next();
        assert_eq!(
            (message.topic.as_str(), &message.payload[..]),
            ("story/will", &b"gone"[..]),
            "{what}"
        );
        let mut leaves = Outside::connect(maker, &self.daemon, "leaves", &mortal)?;
        leaves.publish("story/last", b"good-bye", 2, false);
        leaves.disconnect();
        assert_eq!(reader.next().payload, b"good-bye", "{what}");
        reader.unsubscribe("story/#");
        reader.disconnect();

        // Nothing is left for the next story.
        let mut end = Outside::connect(maker, &self.daemon, "reader", &options)?;
        end.disconnect();
        Some(())
    }
}
