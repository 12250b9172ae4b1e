//! Wills (sections 3.1.2.5 to 3.1.2.7, 3.1.3 and 3.14.4). Those that wait are in `hub/tests`.

use super::support::*;

/// A client that hears all wills, and nothing that is retained.
async fn heir(broker: &Broker, level: u8) -> Client {
    let mut client = broker.client(level, "heir").await;
    client.subscribes("w/#", 2, 2).await;
    client
}

#[tokio::test]
async fn a_will_is_published_when_its_client_is_gone_without_a_word() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = heir(&broker, level).await;
        for (n, qos) in [0u8, 1, 2].into_iter().enumerate() {
            let hello = Hello::new(level, "c").will(qos << 3, &[], "w/a", b"gone");
            broker.join(&hello, false).await.hang_up();
            let id = n as u16;
            heir.hears(0x30 | qos << 1, "w/a", id, b"gone").await;
        }
        // What breaks the rules is gone without a word, too.
        let hello = Hello::new(level, "c").will(0, &[], "w/a", b"");
        let mut client = broker.join(&hello, false).await;
        client.send(&packet(0x36, &[0, 1, b'a', 0, 1])).await;
        client.ended(0x81).await;
        heir.hears(0x30, "w/a", 0, b"").await;
        // It was published once, and the next connection of the same client has none.
        broker.client(level, "c").await.hang_up();
        broker.client(level, "c").await.quiet().await;
        heir.quiet().await;
    }
}

#[tokio::test]
async fn a_will_is_retained_if_its_client_wants_it() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = heir(&broker, level).await;
        let kept = Hello::new(level, "c").will(0x20, &[], "w/kept", b"gone");
        let passing = Hello::new(level, "c").will(0, &[], "w/passing", b"gone");
        for hello in [kept, passing] {
            broker.join(&hello, false).await.hang_up();
            let topic = if hello.flags & 0x20 != 0 {
                "w/kept"
            } else {
                "w/passing"
            };
            heir.hears(0x30, topic, 0, b"gone").await;
        }
        let mut late = broker.client(level, "late").await;
        late.subscribes("w/#", 0, 0).await;
        late.hears(0x31, "w/kept", 0, b"gone").await;
        late.quiet().await;
        late.publishes(0x31, "w/kept", 0, b"").await;
        late.hears(0x30, "w/kept", 0, b"").await;
    }
}

#[tokio::test]
async fn a_client_that_says_good_bye_has_no_will() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = heir(&broker, level).await;
        let hello = Hello::new(level, "c").will(0, &[], "w/a", b"gone");
        let mut client = broker.join(&hello, false).await;
        // What comes behind the good-bye is not heard.
        let behind = publish(level, 0x30, "w/b", 0, &[], b"x");
        client.send(&[packet(0xe0, &[]), behind].concat()).await;
        client.closed().await;
        heir.quiet().await;
    }
    // Unless it says so.
    let mut heir = heir(&broker, 5).await;
    for code in [0x04, 0x80] {
        let hello = Hello::new(5, "c").will(0, &[], "w/a", b"gone");
        let mut client = broker.join(&hello, false).await;
        client.send(&packet(0xe0, &[code])).await;
        client.closed().await;
        heir.hears(0x30, "w/a", 0, b"gone").await;
    }
}

#[tokio::test]
async fn a_client_that_is_replaced_by_a_clean_start_leaves_its_will() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = heir(&broker, level).await;
        // Whether the old session would have stayed or not: it ends.
        for hello in [Hello::new(level, "c"), Hello::staying(level, "c")] {
            let hello = hello.will(0, &[], "w/a", b"gone");
            let _first = broker.join(&hello, false).await;
            let mut second = broker.client(level, "c").await;
            heir.hears(0x30, "w/a", 0, b"gone").await;
            second.quiet().await;
            heir.quiet().await;
        }
    }
}

#[tokio::test]
async fn what_goes_with_a_will_arrives_in_its_order() {
    let broker = Broker::start().await;
    let mut heir = heir(&broker, 5).await;
    let user = |key: &str, value: &str| [&[0x26][..], &text(key), &text(value)].concat();
    let properties = [
        &user("z", "1")[..],
        &user("a", "2"),
        &user("z", "0"),
        &[0x08],
        &text("answer"),
        &[0x01, 1],
    ]
    .concat();
    let hello = Hello::new(5, "c").will(0, &properties, "w/a", b"gone");
    broker.join(&hello, false).await.hang_up();
    heir.gets(&publish(5, 0x30, "w/a", 0, &properties, b"gone")).await;
}

#[tokio::test]
async fn a_session_that_goes_on_at_another_connection_keeps_its_will_to_itself() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = heir(&broker, level).await;
        let hello = Hello::staying(level, "c").will(0, &[], "w/a", b"gone");
        let mut first = broker.join(&hello, false).await;
        let mut second = broker.join(&Hello::staying(level, "c"), true).await;
        first.ended(0x8e).await;
        second.quiet().await;
        heir.quiet().await;
        drop(second);
        broker.client(level, "c").await;
    }
}

/// Also with a clean start: "where it departs from the letter" of docs/mqtt-conformance.md.
#[tokio::test]
async fn a_will_that_waits_is_not_sent_when_its_client_is_back() {
    let broker = Broker::start().await;
    let mut heir = heir(&broker, 5).await;
    let delay = [0x18, 0, 0, 0, 60];
    let minute = [0x11, 0, 0, 0, 60];
    for expiry in [&[][..], &minute] {
        for clean in [true, false] {
            let waits = Hello::new(5, "c")
                .property(expiry)
                .will(0, &delay, "w/a", b"gone");
            broker.join(&waits, false).await.hang_up();
            heir.quiet().await;
            let back = Hello::new(5, "c").flags(if clean { 2 } else { 0 });
            let mut back = broker.join(&back, !clean && !expiry.is_empty()).await;
            back.quiet().await;
            heir.quiet().await;
        }
    }
}
