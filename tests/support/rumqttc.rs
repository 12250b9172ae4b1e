//! The crate rumqttc, led as the clients in other languages are: JSON lines in, JSON lines out.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Its own bound is 10 KiB.
const PACKET_MAX: usize = 1 << 20;

/// Connects a client and lets it live in a thread of its own, until `socket` ends or says so.
pub(super) fn start(asked: Value, socket: UnixStream) {
    // Its TLS takes the process's provider of cryptography; a second client finds it there.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    std::thread::spawn(move || match asked["version"].as_u64() {
        Some(5) => new::live(&asked, socket),
        _ => old::live(&asked, socket),
    });
}

/// Where events go: from the thread that receives and the one that sends.
#[derive(Clone)]
struct Teller(Arc<Mutex<UnixStream>>);

impl Teller {
    fn tell(&self, event: &str, mut facts: Value) {
        facts["event"] = event.into();
        // As Python writes it.
        let line = facts.to_string().replace("\"event\":", "\"event\": ");
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The test may be over.
        let _ = writeln!(socket, "{line}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER
        .decode(text(value).as_bytes())
        .expect("hexadecimal digits")
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let number = value.as_u64().expect("a number");
    T::try_from(number).unwrap_or_else(|_| panic!("{number} is too large"))
}

/// A client of one version: the crate has the same words for both, in two places. Each module below has them in
/// scope, and what differs.
macro_rules! client {
    () => {
        pub(super) fn live(asked: &Value, socket: UnixStream) {
            let commands = BufReader::new(socket.try_clone().expect("a descriptor"));
            let teller = Teller(Arc::new(Mutex::new(socket)));
            let (client, events) = AsyncClient::new(options(asked), 64);
            let (vanish, vanished) = oneshot::channel();
            let told = teller.clone();
            let receiving = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(receive(events, vanished, &told));
            });
            for line in commands.lines().map_while(Result::ok) {
                let wish: Value = serde_json::from_str(&line).expect("a command in JSON");
                let filter = text(&wish["filter"]);
                let done = match wish["do"].as_str().unwrap_or_default() {
                    "subscribe" => client.try_subscribe(filter, level(&wish["qos"])),
                    "unsubscribe" => client.try_unsubscribe(filter),
                    "publish" => publish(&client, &wish),
                    "disconnect" => client.try_disconnect(),
                    _ => break,
                };
                done.expect("a client that lives");
                if wish["do"] == "publish" && wish["qos"] == 0 {
                    teller.tell("published", json!({}));
                }
            }
            // The connection goes with what receives, without a DISCONNECT.
            let _ = vanish.send(());
            let _ = receiving.join();
            teller.tell("vanished", json!({}));
        }

        async fn receive(mut events: EventLoop, vanished: oneshot::Receiver<()>, teller: &Teller) {
            let receiving = async {
                loop {
                    match events.poll().await {
                        Ok(event) => hear(teller, event),
                        // It would connect again: who is sent away stays away.
                        Err(error) => break teller.tell("disconnected", json!({ "reason": error.to_string() })),
                    }
                }
            };
            tokio::select! {
                () = receiving => {}
                _ = vanished => {}
            }
        }

        fn options(asked: &Value) -> MqttOptions {
            let (host, port) = (text(&asked["host"]), number(&asked["port"]));
            let websocket = asked["transport"] == "websockets";
            let ca = asked["ca"].as_str();
            let tls = ca.map(|path| TlsConfiguration::Simple {
                ca: std::fs::read(path).expect("the certificate"),
                alpn: None,
                client_auth: None,
            });
            let host = match (websocket, &tls) {
                (false, _) => host,
                (true, None) => format!("ws://{host}:{port}/mqtt"),
                (true, Some(_)) => format!("wss://{host}:{port}/mqtt"),
            };
            let mut options = MqttOptions::new(text(&asked["id"]), host, port);
            options.set_keep_alive(Duration::from_secs(number(&asked["keepalive"])));
            options.set_transport(match (websocket, tls) {
                (false, None) => Transport::Tcp,
                (false, Some(tls)) => Transport::Tls(tls),
                (true, None) => Transport::Ws,
                (true, Some(tls)) => Transport::Wss(tls),
            });
            if asked["will"].is_object() {
                options.set_last_will(will(&asked["will"]));
            }
            session(&mut options, asked);
            options
        }

        fn hear(teller: &Teller, event: Event) {
            match event {
                Event::Incoming(Packet::ConnAck(ack)) => {
                    let reason = format!("{:?}", ack.code);
                    teller.tell("connected", json!({ "reason": reason, "session": ack.session_present }));
                }
                Event::Incoming(Packet::SubAck(ack)) => {
                    let codes = ack.return_codes.iter().map(|code| match code {
                        SubscribeReasonCode::Success(qos) => *qos as u8,
                        _ => 0x80,
                    });
                    teller.tell("subscribed", json!({ "codes": codes.collect::<Vec<_>>() }));
                }
                Event::Incoming(Packet::UnsubAck(_)) => teller.tell("unsubscribed", json!({})),
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => teller.tell("published", json!({})),
                Event::Incoming(Packet::PingResp { .. }) => teller.tell("pong", json!({})),
                Event::Incoming(Packet::Publish(publish)) => teller.tell("message", message(&publish)),
                Event::Outgoing(Outgoing::Disconnect) => {
                    teller.tell("disconnected", json!({ "reason": "Success" }));
                }
                _ => {}
            }
        }

        fn level(value: &Value) -> QoS {
            match value.as_u64() {
                Some(0) => QoS::AtMostOnce,
                Some(1) => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            }
        }
    };
}

