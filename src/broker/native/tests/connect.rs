//! CONNECT and its answer (sections 3.1 and 3.2).

use super::support::*;

/// What a refused client reads: a CONNACK with its version's code, and the end.
async fn refused(client: &mut Client, three: u8, five: u8) {
    if client.level == 5 {
        client.gets(&[0x20, 3, 0, five, 0]).await;
    } else {
        client.gets(&[0x20, 2, 0, three]).await;
    }
    client.closed().await;
}

/// With one user.
async fn with_a_user() -> Broker {
    Broker::with("[[user]]\nname = 'u'\npassword = 'p'").await
}

fn with_password(level: u8, client: &str, password: &str) -> Hello {
    let rest = [text("u"), text(password)].concat();
    Hello::new(level, client).flags(0xc2).rest(&rest)
}

#[tokio::test]
async fn the_first_packet_is_a_connect_and_all_else_is_not_answered() {
    let broker = Broker::start().await;
    for level in BOTH {
        for bytes in [
            packet(0xc0, &[]),
            publish(level, 0x30, "a", 0, &[], b"x"),
            subscribe(level, 1, &[("a", 0)]),
            packet(0xe0, &[]),
            packet(0x20, &[0, 0]),
            packet(0xf0, &[0x18, 0]),
            packet(0x00, &[]),
        ] {
            let mut client = broker.dial(level).await;
            client.send(&bytes).await;
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn the_answer_is_the_first_packet_and_there_is_one() {
    let broker = Broker::start().await;
    for level in BOTH {
        // All at once: what is asked behind the CONNECT is answered behind the CONNACK.
        let mut client = broker.dial(level).await;
        let all = [
            Hello::new(level, "c").bytes(),
            subscribe(level, 1, &[("a", 0)]),
            publish(level, 0x30, "a", 0, &[], b"x"),
        ];
        client.send(&all.concat()).await;
        let connack = client.next().await.unwrap();
        // No reserved bit of the flags is set.
        assert_eq!((connack[0], &connack[2..4]), (0x20, &[0, 0][..]));
        client.gets(&suback(level, 1, &[0])).await;
        client.hears(0x30, "a", 0, b"x").await;
        client.quiet().await;
    }
}

#[tokio::test]
async fn a_second_connect_ends_the_connection() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut client = broker.client(level, "c").await;
        client.send(&Hello::new(level, "c").bytes()).await;
        client.closed().await;
    }
}

#[tokio::test]
async fn another_protocol_is_not_spoken() {
    let broker = Broker::start().await;
    for level in BOTH {
        for name in ["MQTT ", "mqtt", "HTTP", ""] {
            let hello = Hello {
                name,
                ..Hello::new(level, "c")
            };
            let mut client = broker.say(&hello).await;
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn a_version_that_is_not_known_is_told_so() {
    let broker = Broker::start().await;
    for level in [0, 1, 2, 3, 6, 0x7f, 0xff] {
        let mut client = broker.say(&Hello::new(level, "c")).await;
        if level > 5 {
            client.gets(&[0x20, 3, 0, 0x84, 0]).await;
        } else {
            client.gets(&[0x20, 2, 0, 1]).await;
        }
        client.closed().await;
    }
}

#[tokio::test]
async fn flags_that_contradict_what_is_there_are_not_answered() {
    let broker = Broker::start().await;
    for level in BOTH {
        let none: &[u8] = if level == 5 { &[0] } else { &[] };
        let will = [none, &text("w"), &binary(b"x")].concat();
        let names = [text("u"), text("p")].concat();
        let cases: &[(&str, u8, &[u8])] = &[
            ("the reserved flag", 0x03, &[]),
            ("a will's QoS without a will", 0x0a, &[]),
            ("a will's retain without a will", 0x22, &[]),
            ("a will without its flag", 0x02, &will),
            ("a will of QoS 3", 0x1e, &will),
            ("a will's flag alone", 0x06, &[]),
            ("a will without a payload", 0x06, &[none, &text("w")].concat()),
            ("a name without its flag", 0x02, &text("u")),
            ("a name's flag alone", 0x82, &[]),
            ("a password without its flag", 0x82, &names),
            ("a password's flag alone", 0xc2, &text("u")),
        ];
        for (case, flags, rest) in cases {
            let hello = Hello::new(level, "c").flags(*flags).rest(rest);
            let mut client = broker.say(&hello).await;
            assert_eq!(client.next().await, None, "{case}, level {level}");
        }
    }
    // Only MQTT 5 has passwords without names.
    let hello = |level| Hello::new(level, "c").flags(0x42).rest(&text("p"));
    broker.say(&hello(4)).await.closed().await;
    broker.join(&hello(5), false).await.quiet().await;
}

#[tokio::test]
async fn a_connect_that_is_none_is_not_answered() {
    let broker = Broker::start().await;
    for level in BOTH {
        let whole = Hello::new(level, "c").bytes();
        let longer = Hello::new(level, "c").rest(b"x").bytes();
        let no_id = Hello {
            client: Vec::new(),
            ..Hello::new(level, "")
        };
        let short_id = Hello {
            client: vec![0, 2, b'c'],
            ..Hello::new(level, "")
        };
        // Cut within the variable header: the length is right, and something is missing.
        let cut = packet(0x10, &whole[2..10]);
        for bytes in [longer, no_id.bytes(), short_id.bytes(), cut] {
            let mut client = broker.dial(level).await;
            client.send(&bytes).await;
            assert_eq!(client.next().await, None, "{bytes:02x?}");
        }
    }
    let properties: [(&str, &[u8]); 7] = [
        ("a property twice", &[0x21, 0, 1, 0x21, 0, 1]),
        ("a property of another packet", &[0x23, 0, 1]),
        ("a property that is not known", &[0x7e, 0]),
        ("a receive maximum of 0", &[0x21, 0, 0]),
        ("a maximum packet size of 0", &[0x27, 0, 0, 0, 0]),
        ("a flag that is neither", &[0x17, 2]),
        ("a property that is cut", &[0x11, 0, 0]),
    ];
    for (case, property) in properties {
        let mut client = broker.say(&Hello::new(5, "c").property(property)).await;
        match client.next().await.as_deref() {
            None => {}
            Some([0x20, 3, 0, 0x81 | 0x82, 0]) => client.closed().await,
            other => panic!("{case}: {other:02x?}"),
        }
    }
}

#[tokio::test]
async fn fields_stand_in_their_order() {
    let broker = with_a_user().await;
    for level in BOTH {
        let mut reader = broker.join(&with_password(level, "r", "p"), false).await;
        reader.subscribes("w", 0, 0).await;
        let mut hello = Hello::new(level, "c").will(0, &[], "w", b"gone");
        hello.flags |= 0xc0;
        let hello = hello.rest(&text("u")).rest(&text("p"));
        broker.join(&hello, false).await.hang_up();
        reader.hears(0x30, "w", 0, b"gone").await;
    }
}

#[tokio::test]
async fn client_ids_of_letters_and_digits_are_allowed() {
    let broker = Broker::start().await;
    for level in BOTH {
        for id in [
            "0",
            "abcdefghijklmnopqrstuvw",
            "ABCDEFGHIJKLMNOPQRSTUVW",
            "xyzXYZ0123456789",
        ] {
            broker.client(level, id).await.quiet().await;
        }
        // Others may be, and are.
        broker.client(level, &"long ".repeat(100)).await.quiet().await;
    }
}

#[tokio::test]
async fn who_has_no_id_is_given_one_that_nobody_has() {
    let broker = Broker::start().await;
    let mut one = broker.client(4, "").await;
    let mut two = broker.client(4, "").await;
    one.quiet().await;
    two.quiet().await;

    let given = |connack: &[u8]| {
        let at = connack.iter().skip(5).position(|byte| *byte == 0x12).unwrap() + 5;
        let length = usize::from(connack[at + 2]);
        String::from_utf8(connack[at + 3..at + 3 + length].to_vec()).unwrap()
    };
    let hello = Hello::new(5, "").property(&[0x11, 0, 0, 0, 60]);
    let mut one = broker.say(&hello).await;
    let id = given(&one.next().await.unwrap());
    let mut two = broker.say(&Hello::new(5, "").flags(0)).await;
    assert_ne!(given(&two.next().await.unwrap()), id);
    one.subscribes("a", 1, 1).await;
    // From then on it is known by it.
    let mut again = broker.join(&Hello::staying(5, &id), true).await;
    one.ended(0x8e).await;
    two.publishes(0x30, "a", 0, b"x").await;
    again.hears(0x30, "a", 0, b"x").await;
}

#[tokio::test]
async fn an_id_that_is_refused_is_told_so() {
    let broker = Broker::with("allow-zero-length-clientid = false").await;
    for level in BOTH {
        let mut client = broker.say(&Hello::new(level, "")).await;
        refused(&mut client, 2, 0x80).await;
    }
    // There is no session to go on with under no id.
    let broker = Broker::start().await;
    let mut client = broker.say(&Hello::new(4, "").flags(0)).await;
    refused(&mut client, 2, 0).await;
}

#[tokio::test]
async fn who_fails_the_checks_is_sent_away_and_what_comes_behind_is_not_heard() {
    let broker = with_a_user().await;
    for level in BOTH {
        for hello in [with_password(level, "c", "wrong"), Hello::new(level, "c")] {
            let mut client = broker.dial(level).await;
            let behind = publish(level, 0x31, "a", 0, &[], b"sneaked in");
            client.send(&[hello.bytes(), behind].concat()).await;
            refused(&mut client, 5, 0x87).await;
        }
        let mut reader = broker.join(&with_password(level, "r", "p"), false).await;
        reader.subscribes("#", 0, 0).await;
        reader.quiet().await;
    }
}

#[tokio::test]
async fn a_client_that_comes_again_takes_its_own_place() {
    let broker = Broker::start().await;
    for level in BOTH {
        let mut first = broker.client(level, "c").await;
        let mut other = broker.client(level, "d").await;
        let mut second = broker.client(level, "c").await;
        first.ended(0x8e).await;
        second.quiet().await;
        other.quiet().await;
    }
}

#[tokio::test]
async fn a_will_that_cannot_be_kept_is_refused() {
    let broker = Broker::with("max-qos = 1\nretain-available = false").await;
    for (flags, code) in [(0x10, 0x9b), (0x20, 0x9a)] {
        let mut client = broker.say(&Hello::new(5, "c").will(flags, &[], "w", b"x")).await;
        refused(&mut client, 0, code).await;
        // MQTT 3.1.1 has no code for it: the connection ends without an answer.
        let mut client = broker.say(&Hello::new(4, "c").will(flags, &[], "w", b"x")).await;
        client.closed().await;
    }
    broker
        .join(&Hello::new(4, "c").will(0x08, &[], "w", b"x"), false)
        .await;
}

#[tokio::test]
async fn what_is_not_to_be_had_is_told() {
    let broker = Broker::with("max-qos = 1\nretain-available = false\nmax-keepalive = 60").await;
    let mut client = broker.say(&Hello::new(5, "c")).await;
    let connack = client.next().await.unwrap();
    let properties = connack
        .strip_prefix(&[0x20, 16, 0, 0, 13][..])
        .unwrap_or(&connack);
    // Topic aliases, the keep alive that holds, no retained messages, the receive maximum, QoS 1 at most.
    let told = [
        &[0x22, 0, 10, 0x13, 0, 60][..],
        &[0x25, 0, 0x21, 0, 20],
        &[0x24, 1],
    ]
    .concat();
    assert_eq!(properties, told, "{connack:02x?}");
    // Who subscribes with QoS 2 is served as well as can be.
    client.subscribes("a", 2, 1).await;
    client.publishes(0x34, "a", 1, b"x").await;
    client.ended(0x9b).await;
    let mut client = broker.client(5, "c").await;
    client.publishes(0x31, "a", 0, b"x").await;
    client.ended(0x9a).await;
}

#[tokio::test]
async fn who_takes_only_short_packets_is_sent_no_longer_ones() {
    let broker = with_a_user().await;
    let short = |longest: u8, hello: Hello| hello.property(&[0x27, 0, 0, 0, longest]);
    // A CONNACK that says no is 5 bytes long, and that which says yes is longer.
    let mut client = broker.say(&short(4, with_password(5, "c", "wrong"))).await;
    client.closed().await;
    let mut client = broker.say(&short(5, with_password(5, "c", "wrong"))).await;
    refused(&mut client, 0, 0x87).await;
    let mut client = broker.say(&short(5, with_password(5, "c", "p"))).await;
    refused(&mut client, 0, 0x95).await;
}

#[tokio::test]
async fn the_answer_says_what_must_be_said_and_no_more() {
    let broker = Broker::start().await;
    // Asked for a response topic or not, and for reasons or not: it has none to give.
    for asked in [&[][..], &[0x19, 0], &[0x19, 1], &[0x17, 0], &[0x17, 1]] {
        let mut client = broker.say(&Hello::new(5, "c").property(asked)).await;
        client.gets(&[0x20, 9, 0, 0, 6, 0x22, 0, 10, 0x21, 0, 20]).await;
    }
}

#[tokio::test]
async fn who_is_refused_is_told_of_no_session_and_takes_nobodys_place() {
    let broker = with_a_user().await;
    for level in BOTH {
        let staying = |password: &str| {
            let hello = Hello::staying(level, "c").rest(&[text("u"), text(password)].concat());
            hello.flags(0xc0)
        };
        let mut owner = broker.join(&staying("p"), false).await;
        let mut thief = broker.say(&staying("wrong")).await;
        refused(&mut thief, 5, 0x87).await;
        owner.quiet().await;
        owner.hang_up();
        let mut thief = broker.say(&staying("wrong")).await;
        refused(&mut thief, 5, 0x87).await;
        broker.join(&staying("p"), true).await;
        broker.join(&with_password(level, "c", "p"), false).await;
    }
}
