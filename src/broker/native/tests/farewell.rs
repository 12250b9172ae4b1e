//! PINGREQ, keep alive, DISCONNECT and AUTH (sections 3.1.2.10, 3.12, 3.14, 3.15 and 4.12).

use super::support::*;

#[tokio::test]
async fn a_ping_is_answered() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        for _ in 0..3 {
            client.send(&[0xc0, 0]).await;
        }
        for _ in 0..3 {
            client.gets(&[0xd0, 0]).await;
        }
        client.send(&[0xc0, 1, 0]).await;
        client.ended(0x81).await;
    }
}

#[tokio::test]
async fn a_client_that_is_silent_beyond_its_keep_alive_is_gone() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut heir = broker.client(level, "heir").await;
        heir.subscribes("w", 0, 0).await;
        let hello = Hello {
            keep_alive: 1,
            ..Hello::new(level, "c").will(0, &[], "w", b"gone")
        };
        let mut client = broker.join(&hello, false).await;
        // Without one it may be silent; these are waited for, and not the clock.
        let mut patient = broker.client(level, "patient").await;
        heir.hears(0x30, "w", 0, b"gone").await;
        client.ended(0x8d).await;
        patient.quiet().await;
    }
    // The keep alive that the server gives holds in the place of the client's own.
    let broker = Broker::with("max-keepalive = 1").await;
    let mut client = broker.join(&Hello::new(5, "c"), false).await;
    client.ended(0x8d).await;
}

#[tokio::test]
async fn a_good_bye_that_is_none_is_told_so() {
    let broker = Broker::start().await;
    let cases: [(&str, &[u8]); 4] = [
        ("a code that is none", &[0x03]),
        ("a property of another packet", &[0, 3, 0x21, 0, 1]),
        ("a property twice", &[0, 10, 0x11, 0, 0, 0, 0, 0x11, 0, 0, 0, 0]),
        ("half a property", &[0, 2, 0x11, 0]),
    ];
    for (case, body) in cases {
        let mut client = broker.client(5, "c").await;
        client.send(&packet(0xe0, body)).await;
        match client.next().await.as_deref() {
            Some([0xe0, 1, 0x81 | 0x82]) => client.closed().await,
            other => panic!("{case}: {other:02x?}"),
        }
    }
    let mut client = broker.client(4, "c").await;
    client.send(&packet(0xe0, &[0])).await;
    client.closed().await;
}

#[tokio::test]
async fn packets_that_only_a_server_sends_end_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        for bytes in [
            packet(0x20, &[0, 0]),
            packet(0x90, &[0, 1, 0]),
            packet(0xb0, &[0, 1]),
            packet(0xd0, &[]),
            packet(0x00, &[]),
        ] {
            let mut client = broker.client(level, "c").await;
            client.send(&bytes).await;
            client.closed().await;
        }
    }
    // Before MQTT 5 there is no AUTH.
    let mut client = broker.client(4, "c").await;
    client.send(&packet(0xf0, &[])).await;
    client.closed().await;
}

#[tokio::test]
async fn a_way_to_authenticate_that_is_not_known_is_refused() {
    let broker = Broker::start().await;
    let hello = Hello::new(5, "c").property(&[&[0x15], &text("SCRAM-SHA-1")[..]].concat());
    let mut client = broker.say(&hello).await;
    client.gets(&[0x20, 3, 0, 0x8c, 0]).await;
    client.closed().await;
    // Data for no method.
    let hello = Hello::new(5, "c").property(&[&[0x16], &binary(b"x")[..]].concat());
    let mut client = broker.say(&hello).await;
    client.closed().await;
}

#[tokio::test]
async fn an_auth_without_a_method_ends_the_connection() {
    let broker = Broker::start().await;
    for body in [&[][..], &[0x18, 0], &[0x19, 0]] {
        let mut client = broker.client(5, "c").await;
        client.send(&packet(0xf0, body)).await;
        client.ended(0x82).await;
    }
}
