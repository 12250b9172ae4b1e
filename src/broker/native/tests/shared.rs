//! Shared subscriptions (MQTT 5, section 4.8).

use super::support::*;

/// A member of the group with a session that stays.
async fn member(broker: &Broker, id: &str, filter: &str, qos: u8) -> Client {
    let mut client = broker.join(&Hello::staying(5, id), false).await;
    client.subscribes(filter, qos, qos).await;
    client
}

async fn publish_twice(writer: &mut Client, topic: &str, payload: &[u8]) {
    writer.publishes(0x34, topic, 1, payload).await;
    writer.gets(&ack(0x50, 1)).await;
    writer.send(&ack(0x62, 1)).await;
    writer.gets(&ack(0x70, 1)).await;
}

#[tokio::test]
async fn a_group_has_a_name_and_a_filter() {
    let broker = Broker::start().await;
    let mut client = broker.client(5, "c").await;
    for filter in [
        "$share",
        "$share/",
        "$share/g",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
    ] {
        client.send(&subscribe(5, 1, &[(filter, 0)])).await;
        client.gets(&suback(5, 1, &[0x8f])).await;
    }
    client.send(&subscribe(5, 1, &[("$share/g/", 0)])).await;
    client.ended(0x81).await;
    let mut client = broker.client(5, "c").await;
    for filter in ["$share/g/a", "$share/g/+", "$share/gruppe \u{e9}/#", "$shared/a"] {
        client.subscribes(filter, 0, 0).await;
    }
}

#[tokio::test]
async fn each_member_gets_its_share_with_the_quality_it_was_granted() {
    let broker = Broker::start().await;
    let mut none = member(&broker, "none", "$share/g/a", 0).await;
    let mut one = member(&broker, "one", "$share/g/a", 1).await;
    let mut all = member(&broker, "all", "a", 2).await;
    let mut writer = broker.client(5, "w").await;
    for n in 1..=2 {
        publish_twice(&mut writer, "a", b"x").await;
        none.hears(0x30, "a", 0, b"x").await;
        publish_twice(&mut writer, "a", b"x").await;
        one.hears(0x32, "a", n, b"x").await;
        for id in [2 * n - 1, 2 * n] {
            all.hears(0x34, "a", id, b"x").await;
        }
    }
    none.quiet().await;
    one.quiet().await;
}

#[tokio::test]
async fn a_qos_2_message_stays_with_the_member_that_it_was_begun_with() {
    let broker = Broker::start().await;
    let mut one = member(&broker, "one", "$share/g/a", 2).await;
    let mut two = member(&broker, "two", "$share/g/a", 2).await;
    let mut writer = broker.client(5, "w").await;
    publish_twice(&mut writer, "a", b"1").await;
    one.hears(0x34, "a", 1, b"1").await;
    one.hang_up();
    // The broker knows that it is gone when its place was taken.
    let mut one = broker.join(&Hello::staying(5, "one"), true).await;
    one.hears(0x3c, "a", 1, b"1").await;
    two.quiet().await;
    // With its session the message is gone as well.
    one.hang_up();
    broker.client(5, "one").await.quiet().await;
    two.quiet().await;
}

#[tokio::test]
async fn a_message_that_a_member_refuses_is_offered_to_nobody_else() {
    let broker = Broker::start().await;
    let mut one = member(&broker, "one", "$share/g/a", 2).await;
    let mut two = member(&broker, "two", "$share/g/a", 2).await;
    let mut writer = broker.client(5, "w").await;
    writer.publishes(0x32, "a", 1, b"1").await;
    writer.gets(&ack(0x40, 1)).await;
    one.hears(0x32, "a", 1, b"1").await;
    one.send(&ack_with(0x40, 1, 0x80)).await;
    one.quiet().await;
    publish_twice(&mut writer, "a", b"2").await;
    two.hears(0x34, "a", 1, b"2").await;
    two.send(&ack_with(0x50, 1, 0x80)).await;
    two.quiet().await;
    for client in [one, two] {
        client.hang_up();
    }
    for id in ["one", "two"] {
        broker.join(&Hello::staying(5, id), true).await.quiet().await;
    }
}
