//! Listeners: what they refuse, what they let in, and how they end.

use super::*;
use rumqttd_rustls::TlsConnector;
use rumqttd_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rumqttd_rustls::rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn listening(listener: Listener) -> Config {
    Config {
        engine: Engine::Rumqttd,
        allow_anonymous: Some(true),
        listener: vec![listener],
        ..Config::default()
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let fault = Broker::start(&listening(Listener::loopback(port, Version::V3)))
        .await
        .unwrap_err();
    assert_eq!(
        fault.to_string(),
        format!("the broker cannot listen on 127.0.0.1:{port}")
    );
    let StartError::Bind { source, .. } = fault else {
        panic!("{fault}")
    };
    assert_eq!(source.kind(), io::ErrorKind::AddrInUse);

    // An address that this machine does not have; the listener before it is closed again.
    let mut config = listening(Listener::loopback(0, Version::V3));
    let mut elsewhere = Listener::loopback(1883, Version::V5);
    elsewhere.address = "192.0.2.1:1883".parse().unwrap();
    config.listener.push(elsewhere);
    let fault = Broker::start(&config).await.unwrap_err();
    assert_eq!(fault.to_string(), "the broker cannot listen on 192.0.2.1:1883");
}

#[tokio::test]
async fn a_contradiction_is_an_error() {
    let mut listener = Listener::loopback(0, Version::V3);
    listener.allow_anonymous = Some(false);
    let fault = Broker::start(&listening(listener)).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "nobody may connect to the listener on 127.0.0.1:0: no user is listed"
    );
}

#[tokio::test]
async fn after_stop_the_addresses_are_free() {
    let (broker, address) = start().await;
    let mut client = Client::connect(address, "c").await;
    client.subscribe("#", 0).await;
    soon(broker.stop()).await;
    assert!(TcpStream::connect(address).await.is_err());
    // Though an old connection is still open.
    let broker = Broker::start(&listening(Listener::loopback(address.port(), Version::V3)))
        .await
        .unwrap();
    assert_eq!(broker.addresses()[0].address.tcp().unwrap(), address);
    Client::connect(address, "c").await;
}

#[tokio::test]
async fn only_listed_users_come_in() {
    let mut config = config();
    config.user = vec![User {
        name: "air".into(),
        password: Password("secret".into()),
    }];
    let broker = Broker::start(&config).await.unwrap();
    let address = broker.addresses()[0].address.tcp().unwrap();
    for (user, welcome) in [
        (None, false),
        (Some(("air", "wrong")), false),
        (Some(("water", "secret")), false),
        (Some(("air", "secret")), true),
    ] {
        let mut client = Client::new(TcpStream::connect(address).await.unwrap());
        assert_eq!(client.hello("c", user).await.is_some(), welcome, "{user:?}");
    }
}

#[tokio::test]
async fn tls_carries_messages() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls {
        certfile: folder.path().join("cert.pem"),
        keyfile: folder.path().join("key.pem"),
        cafile: None,
        crlfile: None,
        require_certificate: false,
        use_identity_as_username: false,
        use_subject_as_username: false,
    };
    let mut listener = Listener::loopback(0, Version::V3);
    listener.tls = Some(tls.clone());
    let config = listening(listener);

    let refused = |what: &'static str, config: Config| async move {
        let fault = Broker::start(&config).await.unwrap_err().to_string();
        assert!(fault.starts_with(&format!("the {what} /")), "{fault}");
    };
    refused("certificate", config.clone()).await;
    std::fs::write(&tls.certfile, "nothing").unwrap();
    refused("certificate", config.clone()).await;
    std::fs::write(&tls.certfile, made.cert.pem()).unwrap();
    refused("key", config.clone()).await;
    std::fs::write(&tls.keyfile, made.cert.pem()).unwrap();
    refused("key", config.clone()).await;
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&tls.keyfile, other.serialize_pem()).unwrap();
    let fault = Broker::start(&config).await.unwrap_err();
    let why = std::error::Error::source(&fault).unwrap().to_string();
    assert!(fault.to_string().contains("key.pem"), "{fault}");
    assert!(
        why.contains("does not belong to") && why.contains("cert.pem"),
        "{why}"
    );
    std::fs::write(&tls.keyfile, made.key_pair.serialize_pem()).unwrap();

    let broker = Broker::start(&config).await.unwrap();
    let bound = &broker.addresses()[0];
    assert_eq!(
        bound.to_string(),
        format!("mqtts://{} (MQTT 3.1.1)", bound.address.tcp().unwrap())
    );
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap())
        .unwrap();
    let trust = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(bound.address.tcp().unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = soon(TlsConnector::from(Arc::new(trust)).connect(name, stream))
        .await
        .unwrap();
    let mut client = Client::new(stream);
    client.hello("c", None).await.unwrap();
    client.subscribe("#", 1).await;
    client.publish("a", b"sealed", 0, false).await;
    assert_eq!(soon(client.message()).await.payload, b"sealed");
}

#[tokio::test]
async fn browsers_come_in_by_websocket() {
    let mut listener = Listener::loopback(0, Version::V3);
    listener.transport = Transport::Websocket;
    let broker = Broker::start(&listening(listener)).await.unwrap();
    let address = broker.addresses()[0].address.tcp().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let hello = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(hello.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(
        answer.starts_with("http/1.1 101") && answer.contains("sec-websocket-protocol: mqtt"),
        "{answer}"
    );
    // CONNECT in a binary frame, masked with zeros (RFC 6455, 5.2 and 5.3); CONNACK comes back in one.
    let connect = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c";
    let mut frame = vec![0x82, 0x80 | connect.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(connect);
    stream.write_all(&frame).await.unwrap();
    let mut answer = [0; 6];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x82, 4, 0x20, 2, 0, 0]);
}