/// MQTT 3.1.1.
mod old {
    use super::*;
    use ::rumqttc::{
        AsyncClient, ClientError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS,
        SubscribeReasonCode, TlsConfiguration, Transport,
    };

    client!();

    fn session(options: &mut MqttOptions, asked: &Value) {
        options.set_clean_session(asked["clean"] == true);
        options.set_max_packet_size(PACKET_MAX, PACKET_MAX);
    }

    fn will(will: &Value) -> LastWill {
        LastWill::new(
            text(&will["topic"]),
            bytes(&will["payload"]),
            level(&will["qos"]),
            will["retain"] == true,
        )
    }

    fn publish(client: &AsyncClient, wish: &Value) -> Result<(), ClientError> {
        let retain = wish["retain"] == true;
        client.try_publish(
            text(&wish["topic"]),
            level(&wish["qos"]),
            retain,
            bytes(&wish["payload"]),
        )
    }

    fn message(publish: &Publish) -> Value {
        json!({
            "topic": publish.topic, "payload": HEXLOWER.encode(&publish.payload), "qos": publish.qos as u8,
            "retain": publish.retain, "properties": null,
        })
    }
}

/// MQTT 5.
mod new {
    use super::*;
    use ::rumqttc::v5::mqttbytes::QoS;
    use ::rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish, PublishProperties, SubscribeReasonCode};
    use ::rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions};
    use ::rumqttc::{Outgoing, TlsConfiguration, Transport};

    client!();

    fn session(options: &mut MqttOptions, asked: &Value) {
        options.set_clean_start(asked["clean"] == true);
        options.set_max_packet_size(Some(PACKET_MAX as u32));
        options.set_session_expiry_interval(Some(number(&asked["expiry"])));
    }

    fn will(will: &Value) -> LastWill {
        let (qos, retain) = (level(&will["qos"]), will["retain"] == true);
        LastWill::new(text(&will["topic"]), bytes(&will["payload"]), qos, retain, None)
    }

    #[expect(clippy::result_large_err, reason = "the crate's own type")]
    fn publish(client: &AsyncClient, wish: &Value) -> Result<(), ClientError> {
        let (topic, payload) = (text(&wish["topic"]), bytes(&wish["payload"]));
        let (qos, retain) = (level(&wish["qos"]), wish["retain"] == true);
        let asked = &wish["properties"];
        if !asked.is_object() {
            return client.try_publish(topic, qos, retain, payload);
        }
        let user = asked["user"].as_array().into_iter().flatten();
        let properties = PublishProperties {
            content_type: Some(text(&asked["content"])),
            response_topic: Some(text(&asked["response"])),
            correlation_data: Some(bytes(&asked["correlation"]).into()),
            user_properties: user.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            ..PublishProperties::default()
        };
        client.try_publish_with_properties(topic, qos, retain, payload, properties)
    }

    fn message(publish: &Publish) -> Value {
        let given = publish
            .properties
            .as_ref()
            .filter(|given| given.content_type.is_some());
        let properties = given.map(|given| {
            json!({
                "content": given.content_type,
                "response": given.response_topic,
                "correlation": HEXLOWER.encode(given.correlation_data.as_deref().unwrap_or_default()),
                "user": given.user_properties,
            })
        });
        json!({
            "topic": String::from_utf8_lossy(&publish.topic), "payload": HEXLOWER.encode(&publish.payload),
            "qos": publish.qos as u8, "retain": publish.retain, "properties": properties,
        })
    }
}
