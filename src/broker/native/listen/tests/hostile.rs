//! Those who stall, those who talk nonsense, and a system that has no descriptors left.

use super::support::*;
use super::websocket::frame;
use crate::broker::native::listen::bind;
use crate::broker::{Listener, Transport};
use proptest::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many stall.
const STALLED: usize = 1000;

/// Each stalled one has a descriptor at both ends.
fn room_for_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let want = maximum.unwrap_or(u64::MAX).min(8192);
    if current.is_some_and(|current| current < want) {
        let raised = Rlimit {
            current: Some(want),
            maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

/// Stalled at different places: before the first byte, and within the first words.
async fn stall(house: &House, words: &[u8]) -> Vec<TcpStream> {
    let mut stalled = Vec::new();
    for at in 0..STALLED {
        let mut client = tcp(house).await;
        client.write_all(&words[..at % words.len()]).await.unwrap();
        stalled.push(client);
    }
    stalled
}

#[tokio::test]
async fn a_thousand_stalled_handshakes_hold_up_nobody() {
    room_for_descriptors();
    let authority = Authority::new();
    let files = files(&authority.sign("server", None, 1));
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 40]].concat();
    let mut house = House::open(&listener(Transport::Tcp, Some(files))).await;
    let stalled = stall(&house, &hello).await;
    for _ in 0..3 {
        let (mut stream, mut client) = {
            let client = tls(&house, &authority, &Caller::default()).await.unwrap();
            (house.guest().await.0, client)
        };
        pass(&mut client, &mut stream, b"prompt").await;
    }
    drop(stalled);

    let mut house = House::open(&listener(Transport::Websocket, None)).await;
    let stalled = stall(&house, b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n").await;
    let (mut client, _) = upgrade(tcp(&house).await, "/", Some("mqtt")).await.unwrap();
    let (mut stream, _) = house.guest().await;
    client
        .get_mut()
        .write_all(&frame(true, 2, b"prompt"))
        .await
        .unwrap();
    let mut got = [0; 6];
    soon(stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"prompt");
    // Each of them ends when it hangs up.
    drop(stalled);
    for _ in 0..STALLED {
        house.next().await.unwrap_err();
    }
}

/// Random bytes, and those that begin well.
fn nonsense(begin: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    (prop::bool::ANY, 0..=begin.len(), noise).prop_map(move |(well, cut, noise)| {
        let begin = if well { &begin[..cut] } else { &[] };
        [begin, &noise[..]].concat()
    })
}

const TLS_HELLO: &[u8] = &[0x16, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3];
const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
const FRAMES: &[u8] = &[
    0x82, 0x83, 1, 2, 3, 4, 5, 6, 7, 0x02, 0x80, 1, 2, 3, 4, 0x80, 0x80, 1, 2, 3, 4,
];

/// Sends nonsense on a new connection: the handshake fails, or what comes through it ends.
async fn send(house: &mut House, bytes: &[u8]) {
    let mut client = tcp(house).await;
    // It may be turned away before it has said all.
    let _ = client.write_all(bytes).await;
    let _ = client.shutdown().await;
    if let Ok((mut stream, _, _)) = house.next().await {
        let _ = end(&mut stream).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nonsense_ends_at_every_stage(
        hello in nonsense(TLS_HELLO),
        request in nonsense(REQUEST),
        frames in nonsense(FRAMES),
        secret in nonsense(REQUEST),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let authority = Authority::new();
            let files = files(&authority.sign("server", None, 1));
            let mut house = House::open(&listener(Transport::Tcp, Some(files.clone()))).await;
            send(&mut house, &hello).await;

            let mut house = House::open(&listener(Transport::Websocket, None)).await;
            send(&mut house, &request).await;
            let (client, _) = upgrade(tcp(&house).await, "/", Some("mqtt")).await.unwrap();
            let (mut stream, _) = house.guest().await;
            let mut client = client.into_inner();
            let _ = client.write_all(&frames).await;
            let _ = client.shutdown().await;
            let _ = end(&mut stream).await;

            let mut house = House::open(&listener(Transport::Websocket, Some(files))).await;
            let mut client = tls(&house, &authority, &Caller::default()).await.unwrap();
            let _ = client.write_all(&secret).await;
            let _ = client.shutdown().await;
            if let Ok((mut stream, _, _)) = house.next().await {
                let _ = end(&mut stream).await;
            }
        });
    }
}

/// Tells the child process that it is the child.
const CHILD: &str = "MQTTYD_TEST_OUT_OF_DESCRIPTORS";

/// In a process of its own: its limit is everybody's.
#[test]
fn without_descriptors_it_waits_and_then_goes_on() {
    let name = std::thread::current().name().unwrap().to_owned();
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(starve());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn starve() {
    let config: Listener = listener(Transport::Tcp, None);
    let mut socket = bind(&config, true).await.unwrap();
    let address = socket.bound().address.tcp().unwrap();
    let _client = TcpStream::connect(address).await.unwrap();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = |current| {
        let limit = Rlimit {
            current: Some(current),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).unwrap();
    };
    let used = || {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
    };
    let (before, start) = (used(), Instant::now());
    // The next descriptor would be above the limit.
    let next = std::fs::File::open("/dev/null").unwrap();
    limit(u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&next)).unwrap());
    drop(next);
    let waiting = tokio::time::timeout(Duration::from_millis(500), socket.accept()).await;
    assert!(waiting.is_err(), "there was a descriptor");
    let waited = start.elapsed();
    limit(256);
    let spent = used() - before;
    assert!(spent < waited / 4, "it spins: {spent:?} of {waited:?}");
    soon(socket.accept()).await;
}
