//! Retained messages (sections 3.3.1.3 and 3.8.3.1).

use super::support::*;

/// A client that has just subscribed to `filter`.
async fn late(broker: &Broker, level: u8, filter: &str, options: u8) -> Client {
    let mut client = broker.client(level, "late").await;
    client.subscribes(filter, options, options & 3).await;
    client
}

#[tokio::test]
async fn the_last_is_kept_with_its_quality_of_service() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x31, "a", 0, b"first").await;
        writer.publishes(0x33, "a", 1, b"second").await;
        writer.next().await;
        writer.publishes(0x35, "b", 2, b"exactly").await;
        writer.next().await;
        writer.send(&ack(0x62, 2)).await;
        writer.next().await;
        let mut reader = late(&broker, level, "+", 2).await;
        reader.hears(0x33, "a", 1, b"second").await;
        reader.hears(0x35, "b", 2, b"exactly").await;
        reader.quiet().await;
        // One of QoS 0 takes the place of one of QoS 1.
        writer.publishes(0x31, "a", 0, b"third").await;
        writer.quiet().await;
        late(&broker, level, "a", 2)
            .await
            .hears(0x31, "a", 0, b"third")
            .await;
        for topic in ["a", "b"] {
            writer.publishes(0x31, topic, 0, b"").await;
        }
        writer.quiet().await;
    }
}

#[tokio::test]
async fn an_empty_one_clears_and_is_passed_on_but_not_kept() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("a", 0, 0).await;
        writer.publishes(0x31, "a", 0, b"x").await;
        writer.publishes(0x31, "a", 0, b"").await;
        writer.publishes(0x31, "a", 0, b"").await;
        writer.quiet().await;
        for payload in [&b"x"[..], b"", b""] {
            reader.hears(0x30, "a", 0, payload).await;
        }
        late(&broker, level, "a", 0).await.quiet().await;
    }
}

#[tokio::test]
async fn one_that_is_not_to_be_retained_leaves_what_is() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x31, "a", 0, b"kept").await;
        writer.publishes(0x30, "a", 0, b"passing").await;
        writer.publishes(0x30, "a", 0, b"").await;
        writer.publishes(0x30, "b", 0, b"passing").await;
        writer.quiet().await;
        let mut reader = late(&broker, level, "+", 0).await;
        reader.hears(0x31, "a", 0, b"kept").await;
        reader.quiet().await;
    }
}

#[tokio::test]
async fn the_flag_is_set_for_new_subscriptions_and_for_others_as_they_ask() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("a", 0, 0).await;
        writer.publishes(0x31, "a", 0, b"x").await;
        reader.hears(0x30, "a", 0, b"x").await;
        late(&broker, level, "a", 0).await.hears(0x31, "a", 0, b"x").await;
        writer.publishes(0x31, "a", 0, b"").await;
        writer.quiet().await;
    }
    // Retain as published (MQTT 5).
    let mut writer = broker.client(5, "w").await;
    let mut reader = broker.client(5, "r").await;
    reader.send(&subscribe(5, 1, &[("a", 0x08 | 0x20)])).await;
    reader.gets(&suback(5, 1, &[0])).await;
    for head in [0x31, 0x30] {
        writer.publishes(head, "a", 0, b"x").await;
        reader.hears(head, "a", 0, b"x").await;
    }
}

#[tokio::test]
async fn a_subscription_says_whether_it_wants_what_is_retained() {
    let broker = Broker::start().await;
    let mut writer = broker.client(5, "w").await;
    writer.publishes(0x31, "a/1", 0, b"1").await;
    writer.publishes(0x31, "a/2", 0, b"2").await;
    writer.quiet().await;
    let mut reader = broker.client(5, "r").await;
    let ask = |handling: u8| subscribe(5, 1, &[("a/+", handling << 4)]);
    // Retain handling, and whether all that is retained comes: the subscription is new once.
    for (handling, comes) in [(2, false), (1, false), (0, true), (0, true), (1, false)] {
        reader.send(&ask(handling)).await;
        reader.gets(&suback(5, 1, &[0])).await;
        if comes {
            reader.hears(0x31, "a/1", 0, b"1").await;
            reader.hears(0x31, "a/2", 0, b"2").await;
        }
        reader.quiet().await;
    }
    reader.send(&unsubscribe(5, 2, &["a/+"])).await;
    reader.gets(&unsuback(5, 2, &[0])).await;
    reader.send(&ask(1)).await;
    reader.gets(&suback(5, 1, &[0])).await;
    reader.hears(0x31, "a/1", 0, b"1").await;
    reader.hears(0x31, "a/2", 0, b"2").await;
    reader.quiet().await;
}

#[tokio::test]
async fn subscribing_again_brings_what_is_retained_again_and_loses_nothing() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x31, "a", 0, b"kept").await;
        writer.quiet().await;
        let mut reader = broker.client(level, "r").await;
        reader.subscribes("a", 0, 0).await;
        reader.hears(0x31, "a", 0, b"kept").await;
        for id in 1..=20 {
            // The writer's message and the second subscription meet in the broker; the message comes in any case.
            writer.publishes(0x32, "a", id, b"on its way").await;
            reader.send(&subscribe(level, 77, &[("a", (id % 2) as u8)])).await;
            writer.gets(&ack(0x40, id)).await;
            let (mut acked, mut kept, mut passed) = (0, 0, 0);
            while (acked, kept, passed) != (1, 1, 1) {
                let packet = reader.next().await.unwrap();
                match packet[0] {
                    0x90 => acked += 1,
                    0x31 => kept += 1,
                    0x30 => passed += 1,
                    0x32 => {
                        passed += 1;
                        // Behind the topic "a".
                        reader.send(&packet_ack(&packet[5..7])).await;
                    }
                    other => panic!("{other:#x}"),
                }
                assert!(acked <= 1 && kept <= 1 && passed <= 1, "{packet:02x?}");
            }
        }
        reader.quiet().await;
        writer.publishes(0x31, "a", 0, b"").await;
        writer.quiet().await;
    }
}

/// A PUBACK for the packet id in these bytes.
fn packet_ack(id: &[u8]) -> Vec<u8> {
    packet(0x40, id)
}
