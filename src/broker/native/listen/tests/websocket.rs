//! WebSocket: the upgrade, and bytes in frames.

use super::support::*;
use crate::broker::native::listen::Stream;
use crate::broker::{Listener, Transport};
use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

type Client = WebSocketStream<TcpStream>;

async fn open(path: Option<&str>) -> House {
    let mut config: Listener = listener(Transport::Websocket, None);
    config.path = path.map(Into::into);
    House::open(&config).await
}

async fn pair(house: &mut House) -> (Client, Stream) {
    let (client, chosen) = upgrade(tcp(house).await, "/mqtt", Some("mqtt")).await.unwrap();
    assert_eq!(chosen, "mqtt");
    (client, house.guest().await.0)
}

/// A frame as a client sends it (RFC 6455 section 5.2).
pub(super) fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(last) << 7 | opcode];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        middle @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [7, 77, 177, 217];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

#[tokio::test]
async fn bytes_pass_in_binary_frames_and_pings_are_answered() {
    let mut house = open(None).await;
    let (mut client, mut stream) = pair(&mut house).await;
    // Two packets' worth in one write are one frame.
    stream.write_all(b"two packets").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(
        soon(client.next()).await.unwrap().unwrap(),
        Message::Binary("two packets".into())
    );

    let sent = much();
    let writing = async {
        stream.write_all(&sent).await.unwrap();
        stream.flush().await.unwrap();
    };
    let reading = async {
        let mut got = Vec::new();
        while got.len() < sent.len() {
            match client.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => got.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        got
    };
    let ((), got) = soon(async { tokio::join!(writing, reading) }).await;
    assert!(got == sent);

    client.send(Message::Ping("who".into())).await.unwrap();
    client.send(Message::Binary("x".into())).await.unwrap();
    let mut got = [0; 1];
    soon(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(
        soon(client.next()).await.unwrap().unwrap(),
        Message::Pong("who".into())
    );
}

#[tokio::test]
async fn the_close_handshake_goes_both_ways() {
    let mut house = open(None).await;
    let (mut client, mut stream) = pair(&mut house).await;
    client.close(None).await.unwrap();
    assert_eq!(end(&mut stream).await.unwrap(), b"");
    let answer = soon(client.next()).await;
    assert!(matches!(answer, Some(Ok(Message::Close(_)))), "{answer:?}");

    let (mut client, mut stream) = pair(&mut house).await;
    stream.write_all(b"last words").await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    assert_eq!(
        soon(client.next()).await.unwrap().unwrap(),
        Message::Binary("last words".into())
    );
    let goodbye = soon(client.next()).await;
    assert!(matches!(goodbye, Some(Ok(Message::Close(_)))), "{goodbye:?}");
    assert_eq!(
        stream.write(b"after that").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );

    // Gone without a word is gone.
    let (client, mut stream) = pair(&mut house).await;
    drop(client);
    assert_eq!(end(&mut stream).await.unwrap(), b"");
}

#[tokio::test]
async fn a_text_frame_ends_the_connection_and_says_why() {
    let mut house = open(None).await;
    let (mut client, mut stream) = pair(&mut house).await;
    client.send(Message::Text("MQTT?".into())).await.unwrap();
    assert_eq!(end(&mut stream).await.unwrap_err().kind(), ErrorKind::InvalidData);
    let Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) = soon(client.next()).await else {
        panic!("no close frame");
    };
    assert_eq!(code, CloseCode::Unsupported);
    soon(stream.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_frame_that_is_too_long_or_not_masked_ends_the_connection() {
    for (bytes, code) in [
        // It announces a GiB.
        (
            &[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4][..],
            CloseCode::Size,
        ),
        (&[0x82, 0x01, 0x00], CloseCode::Protocol),
        // Reserved bits, a reserved opcode, a continuation of nothing.
        (&[0xf2, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        (&[0x83, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        (&[0x80, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
    ] {
        let mut house = open(None).await;
        let (mut client, mut stream) = pair(&mut house).await;
        client.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(end(&mut stream).await.unwrap_err().kind(), ErrorKind::InvalidData);
        let Some(Ok(Message::Close(Some(close)))) = soon(client.next()).await else {
            panic!("no close frame after {bytes:x?}");
        };
        assert_eq!(close.code, code, "{bytes:x?}");
    }
}

#[tokio::test]
async fn a_stranger_cannot_announce_what_is_longer_than_a_first_packet() {
    let config = listener(Transport::Websocket, None);
    let mut house = House::limited(&config, 1000, 4 * 1024 * 1024).await;
    let long = vec![7; 3 * 1024 * 1024];
    // The head alone is enough: nothing is awaited.
    let (mut client, mut stream) = pair(&mut house).await;
    client
        .get_mut()
        .write_all(&frame(true, 2, &long)[..14])
        .await
        .unwrap();
    assert_eq!(end(&mut stream).await.unwrap_err().kind(), ErrorKind::InvalidData);
    let Some(Ok(Message::Close(Some(close)))) = soon(client.next()).await else {
        panic!("no close frame");
    };
    assert_eq!(close.code, CloseCode::Size);
    // Nor in parts.
    let (mut client, mut stream) = pair(&mut house).await;
    for part in 0..3 {
        let bytes = frame(false, if part == 0 { 2 } else { 0 }, &[7; 400]);
        client.get_mut().write_all(&bytes).await.unwrap();
    }
    assert_eq!(end(&mut stream).await.unwrap_err().kind(), ErrorKind::InvalidData);

    let (mut client, mut stream) = pair(&mut house).await;
    client.send(Message::Binary(vec![1; 1000].into())).await.unwrap();
    let mut got = vec![0; 1000];
    soon(stream.read_exact(&mut got)).await.unwrap();
    stream.known();
    let mut got = vec![0; long.len()];
    let both = async {
        tokio::join!(
            client.send(Message::Binary(long.clone().into())),
            stream.read_exact(&mut got)
        )
    };
    let (sent, read) = soon(both).await;
    assert!(sent.is_ok() && read.is_ok() && got == long);
}

#[tokio::test]
async fn pages_of_others_are_kept_out_and_what_is_no_browser_is_not() {
    let mut config = listener(Transport::Websocket, None);
    config.allowed_origins = vec!["https://panel.example".into(), "http://localhost:8000".into()];
    let house = House::open(&config).await;
    for (origin, good) in [
        (Some("https://panel.example"), true),
        (Some("HTTPS://Panel.Example"), true),
        (Some("http://localhost:8000"), true),
        (None, true),
        (Some("http://panel.example"), false),
        (Some("https://panel.example.evil"), false),
        (Some("http://localhost"), false),
        (Some("null"), false),
        (Some(""), false),
    ] {
        let answer = upgrade_from(origin, tcp(&house).await, "/", Some("mqtt")).await;
        match answer {
            Ok(_) => assert!(good, "{origin:?}"),
            Err(Error::Http(response)) => {
                assert!(!good && response.status() == 403, "{origin:?}: {response:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    config.allowed_origins.clear();
    let house = House::open(&config).await;
    assert!(
        upgrade_from(Some("http://any"), tcp(&house).await, "/", Some("mqtt"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_slow_reader_that_pings_costs_no_more_than_its_buffers() {
    let mut house = open(None).await;
    let (client, mut stream) = pair(&mut house).await;
    let (mut reading, mut writing) = client.into_inner().into_split();
    // It never reads; the answers to its pings must not heap up.
    let pings = frame(true, 9, &[0; 125]).repeat(100);
    let flood = tokio::spawn(async move {
        for _ in 0..1000 {
            writing.write_all(&pings).await.unwrap();
        }
        writing.write_all(&frame(true, 2, b"done")).await.unwrap();
        writing
    });
    let mut got = [0; 4];
    soon(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"done");
    let _writing = flood.await.unwrap();
    // Thirteen megabytes of answers were due. What is still to come is what was in the buffers of both sides.
    let flush = async {
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let drain = async {
        let mut rest = Vec::new();
        reading.read_to_end(&mut rest).await.unwrap();
        rest.len()
    };
    let ((), count) = soon(async { tokio::join!(flush, drain) }).await;
    assert!(count < 12_000_000, "{count}");
}

#[tokio::test]
async fn the_path_and_the_sub_protocol_must_be_ours() {
    let mut house = open(Some("/mqtt")).await;
    let status = |answer: Result<(Client, String), Error>| match answer {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let refused = upgrade(tcp(&house).await, "/other", Some("mqtt")).await;
    assert_eq!(status(refused), 404);
    let why = house.next().await.unwrap_err().to_string();
    assert!(why.contains("404"), "{why}");
    for protocols in [None, Some("chat"), Some("MQTT")] {
        let refused = upgrade(tcp(&house).await, "/mqtt", protocols).await;
        assert_eq!(status(refused), 400, "{protocols:?}");
        house.next().await.unwrap_err();
    }
    for (protocols, want) in [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, chat,mqtt", "mqtt"),
    ] {
        let (_client, chosen) = upgrade(tcp(&house).await, "/mqtt?token=x", Some(protocols))
            .await
            .unwrap();
        assert_eq!(chosen, want);
        house.guest().await;
    }
    let mut anywhere = open(None).await;
    upgrade(tcp(&anywhere).await, "/what/ever", Some("mqtt"))
        .await
        .unwrap();
    anywhere.guest().await;
}

#[tokio::test]
async fn bytes_pass_over_websocket_in_tls() {
    let authority = Authority::new();
    let files = files(&authority.sign("server", None, 1));
    let mut house = House::open(&listener(Transport::Websocket, Some(files))).await;
    assert!(house.bound.to_string().starts_with("wss://"));
    let secure = tls(&house, &authority, &Caller::default()).await.unwrap();
    let (mut client, _) = upgrade(secure, "/", Some("mqtt")).await.unwrap();
    let (mut stream, _) = house.guest().await;
    client.send(Message::Binary("up".into())).await.unwrap();
    let mut got = [0; 2];
    soon(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"up");
    stream.write_all(b"down").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(
        soon(client.next()).await.unwrap().unwrap(),
        Message::Binary("down".into())
    );
    soon(stream.shutdown()).await.unwrap();
    let goodbye = soon(client.next()).await;
    assert!(matches!(goodbye, Some(Ok(Message::Close(_)))), "{goodbye:?}");
}

#[tokio::test]
async fn a_request_without_end_is_cut_off() {
    let mut house = open(None).await;
    let mut client = tcp(&house).await;
    let endless = async {
        client.write_all(b"GET / HTTP/1.1\r\n").await?;
        loop {
            client
                .write_all(b"X-Filler: filler filler filler filler filler\r\n")
                .await?;
        }
    };
    let (ended, refused): (std::io::Result<()>, _) =
        soon(async { tokio::join!(endless, house.next()) }).await;
    assert!(ended.is_err() && refused.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn where_frames_begin_and_end_does_not_matter(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        last in prop::collection::vec(any::<bool>(), 20),
        pings in prop::collection::vec(any::<bool>(), 20),
        cuts in prop::collection::vec(1usize..400, 1..20),
        room in 1usize..600,
    ) {
        let (mut wire, mut sent, mut opcode) = (Vec::new(), Vec::new(), 2);
        for (at, part) in parts.iter().enumerate() {
            let last = last[at] || at + 1 == parts.len();
            wire.extend(frame(last, opcode, part));
            opcode = if last { 2 } else { 0 };
            if pings[at] {
                wire.extend(frame(true, 9, b"ping"));
            }
            sent.extend_from_slice(part);
        }
        wire.extend(frame(true, 8, &[]));
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(Box::pin(async {
            let mut house = open(None).await;
            let (client, mut stream) = pair(&mut house).await;
            let mut client = client.into_inner();
            let writing = async {
                let mut rest = &wire[..];
                for cut in cuts.iter().cycle() {
                    let (now, later) = rest.split_at(rest.len().min(*cut));
                    client.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
            };
            let reading = async {
                let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
                loop {
                    match stream.read(&mut buffer).await.unwrap() {
                        0 => break got,
                        count => got.extend_from_slice(&buffer[..count]),
                    }
                }
            };
            let ((), got) = soon(async { tokio::join!(writing, reading) }).await;
            prop_assert_eq!(got, sent);
            Ok(())
        }))?;
    }
}
