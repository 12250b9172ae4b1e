//! The smallest MQTT 3.1.1 client that can test: it writes what it is told and reads packet by packet.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) struct Client<S> {
    stream: BufReader<S>,
    packets: u16,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) id: u16,
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let digit = (left % 128) as u8;
        left /= 128;
        out.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

impl Client<TcpStream> {
    pub(super) async fn connect(address: SocketAddr, id: &str) -> Client<TcpStream> {
        let mut client = Client::new(TcpStream::connect(address).await.unwrap());
        client.hello(id, None).await.unwrap();
        client
    }

    /// MQTT 5, as plain as it can be.
    pub(super) async fn connect_v5(address: SocketAddr, id: &str) -> Client<TcpStream> {
        let mut client = Client::new(TcpStream::connect(address).await.unwrap());
        let mut body = Vec::new();
        string(&mut body, b"MQTT");
        body.extend_from_slice(&[5, 0x02, 0, 60, 0]);
        string(&mut body, id.as_bytes());
        client.send(0x10, &body).await;
        let (first, body) = client.read().await.unwrap();
        assert_eq!((first, body[1]), (0x20, 0));
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Client<S> {
        Client {
            stream: BufReader::with_capacity(1 << 16, stream),
            packets: 0,
        }
    }

    pub(super) async fn hello(&mut self, id: &str, user: Option<(&str, &str)>) -> Option<()> {
        let mut body = Vec::new();
        string(&mut body, b"MQTT");
        body.extend_from_slice(&[4, if user.is_some() { 0xc2 } else { 0x02 }, 0, 60]);
        string(&mut body, id.as_bytes());
        if let Some((name, password)) = user {
            string(&mut body, name.as_bytes());
            string(&mut body, password.as_bytes());
        }
        self.send(0x10, &body).await;
        let (first, body) = self.read().await?;
        assert_eq!((first, &body[..]), (0x20, &[0, 0][..]));
        Some(())
    }

    pub(super) async fn send(&mut self, first: u8, body: &[u8]) {
        self.try_send(first, body).await.unwrap();
    }

    pub(super) async fn try_send(&mut self, first: u8, body: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(&packet(first, body)).await
    }

    /// The next packet; `None` when the broker hangs up.
    pub(super) async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(Duration::from_secs(10), self.read_unbounded())
            .await
            .expect("the broker says nothing")
    }

    async fn read_unbounded(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let digit = self.stream.read_u8().await.ok()?;
            length |= usize::from(digit & 0x7f) << shift;
            shift += 7;
            if digit & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }

    pub(super) async fn subscribe(&mut self, filter: &str, qos: u8) {
        let mut body = vec![0, 9];
        string(&mut body, filter.as_bytes());
        body.push(qos);
        self.send(0x82, &body).await;
        assert_eq!(self.read().await.unwrap(), (0x90, vec![0, 9, qos]));
    }

    pub(super) async fn subscribe_v5(&mut self, filter: &str) {
        let mut body = vec![0, 9, 0];
        string(&mut body, filter.as_bytes());
        body.push(0);
        self.send(0x82, &body).await;
        assert_eq!(self.read().await.unwrap().0, 0x90);
    }

    /// Publishes and goes through the acknowledgements of its QoS.
    pub(super) async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        let mut body = Vec::new();
        string(&mut body, topic.as_bytes());
        self.packets += 1;
        let id = self.packets.to_be_bytes();
        if qos > 0 {
            body.extend_from_slice(&id);
        }
        body.extend_from_slice(payload);
        self.send(0x30 | qos << 1 | u8::from(retain), &body).await;
        match qos {
            0 => {}
            1 => assert_eq!(self.read().await.unwrap(), (0x40, id.to_vec())),
            _ => {
                assert_eq!(self.read().await.unwrap(), (0x50, id.to_vec()));
                self.send(0x62, &id).await;
                assert_eq!(self.read().await.unwrap(), (0x70, id.to_vec()));
            }
        }
    }

    /// The next message, acknowledged as its QoS wants it.
    pub(super) async fn message(&mut self) -> Publish {
        let (first, body) = self.read().await.expect("the broker hung up");
        assert_eq!(first & 0xf0, 0x30, "not a publish: {first:#x}");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, mut rest) = body[2..].split_at(length);
        let qos = first >> 1 & 3;
        let mut id = 0;
        if qos > 0 {
            id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        match qos {
            0 => {}
            1 => self.send(0x40, &id.to_be_bytes()).await,
            _ => {
                self.send(0x50, &id.to_be_bytes()).await;
                let (first, body) = self.read().await.unwrap();
                assert_eq!((first & 0xf0, &body[..]), (0x60, &id.to_be_bytes()[..]));
                self.send(0x70, &id.to_be_bytes()).await;
            }
        }
        let topic = String::from_utf8(topic.to_vec()).unwrap();
        Publish {
            topic,
            payload: rest.to_vec(),
            qos,
            retain: first & 1 == 1,
            id,
        }
    }
}
