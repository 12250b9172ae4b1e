//! Sessions: begun, gone on with, kept and forgotten (sections 3.1.2.4, 3.2.2.1, 4.1 and 4.4).

use super::support::*;

#[tokio::test]
async fn a_session_is_gone_on_with_and_told_of() {
    let broker = Broker::start().await;
    for level in BOTH {
        // Nobody knows it: a new one, and it is said that it is new.
        let mut reader = broker.join(&Hello::staying(level, "r"), false).await;
        reader.subscribes("a/+", 2, 2).await;
        reader.hang_up();
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x32, "a/1", 1, b"one").await;
        writer.gets(&ack(0x40, 1)).await;
        writer.publishes(0x34, "a/2", 2, b"two").await;
        writer.gets(&ack(0x50, 2)).await;
        writer.send(&ack(0x62, 2)).await;
        writer.gets(&ack(0x70, 2)).await;
        // Another id is another client's.
        broker.client(level, "R").await.quiet().await;
        let mut reader = broker.join(&Hello::staying(level, "r"), true).await;
        reader.hears(0x32, "a/1", 1, b"one").await;
        reader.hears(0x34, "a/2", 2, b"two").await;
        writer.publishes(0x30, "a/3", 0, b"three").await;
        reader.hears(0x30, "a/3", 0, b"three").await;
        reader.quiet().await;
        broker.client(level, "r").await;
        broker.client(level, "w").await;
    }
}

#[tokio::test]
async fn a_clean_start_forgets_what_was() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.join(&Hello::staying(level, "r"), false).await;
        reader.subscribes("a", 1, 1).await;
        reader.hang_up();
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x32, "a", 1, b"missed").await;
        writer.gets(&ack(0x40, 1)).await;
        // Neither the message that waits nor the subscription is there.
        let mut reader = broker.client(level, "r").await;
        writer.publishes(0x30, "a", 0, b"x").await;
        writer.quiet().await;
        reader.quiet().await;
        // What it does now is forgotten as well.
        reader.subscribes("a", 1, 1).await;
        reader.hang_up();
        let mut reader = broker.join(&Hello::staying(level, "r"), false).await;
        writer.publishes(0x30, "a", 0, b"x").await;
        writer.quiet().await;
        reader.quiet().await;
        drop(reader);
        broker.client(level, "r").await;
    }
}

#[tokio::test]
async fn a_session_of_mqtt_5_lasts_no_longer_than_was_asked_for() {
    let broker = Broker::start().await;
    // Going on with a session does not keep it: without an expiry it ends with the connection.
    let mut client = broker.join(&Hello::staying(5, "c"), false).await;
    client.subscribes("a", 1, 1).await;
    client.hang_up();
    let client = broker.join(&Hello::new(5, "c").flags(0), true).await;
    client.hang_up();
    let mut client = broker.join(&Hello::staying(5, "c"), false).await;
    // A DISCONNECT may shorten it.
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0])).await;
    client.closed().await;
    broker.join(&Hello::new(5, "c").flags(0), false).await;
    // It may not ask for a session that CONNECT had not asked for.
    let mut client = broker.client(5, "c").await;
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9])).await;
    client.ended(0x82).await;
}

#[tokio::test]
async fn what_is_retained_outlives_the_session_that_published_it() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x31, "a", 0, b"kept").await;
        writer.quiet().await;
        writer.send(&packet(0xe0, &[])).await;
        writer.closed().await;
        let mut reader = broker.client(level, "w").await;
        reader.subscribes("a", 0, 0).await;
        reader.hears(0x31, "a", 0, b"kept").await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_its_order_and_at_no_other_time() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.join(&Hello::staying(level, "r"), false).await;
        reader.subscribes("a", 2, 2).await;
        let mut writer = broker.client(level, "w").await;
        for (id, head) in [(1, 0x32), (2, 0x34), (3, 0x34), (4, 0x32)] {
            writer.publishes(head, "a", id, &[b'0' + id as u8]).await;
            writer.next().await;
            if head == 0x34 {
                writer.send(&ack(0x62, id)).await;
                writer.gets(&ack(0x70, id)).await;
            }
        }
        reader.hears(0x32, "a", 1, b"1").await;
        reader.hears(0x34, "a", 2, b"2").await;
        reader.hears(0x34, "a", 3, b"3").await;
        reader.hears(0x32, "a", 4, b"4").await;
        reader.send(&ack(0x50, 2)).await;
        reader.gets(&ack(0x62, 2)).await;
        // While the connection lives, nothing comes again.
        reader.quiet().await;
        for _ in 0..2 {
            reader.hang_up();
            reader = broker.join(&Hello::staying(level, "r"), true).await;
            reader.hears(0x3a, "a", 1, b"1").await;
            // Of the message that was received only the PUBREL comes.
            reader.gets(&ack(0x62, 2)).await;
            reader.hears(0x3c, "a", 3, b"3").await;
            reader.hears(0x3a, "a", 4, b"4").await;
            reader.quiet().await;
        }
        for bytes in [ack(0x40, 1), ack(0x70, 2), ack(0x50, 3), ack(0x40, 4)] {
            reader.send(&bytes).await;
        }
        reader.gets(&ack(0x62, 3)).await;
        reader.send(&ack(0x70, 3)).await;
        reader.quiet().await;
        reader.hang_up();
        let mut reader = broker.join(&Hello::staying(level, "r"), true).await;
        reader.quiet().await;
        drop(reader);
        broker.client(level, "r").await;
    }
}

#[tokio::test]
async fn a_message_that_the_client_refused_is_not_sent_again() {
    let broker = Broker::start().await;
    let mut reader = broker.join(&Hello::staying(5, "r"), false).await;
    reader.subscribes("a", 2, 2).await;
    let mut writer = broker.client(5, "w").await;
    writer.publishes(0x32, "a", 1, b"1").await;
    writer.gets(&ack(0x40, 1)).await;
    writer.publishes(0x34, "a", 2, b"2").await;
    writer.gets(&ack(0x50, 2)).await;
    writer.send(&ack(0x62, 2)).await;
    writer.gets(&ack(0x70, 2)).await;
    reader.hears(0x32, "a", 1, b"1").await;
    reader.hears(0x34, "a", 2, b"2").await;
    reader.send(&ack_with(0x40, 1, 0x80)).await;
    reader.send(&ack_with(0x50, 2, 0x97)).await;
    reader.quiet().await;
    reader.hang_up();
    broker.join(&Hello::staying(5, "r"), true).await.quiet().await;
}
