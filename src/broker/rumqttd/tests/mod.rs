//! The room, tried from outside: its port on one side, clients over real sockets on the other.

mod client;

use super::super::*;
use client::Client;
use std::time::Duration;
use tokio::time::timeout;

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn filters(texts: &[&str]) -> Vec<(Filter, Qos)> {
    texts
        .iter()
        .map(|text| (Filter::parse(text).unwrap(), Qos::AtLeastOnce))
        .collect()
}

fn message(to: &str, payload: impl Into<Bytes>) -> Message {
    Message {
        topic: topic(to),
        payload: payload.into(),
        qos: Qos::AtMostOnce,
        retain: false,
    }
}

fn config() -> Config {
    Config {
        listener: vec![
            Listener::loopback(0, Version::V3),
            Listener::loopback(0, Version::V5),
        ],
        ..Config::default()
    }
}

async fn start() -> (Broker, SocketAddr) {
    let broker = Broker::start(&config()).await.unwrap();
    let address = broker.addresses()[0].address;
    (broker, address)
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(10), future)
        .await
        .expect("not within ten seconds")
}

#[tokio::test]
async fn a_publish_reaches_a_client_and_back() {
    let (broker, address) = start().await;
    let (mut publisher, mut subscriber) = broker.link("air", &filters(&["air/set/#"]), 10).await.unwrap();
    let mut client = Client::connect(address, "c").await;
    for qos in 0..=2 {
        client.subscribe(&format!("air/{qos}/+"), qos).await;
        publisher
            .publish(message(&format!("air/{qos}/x"), "23.5"))
            .await
            .unwrap();
        let got = soon(client.message()).await;
        assert_eq!(
            (got.topic, got.payload, got.retain),
            (format!("air/{qos}/x"), b"23.5".to_vec(), false)
        );
        // rumqttd delivers at the subscription's QoS.
        assert_eq!(got.qos, qos);

        client.publish("air/set/a", &[qos], qos, false).await;
        let got = soon(subscriber.next()).await.unwrap();
        assert_eq!((got.topic.as_str(), &got.payload[..]), ("air/set/a", &[qos][..]));
        assert_eq!((got.qos, got.retain), (Qos::AtLeastOnce, false));
    }
    assert!(soon(broker.probe()).await.unwrap() < Duration::from_secs(5));
}
