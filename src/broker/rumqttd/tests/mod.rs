//! The room, tried from outside: its port on one side, clients over real sockets on the other.

mod client;
mod death;
mod flood;
mod start;

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
        beside: None,
    }
}

fn config() -> Config {
    Config {
        engine: Engine::Rumqttd,
        listener: vec![
            Listener::loopback(0, Version::V3),
            Listener::loopback(0, Version::V5),
        ],
        ..Config::default()
    }
}

async fn start() -> (Broker, SocketAddr) {
    let broker = Broker::start(&config()).await.unwrap();
    let address = broker.addresses()[0].address.tcp().unwrap();
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

#[tokio::test]
async fn a_replay_is_told_from_a_live_message() {
    let (broker, address) = start().await;
    let mut client = Client::connect(address, "c").await;
    client.publish("air/set/a", b"kept", 1, true).await;
    let (mut publisher, mut subscriber) = broker.link("air", &filters(&["air/set/#"]), 10).await.unwrap();
    let got = soon(subscriber.next()).await.unwrap();
    assert_eq!((&got.payload[..], got.retain), (&b"kept"[..], true));
    client.publish("air/set/a", b"live", 1, true).await;
    let got = soon(subscriber.next()).await.unwrap();
    assert_eq!((&got.payload[..], got.retain), (&b"live"[..], false));

    let state = |payload: &'static str| Message {
        retain: true,
        ..message("air/state", payload)
    };
    publisher.publish(state("open")).await.unwrap();
    publisher.flush().await.unwrap();
    client.subscribe("air/state", 1).await;
    let got = soon(client.message()).await;
    assert_eq!((&got.payload[..], got.retain), (&b"open"[..], true));
    publisher.publish(state("waiting")).await.unwrap();
    let got = soon(client.message()).await;
    assert_eq!((&got.payload[..], got.retain), (&b"waiting"[..], false));

    // An empty one clears it: the next subscriber sees nothing but what is published after.
    publisher.publish(state("")).await.unwrap();
    publisher.flush().await.unwrap();
    let mut late = Client::connect(address, "late").await;
    late.subscribe("air/state", 0).await;
    publisher.publish(message("air/state", "live")).await.unwrap();
    assert_eq!(soon(late.message()).await.payload, b"live");
}

#[tokio::test]
async fn five_speaks_with_three() {
    let (broker, address) = start().await;
    let mut three = Client::connect(address, "three").await;
    let mut five = Client::connect_v5(broker.addresses()[1].address.tcp().unwrap(), "five").await;
    five.subscribe_v5("#").await;
    three.publish("a/b", b"x", 1, false).await;
    let (first, body) = five.read().await.unwrap();
    assert_eq!(
        (first & 0xf0, &body[..5], &body[body.len() - 1..]),
        (0x30, &b"\0\x03a/b"[..], &b"x"[..])
    );
}

#[tokio::test]
async fn more_than_a_link_holds_at_once_flows_both_ways() {
    const COUNT: u32 = 3000;
    let (broker, address) = start().await;
    let (mut publisher, mut subscriber) = broker
        .link("air", &filters(&["down"]), COUNT as usize)
        .await
        .unwrap();
    let mut client = Client::connect(address, "c").await;
    client.subscribe("up", 1).await;
    let up = async {
        for n in 0..COUNT {
            publisher
                .publish(message("up", n.to_be_bytes().to_vec()))
                .await
                .unwrap();
        }
    };
    let seen = async {
        for n in 0..COUNT {
            assert_eq!(client.message().await.payload, n.to_be_bytes());
        }
    };
    soon(async { tokio::join!(up, seen) }).await;
    for n in 0..COUNT {
        client.publish("down", &n.to_be_bytes(), 0, false).await;
    }
    for n in 0..COUNT {
        assert_eq!(
            soon(subscriber.next()).await.unwrap().payload[..],
            n.to_be_bytes()
        );
    }
    assert_eq!(subscriber.dropped(), 0);
}

#[tokio::test]
async fn what_nobody_takes_goes_oldest_first_and_publishing_goes_on() {
    const COUNT: u32 = 1000;
    let (broker, address) = start().await;
    let (mut publisher, mut subscriber) = broker.link("air", &filters(&["down"]), 10).await.unwrap();
    let mut client = Client::connect(address, "c").await;
    client.subscribe("up", 0).await;
    for n in 0..COUNT {
        client.publish("down", &n.to_be_bytes(), 1, false).await;
    }
    publisher.publish(message("up", "still here")).await.unwrap();
    assert_eq!(soon(client.message()).await.payload, b"still here");
    while subscriber.dropped() < u64::from(COUNT) - 10 {
        tokio::task::yield_now().await;
    }
    for n in COUNT - 10..COUNT {
        assert_eq!(
            soon(subscriber.next()).await.unwrap().payload[..],
            n.to_be_bytes()
        );
    }
}

