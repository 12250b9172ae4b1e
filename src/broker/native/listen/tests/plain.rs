//! TCP and Unix sockets.

use super::support::*;
use crate::broker::native::listen::stream::Plain;
use crate::broker::native::listen::{Stream, bind};
use crate::broker::{Address, StartError, Transport};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

#[tokio::test]
async fn bytes_pass_over_tcp_and_the_peer_has_its_address() {
    let mut house = House::open(&listener(Transport::Tcp, None)).await;
    assert_ne!(house.address().port(), 0);
    assert_eq!((house.bound.version, house.bound.tls), (None, false));
    let mut client = tcp(&house).await;
    let (mut stream, name, peer) = house.next().await.unwrap();
    assert_eq!(name, None);
    assert_eq!(peer.to_string(), client.local_addr().unwrap().to_string());
    assert_eq!(peer.ip(), Some(client.local_addr().unwrap().ip()));
    pass(&mut client, &mut stream, b"x").await;
    pass(&mut client, &mut stream, &much()).await;

    client.shutdown().await.unwrap();
    assert_eq!(end(&mut stream).await.unwrap(), b"");
    stream.shutdown().await.unwrap();
    assert_eq!(end(&mut client).await.unwrap(), b"");
}

#[tokio::test]
async fn nodelay_is_as_it_was_asked_for() {
    for nodelay in [true, false] {
        let mut socket = bind(&listener(Transport::Tcp, None), nodelay).await.unwrap();
        let address = socket.bound().address.tcp().unwrap();
        let (incoming, _client) = tokio::join!(socket.accept(), TcpStream::connect(address));
        let (Stream::Plain(Plain::Tcp(tcp)), _) = incoming.handshake().await.unwrap() else {
            panic!("a plain socket");
        };
        assert_eq!(tcp.nodelay().unwrap(), nodelay);
    }
}

#[tokio::test]
async fn everybody_with_ipv6_is_everybody_and_ipv4_looks_like_itself() {
    let mut config = listener(Transport::Tcp, None);
    config.address = "[::]:0".parse().unwrap();
    let Ok(mut socket) = bind(&config, true).await else {
        // A machine without IPv6.
        return;
    };
    let port = socket.bound().address.tcp().unwrap().port();
    let (incoming, client) = tokio::join!(socket.accept(), TcpStream::connect(("127.0.0.1", port)));
    let local = client.unwrap().local_addr().unwrap();
    assert_eq!(incoming.peer().to_string(), local.to_string());
    let (incoming, client) = tokio::join!(socket.accept(), TcpStream::connect(("::1", port)));
    assert_eq!(
        incoming.peer().to_string(),
        client.unwrap().local_addr().unwrap().to_string()
    );
}

#[tokio::test]
async fn an_address_in_use_is_named_and_free_again_after_the_listener() {
    let first = bind(&listener(Transport::Tcp, None), true).await.unwrap();
    let mut config = listener(Transport::Tcp, None);
    config.address = first.bound().address.clone();
    let error = bind(&config, true).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the broker cannot listen on {}", config.address)
    );
    let StartError::Bind { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);

    // Also with a connection that was there and was closed from our side.
    let mut first = first;
    let address = config.address.tcp().unwrap();
    let (incoming, client) = tokio::join!(first.accept(), TcpStream::connect(address));
    drop(incoming);
    assert_eq!(end(&mut client.unwrap()).await.unwrap(), b"");
    drop(first);
    bind(&config, true).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_private_replaces_a_dead_one_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut socket = bind(&unix(&path), true).await.unwrap();
    assert_eq!(
        socket.bound().to_string(),
        format!("mqtt://unix:{} (MQTT 3.1, 3.1.1 and 5)", path.display())
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    let (incoming, client) = tokio::join!(socket.accept(), UnixStream::connect(&path));
    assert_eq!(
        (incoming.peer().to_string().as_str(), incoming.peer().ip()),
        ("unix", None)
    );
    let (mut stream, _) = incoming.handshake().await.unwrap();
    let mut client = client.unwrap();
    pass(&mut client, &mut stream, &much()).await;

    let error = bind(&unix(&path), true).await.unwrap_err();
    let StartError::Bind { address, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(address, Address::Unix(path.clone()));
    drop(socket);
    assert!(!path.exists());
}
