//! SUBSCRIBE, UNSUBSCRIBE and their answers (sections 3.8 to 3.11), and what a filter matches (4.7).

use super::support::*;

#[tokio::test]
async fn each_filter_is_answered_in_its_order_under_the_packets_id() {
    let broker = Broker::with("[[acl]]\ntopic = 'open/#'").await;
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        let filters = [
            ("open/a", 2),
            ("closed", 1),
            ("open/b", 0),
            ("$share/g", 0),
            ("open/c", 1),
        ];
        client.send(&subscribe(level, 0xabcd, &filters)).await;
        let codes: [u8; 5] = match level {
            5 => [2, 0x87, 0, 0x8f, 1],
            _ => [2, 0x80, 0, 0x80, 1],
        };
        client.gets(&suback(level, 0xabcd, &codes)).await;
        // Those that were granted are there, as if each had been asked for alone.
        for topic in ["open/a", "open/b", "open/c", "open/d"] {
            client.publishes(0x30, topic, 0, b"x").await;
        }
        for topic in ["open/a", "open/b", "open/c"] {
            client.hears(0x30, topic, 0, b"x").await;
        }
        client.quiet().await;
        client
            .send(&unsubscribe(level, 0xdcba, &["open/a", "nothing", "open/c"]))
            .await;
        client.gets(&unsuback(level, 0xdcba, &[0, 0x11, 0])).await;
        for topic in ["open/a", "open/b", "open/c"] {
            client.publishes(0x30, topic, 0, b"x").await;
        }
        client.hears(0x30, "open/b", 0, b"x").await;
        client.quiet().await;
    }
}

#[tokio::test]
async fn a_packet_without_a_filter_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        for bytes in [subscribe(level, 1, &[]), unsubscribe(level, 1, &[])] {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            client.ended(0x81).await;
        }
    }
}

#[tokio::test]
async fn options_that_cannot_be_end_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        let all: &[u8] = match level {
            // The two highest bits, QoS 3, and a retain handling of 3.
            5 => &[0x40, 0x80, 0x03, 0x30],
            _ => &[0x40, 0x80, 0x03, 0x04, 0x08, 0x10, 0x20],
        };
        for options in all {
            let mut client = broker.client(level, "c").await;
            client
                .send(&subscribe(level, 1, &[("good", 0), ("a", *options)]))
                .await;
            client.ended(0x81).await;
        }
    }
    // A group is nobody's own.
    let mut client = broker.client(5, "c").await;
    client.send(&subscribe(5, 1, &[("$share/g/a", 0x04)])).await;
    client.ended(0x82).await;
    let mut client = broker.client(5, "c").await;
    client.send(&subscribe_as(5, 1, &[0x0b, 0], &[("a", 0)])).await;
    client.ended(0x81).await;
}

#[tokio::test]
async fn a_filter_that_is_none_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        for filter in ["a/#/b", "a#", "#a", "a+", "+a/b", "a/+b/c", "##"] {
            for bytes in [
                subscribe(level, 1, &[("good", 0), (filter, 0)]),
                unsubscribe(level, 1, &[filter]),
            ] {
                let mut client = broker.client(level, "c").await;
                client.send(&bytes).await;
                client.ended(0x81).await;
            }
        }
    }
}