#[tokio::test]
async fn a_flood_through_one_link_loses_nothing() {
    const COUNT: u32 = 200_000;
    let (broker, address) = start().await;
    let (mut publisher, _subscriber) = broker.link("air", &[], 1).await.unwrap();
    let mut client = Client::connect(address, "c").await;
    client.subscribe("up", 0).await;
    let reader = tokio::spawn(async move {
        for n in 0..COUNT {
            assert_eq!(client.message().await.payload, n.to_be_bytes());
        }
    });
    let to = topic("up");
    for n in 0..COUNT {
        let payload = n.to_be_bytes().to_vec().into();
        let mut message = Message {
            topic: to.clone(),
            payload,
            qos: Qos::AtMostOnce,
            retain: false,
            beside: None,
        };
        // Both ways in: an offer, and the wait when it is refused.
        while let Err(refused) = publisher.offer(message) {
            let Refused::Full(back) = refused else {
                panic!("{refused}")
            };
            message = back;
            publisher.flush().await.unwrap();
        }
        assert!(publisher.depth() < 200);
    }
    timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_stalls_harms_itself_alone() {
    let (broker, address) = start().await;
    let mut stalled = Client::connect(address, "stalled").await;
    stalled.subscribe("#", 0).await;
    let mut client = Client::connect(address, "c").await;
    client.subscribe("up", 0).await;
    let (mut publisher, _subscriber) = broker.link("air", &[], 1).await.unwrap();
    let reader = tokio::spawn(async move {
        for n in 0..2000_u32 {
            assert_eq!(client.message().await.payload[..4], n.to_be_bytes());
        }
    });
    // 16 MB: more than the sockets' buffers and the log hold for the one that doesn't read.
    for n in 0..2000_u32 {
        let mut payload = vec![0; 8192];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        publisher.publish(message("up", payload)).await.unwrap();
    }
    soon(reader).await.unwrap();
    assert!(soon(broker.probe()).await.is_ok());
}

#[tokio::test]
async fn what_would_never_arrive_is_refused() {
    let (broker, _) = start().await;
    let (mut publisher, _subscriber) = broker.link("air", &[], 1).await.unwrap();
    for bad in ["$SYS/x", "é/x"] {
        let refused = publisher
            .publish(message(bad, "x"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.starts_with(&format!("cannot publish to \"{bad}\": ")),
            "{refused}"
        );
        assert!(matches!(
            publisher.offer(message(bad, "x")),
            Err(Refused::Topic { .. })
        ));
        let refused = broker.link("x", &filters(&[bad]), 1).await.unwrap_err();
        assert!(matches!(refused, LinkError::Filter { .. }));
    }
    assert!(broker.probe().await.is_ok());
}

#[tokio::test]
async fn a_wait_that_is_cancelled_publishes_nothing() {
    let (broker, address) = start().await;
    let mut client = Client::connect(address, "c").await;
    client.subscribe("#", 0).await;
    let (mut publisher, _subscriber) = broker.link("air", &[], 1).await.unwrap();
    let mut sent = Vec::new();
    for n in 0..20_000_u32 {
        // Polled once and then forgotten: it either went at once or did not go.
        let publish = publisher.publish(message("up", n.to_be_bytes().to_vec()));
        tokio::select! {
            biased;
            done = publish => { done.unwrap(); sent.push(n) }
            () = std::future::ready(()) => {}
        }
        if n % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    publisher.flush().await.unwrap();
    assert!(!sent.is_empty() && sent.len() < 20_000);
    for n in sent {
        assert_eq!(soon(client.message()).await.payload, n.to_be_bytes());
    }
}

#[tokio::test]
async fn links_that_are_dropped_make_room() {
    let config = Config {
        max_connections: 1,
        links: 2,
        ..config()
    };
    let broker = Broker::start(&config).await.unwrap();
    for round in 0..50 {
        let (mut publisher, subscriber) = broker.link("air", &filters(&["down"]), 1).await.unwrap();
        publisher.publish(message("up", "x")).await.unwrap();
        if round % 2 == 0 {
            drop(subscriber);
            drop(publisher);
        } else {
            drop((publisher, subscriber));
        }
        tokio::task::yield_now().await;
        broker.probe().await.unwrap();
    }
    let _one = broker.link("one", &[], 1).await.unwrap();
    let _two = broker.link("two", &[], 1).await.unwrap();
    let refused = broker.link("three", &[], 1).await.unwrap_err();
    assert!(
        matches!(&refused, LinkError::NoRoom(name) if name == "three"),
        "{refused}"
    );
    broker.probe().await.unwrap();
}
