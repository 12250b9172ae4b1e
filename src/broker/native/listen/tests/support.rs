//! A listener that runs, clients of its transports, and an authority that signs certificates.

use crate::broker::native::listen::{Incoming, Peer, Socket, Stream, bind};
use crate::broker::{Address, Bound, Listener, Tls, Transport, Version};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Much longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes too long")
}

/// What is ready after a handshake, or why it never was.
pub(super) type Ready = io::Result<(Stream, Option<String>, Peer)>;

/// A listener that accepts, and shakes hands in tasks as the broker does.
pub(super) struct House {
    pub(super) bound: Bound,
    ready: mpsc::Receiver<Ready>,
    task: JoinHandle<()>,
}

impl House {
    pub(super) async fn open(config: &Listener) -> House {
        House::with(bind(config, true).await.unwrap())
    }

    /// One where strangers may send `first` bytes at once, and those who are known `most`.
    pub(super) async fn limited(config: &Listener, first: usize, most: usize) -> House {
        let mut socket = bind(config, true).await.unwrap();
        socket.limit(first, most);
        House::with(socket)
    }

    fn with(mut socket: Socket) -> House {
        socket.look_always();
        let bound = socket.bound().clone();
        let (sender, ready) = mpsc::channel(2048);
        let task = tokio::spawn(async move {
            loop {
                let incoming: Incoming = socket.accept().await;
                let sender = sender.clone();
                tokio::spawn(async move {
                    let peer = incoming.peer().clone();
                    let done = incoming.handshake().await;
                    let _ = sender.send(done.map(|(stream, name)| (stream, name, peer))).await;
                });
            }
        });
        House { bound, ready, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.bound.address.tcp().unwrap()
    }

    /// The next connection whose handshake is over, well or not.
    pub(super) async fn next(&mut self) -> Ready {
        soon(self.ready.recv()).await.expect("a listener that runs")
    }

    /// The next good one, with the name in its certificate.
    pub(super) async fn guest(&mut self) -> (Stream, Option<String>) {
        let (stream, name, _) = self.next().await.expect("a handshake that succeeds");
        (stream, name)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener on a free port.
pub(super) fn listener(transport: Transport, tls: Option<Tls>) -> Listener {
    let mut listener = Listener::loopback(0, Version::V3);
    listener.transport = transport;
    listener.tls = tls;
    listener
}

pub(super) fn unix(path: &Path) -> Listener {
    let mut listener = listener(Transport::Tcp, None);
    listener.address = Address::Unix(path.to_owned());
    listener
}

pub(super) async fn tcp(house: &House) -> TcpStream {
    TcpStream::connect(house.address()).await.unwrap()
}

/// Sends bytes each way and compares them. Both ends at once: what is long fits no buffer.
pub(super) async fn pass<A, B>(one: &mut A, other: &mut B, bytes: &[u8])
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    one_way(one, other, bytes).await;
    one_way(other, one, bytes).await;
}

pub(super) async fn one_way<A, B>(from: &mut A, to: &mut B, bytes: &[u8])
where
    A: AsyncWrite + Unpin,
    B: AsyncRead + Unpin,
{
    let mut got = vec![0; bytes.len()];
    let send = async {
        from.write_all(bytes).await.unwrap();
        from.flush().await.unwrap();
    };
    let receive = async {
        to.read_exact(&mut got).await.unwrap();
    };
    soon(async { tokio::join!(send, receive) }).await;
    assert!(got == bytes, "{} bytes did not arrive as sent", bytes.len());
}

/// More than any buffer on the way holds.
pub(super) fn much() -> Vec<u8> {
    (0..3_000_000u32).map(|at| (at % 251) as u8).collect()
}

/// What reading gives at the end: nothing, or an error.
pub(super) async fn end<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut got = Vec::new();
    soon(stream.read_to_end(&mut got)).await.map(|_| got)
}

/// Somebody who signs certificates; what it makes is in files of its folder.
pub(super) struct Authority {
    key: KeyPair,
    certificate: rcgen::Certificate,
    pub(super) folder: tempfile::TempDir,
}

/// A certificate's files.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority {
            key,
            certificate,
            folder,
        }
    }

    pub(super) fn cafile(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate with this common name (and for localhost), and a serial number.
    pub(super) fn sign(&self, file: &str, name: Option<&str>, serial: u64) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        let identity = Identity {
            cert: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        replace(&identity.cert, signed.pem().as_bytes());
        replace(&identity.key, key.serialize_pem().as_bytes());
        identity
    }

    /// Writes a list of the revoked.
    pub(super) fn revoke(&self, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2050, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.certificate, &self.key).unwrap();
        let path = self.folder.path().join("revoked.pem");
        replace(&path, list.pem().unwrap().as_bytes());
        path
    }
}

/// As those do it who renew certificates: a new file takes the old one's place.
pub(super) fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A listener's TLS with this certificate.
pub(super) fn files(identity: &Identity) -> Tls {
    Tls {
        certfile: identity.cert.clone(),
        keyfile: identity.key.clone(),
        cafile: None,
        crlfile: None,
        require_certificate: false,
        use_identity_as_username: false,
        use_subject_as_username: false,
    }
}

/// How a client of TLS comes.
#[derive(Clone, Default)]
pub(super) struct Caller {
    pub(super) identity: Option<Identity>,
    pub(super) only: Option<&'static SupportedProtocolVersion>,
    pub(super) alpn: Vec<Vec<u8>>,
}

/// Calls a listener with TLS; trusts only this authority.
pub(super) async fn tls(
    house: &House,
    authority: &Authority,
    caller: &Caller,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.cafile()).unwrap())
        .unwrap();
    let versions = caller
        .only
        .map_or(vec![&version::TLS13, &version::TLS12], |only| vec![only]);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match &caller.identity {
        Some(identity) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&identity.cert).unwrap()],
                PrivateKeyDer::from_pem_file(&identity.key).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&caller.alpn);
    let name = ServerName::try_from("localhost").unwrap();
    let socket = tcp(house).await;
    soon(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

/// Asks for a WebSocket; the answer's sub-protocol comes with it.
pub(super) async fn upgrade<S>(
    stream: S,
    path: &str,
    protocols: Option<&str>,
) -> Result<(WebSocketStream<S>, String), tokio_tungstenite::tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    upgrade_from(None, stream, path, protocols).await
}

/// The same from a page with this origin.
pub(super) async fn upgrade_from<S>(
    origin: Option<&str>,
    stream: S,
    path: &str,
    protocols: Option<&str>,
) -> Result<(WebSocketStream<S>, String), tokio_tungstenite::tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("ws://localhost{path}").into_client_request()?;
    if let Some(origin) = origin {
        let value = origin.parse().expect("a header's value");
        request.headers_mut().insert("Origin", value);
    }
    if let Some(protocols) = protocols {
        let value = protocols.parse().expect("a header's value");
        request.headers_mut().insert("Sec-WebSocket-Protocol", value);
    }
    let (socket, answer) = soon(Box::pin(client_async(request, stream))).await?;
    let chosen = answer.headers().get("Sec-WebSocket-Protocol");
    let chosen = chosen.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok((socket, chosen.to_owned()))
}