#[tokio::test]
async fn wildcards_stand_for_levels_and_not_for_what_begins_with_a_dollar() {
    let broker = Broker::with("sys-interval = '0s'").await;
    let cases: [(&str, &[&str]); 7] = [
        ("#", &["a", "a/b", "a/b/c", "/a", "a/"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/"]),
        ("+", &["a"]),
        ("a/+", &["a/b", "a/"]),
        ("+/+", &["a/b", "/a", "a/"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("$dollar/#", &["$dollar/a", "$dollar"]),
    ];
    for level in BOTH {
        let mut writer = broker.client(level, "w").await;
        for (filter, matched) in cases {
            let mut reader = broker.client(level, "r").await;
            reader.subscribes(filter, 0, 0).await;
            for topic in ["a", "a/b", "a/b/c", "/a", "a/", "$dollar/a", "$dollar"] {
                writer.publishes(0x30, topic, 0, b"x").await;
            }
            writer.quiet().await;
            for topic in matched {
                reader.hears(0x30, topic, 0, b"x").await;
            }
            reader.quiet().await;
        }
        // The same holds for what is retained.
        for topic in ["a/b", "$dollar/b"] {
            writer.publishes(0x31, topic, 0, b"kept").await;
        }
        writer.quiet().await;
        for (filter, topic) in [("#", "a/b"), ("+/b", "a/b"), ("$dollar/+", "$dollar/b")] {
            let mut reader = broker.client(level, "r").await;
            reader.subscribes(filter, 0, 0).await;
            reader.hears(0x31, topic, 0, b"kept").await;
            reader.quiet().await;
        }
        for topic in ["a/b", "$dollar/b"] {
            writer.publishes(0x31, topic, 0, b"").await;
        }
        writer.quiet().await;
    }
}

#[tokio::test]
async fn with_no_local_a_client_does_not_hear_itself() {
    let broker = Broker::start().await;
    let mut client = broker.join(&Hello::staying(5, "c"), false).await;
    client.send(&subscribe(5, 1, &[("a", 0x04 | 1), ("b", 0)])).await;
    client.gets(&suback(5, 1, &[1, 0])).await;
    client.publishes(0x32, "a", 1, b"own").await;
    client.gets(&ack(0x40, 1)).await;
    client.publishes(0x30, "b", 0, b"own").await;
    client.hears(0x30, "b", 0, b"own").await;
    let mut other = broker.client(5, "o").await;
    other.publishes(0x30, "a", 0, b"another's").await;
    client.hears(0x30, "a", 0, b"another's").await;
    client.quiet().await;
    // It is its id that counts, and not the connection.
    client.hang_up();
    let mut client = broker.join(&Hello::staying(5, "c"), true).await;
    client.publishes(0x30, "a", 0, b"own").await;
    client.quiet().await;
}

#[tokio::test]
async fn subscribing_again_takes_the_place_of_the_old_subscription() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.client(level, "r").await;
        let mut writer = broker.client(level, "w").await;
        for (qos, id) in [(1, 1), (0, 0), (1, 2)] {
            reader.subscribes("a/+", qos, qos).await;
            writer.publishes(0x32, "a/b", 1, b"x").await;
            writer.gets(&ack(0x40, 1)).await;
            reader.hears(0x30 | qos << 1, "a/b", id, b"x").await;
            reader.quiet().await;
        }
    }
}

#[tokio::test]
async fn unsubscribing_is_by_the_letter_and_what_is_on_its_way_is_completed() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut reader = broker.join(&Hello::staying(level, "r"), false).await;
        reader.subscribes("a/+", 2, 2).await;
        let mut writer = broker.client(level, "w").await;
        writer.publishes(0x32, "a/b", 1, b"one").await;
        writer.gets(&ack(0x40, 1)).await;
        writer.publishes(0x34, "a/b", 2, b"two").await;
        writer.gets(&ack(0x50, 2)).await;
        writer.send(&ack(0x62, 2)).await;
        writer.gets(&ack(0x70, 2)).await;
        reader.hears(0x32, "a/b", 1, b"one").await;
        reader.hears(0x34, "a/b", 2, b"two").await;
        // Neither a filter that matches the same nor one that it matches.
        for filter in ["a/#", "a/b", "A/+", "+/+"] {
            reader.send(&unsubscribe(level, 7, &[filter])).await;
            reader.gets(&unsuback(level, 7, &[0x11])).await;
        }
        writer.publishes(0x30, "a/b", 0, b"three").await;
        reader.hears(0x30, "a/b", 0, b"three").await;
        reader.send(&unsubscribe(level, 8, &["a/+"])).await;
        reader.gets(&unsuback(level, 8, &[0])).await;
        writer.publishes(0x30, "a/b", 0, b"four").await;
        writer.quiet().await;
        reader.quiet().await;
        reader.send(&ack(0x50, 2)).await;
        reader.gets(&ack(0x62, 2)).await;
        reader.hang_up();
        let mut reader = broker.join(&Hello::staying(level, "r"), true).await;
        reader.hears(0x3a, "a/b", 1, b"one").await;
        reader.gets(&ack(0x62, 2)).await;
        reader.send(&ack(0x40, 1)).await;
        reader.send(&ack(0x70, 2)).await;
        reader.quiet().await;
        drop(reader);
        broker.client(level, "r").await;
    }
}

/// MQTT-3.1.2-24: nothing else answers it, and nothing that is too long is sent.
#[tokio::test]
async fn who_would_not_take_the_answer_is_sent_away() {
    let broker = Broker::start().await;
    let filters: Vec<String> = (0..16).map(|n| format!("{n}")).collect();
    let names: Vec<&str> = filters.iter().map(String::as_str).collect();
    let wanted: Vec<(&str, u8)> = names.iter().map(|name| (*name, 0)).collect();
    // With 15 codes a SUBACK has 20 bytes.
    let hello = Hello::new(5, "c").property(&[0x27, 0, 0, 0, 20]);
    let mut client = broker.join(&hello, false).await;
    client.send(&subscribe(5, 1, &wanted[..15])).await;
    client.gets(&suback(5, 1, &[0; 15])).await;
    client.send(&unsubscribe(5, 2, &names[..15])).await;
    client.gets(&unsuback(5, 2, &[0; 15])).await;
    client.send(&subscribe(5, 3, &wanted)).await;
    client.ended(0x95).await;
    let mut client = broker.join(&hello, false).await;
    client.send(&unsubscribe(5, 4, &names)).await;
    client.ended(0x95).await;
}
