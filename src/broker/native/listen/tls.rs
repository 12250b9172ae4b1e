//! TLS: the files of a listener, read at start and again when they change, and the handshake with them.

use super::super::super::{StartError, Tls, Transport};
use super::stream::Plain;
use super::{invalid, name};
use crate::causes::Causes;
use crate::fold::Run;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How often it is looked whether a file has changed, while clients come.
const LOOK: Duration = Duration::from_secs(2);

/// The files of a listener, and what they say now.
#[derive(Debug)]
pub(super) struct Files {
    tls: Tls,
    alpn: &'static [u8],
    pub(super) look: Duration,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    server: Arc<ServerConfig>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
    broken: Run,
}

impl Files {
    /// Reads them for the first time.
    pub(super) fn read(tls: &Tls, transport: Transport) -> Result<Files, StartError> {
        // Registered with IANA; for WebSocket it is HTTP that is spoken in TLS.
        let alpn: &[u8] = match transport {
            Transport::Tcp => b"mqtt",
            Transport::Websocket => b"http/1.1",
        };
        // The stamps first: what is written while we read is read again.
        let stamps = stamps(tls);
        Ok(Files {
            now: Mutex::new(Now {
                server: server(tls, alpn)?,
                stamps,
                looked: Instant::now(),
                broken: Run::default(),
            }),
            tls: tls.clone(),
            alpn,
            look: LOOK,
        })
    }

    /// The handshake; and the name in the client's certificate, where that is the user's.
    pub(super) async fn accept(&self, socket: Plain) -> io::Result<(Secure, Option<String>)> {
        let stream = TlsAcceptor::from(self.current()).accept(socket).await?;
        let mut user = None;
        if self.tls.names_user()
            && let Some([certificate, ..]) = stream.get_ref().1.peer_certificates()
        {
            let name = if self.tls.use_subject_as_username {
                name::subject
            } else {
                name::common
            };
            let found = name(certificate).ok_or_else(|| {
                invalid("the client's certificate has no common name that could be its user name")
            });
            user = Some(found?);
        }
        Ok((Secure(stream), user))
    }

    /// What to shake hands with, after a look at the files if it is time for one.
    fn current(&self) -> Arc<ServerConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let time = Instant::now();
        if time.saturating_duration_since(now.looked) >= self.look {
            now.looked = time;
            let stamps = stamps(&self.tls);
            if stamps != now.stamps {
                now.stamps = stamps;
                self.renew(&mut now, time);
            }
        }
        now.server.clone()
    }

    /// Takes the new files, or keeps what the old ones said.
    fn renew(&self, now: &mut Now, time: Instant) {
        let certificate = self.tls.certfile.display();
        match server(&self.tls, self.alpn) {
            Ok(server) => {
                now.server = server;
                now.broken.good();
                tracing::info!(event = "tls-renewed", %certificate, "TLS files were read anew");
            }
            Err(error) => {
                if now.broken.fault(time).is_some() {
                    let error = Causes(&error);
                    tracing::warn!(event = "tls-broken", %certificate, %error, "TLS files have changed, and the old ones stay in use");
                }
            }
        }
    }
}

/// What tells that a file is another one than before.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

fn stamps(tls: &Tls) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (found.dev(), found.ino()),
            size: found.size(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    };
    tls.files().map(|(_, _, path)| stamp(path)).collect()
}

/// A server with what the files say.
fn server(tls: &Tls, alpn: &[u8]) -> Result<Arc<ServerConfig>, StartError> {
    let mut certificates: Vec<CertificateDer<'static>> = all("certificate", &tls.certfile)?;
    if let Some(path) = &tls.cafile {
        super::chain::complete(&mut certificates, &all(AUTHORITY, path)?);
    }
    let key = PrivateKeyDer::from_pem_file(&tls.keyfile)
        .map_err(|error| fault("key", &tls.keyfile, unreadable("key", error)))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("certificate", &tls.certfile, invalid(error)))?;
    let builder = match &tls.cafile {
        Some(path) => builder.with_client_cert_verifier(clients(tls, path, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(certificates, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let why = format!("it does not belong to the certificate {}", tls.certfile.display());
                fault("key", &tls.keyfile, invalid(why))
            }
            rustls::Error::InvalidCertificate(_) => fault("certificate", &tls.certfile, invalid(error)),
            error => fault("key", &tls.keyfile, invalid(error)),
        })?;
    server.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(server))
}

const AUTHORITY: &str = "authority's certificate";

/// Who looks at the clients' certificates.
fn clients(
    tls: &Tls,
    cafile: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, StartError> {
    const REVOKED: &str = "revocation list";
    let mut roots = RootCertStore::empty();
    for certificate in all::<CertificateDer<'static>>(AUTHORITY, cafile)? {
        roots
            .add(certificate)
            .map_err(|error| fault(AUTHORITY, cafile, invalid(error)))?;
    }
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = &tls.crlfile {
        let lists: Vec<CertificateRevocationListDer<'static>> = all(REVOKED, path)?;
        // As mosquitto: the client's own certificate is looked up, and its signer must have a list.
        verifier = verifier.with_crls(lists).only_check_end_entity_revocation();
    }
    if !tls.require_certificate {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(|error| match (error, &tls.crlfile) {
        (VerifierBuilderError::InvalidCrl(error), Some(path)) => fault(
            REVOKED,
            path,
            invalid(rustls::Error::InvalidCertRevocationList(error)),
        ),
        (error, _) => fault(AUTHORITY, cafile, invalid(error)),
    })
}

/// Everything of one kind that a file holds, and at least one.
fn all<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, StartError> {
    let found: Vec<T> = T::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fault(what, path, unreadable(what, error)))?;
    if found.is_empty() {
        return Err(fault(what, path, unreadable(what, pem::Error::NoItemsFound)));
    }
    Ok(found)
}

fn unreadable(what: &str, error: pem::Error) -> io::Error {
    match error {
        pem::Error::Io(source) => source,
        pem::Error::NoItemsFound if what == "key" => {
            invalid("there is no key in PEM format in it (one that is locked with a password cannot be used)")
        }
        pem::Error::NoItemsFound => invalid(format!("there is no {what} in PEM format in it")),
        other => invalid(other.to_string()),
    }
}

fn fault(what: &'static str, path: &Path, source: io::Error) -> StartError {
    StartError::Tls {
        what,
        path: path.to_owned(),
        source,
    }
}

/// TLS over a socket. A peer that is gone without the farewell of TLS is gone: MQTT has its own.
#[derive(Debug)]
pub(crate) struct Secure(TlsStream<Plain>);

impl AsyncRead for Secure {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.get_mut().0).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
