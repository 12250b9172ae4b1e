//! The listeners: rumqttd's servers in our runtime, bound before `start` returns.

use super::super::{Address, Bound, Config, Died, Listener, StartError, Transport};
use ::rumqttd::protocol::Protocol;
use ::rumqttd::{ConnectionSettings, LinkType, Server, ServerSettings, TlsConfig};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often a free port is looked for, should another process take it between our look and the bind.
const TRIES: usize = 16;

/// A server that is polled for the first time binds its address; it ends by an error only.
pub(super) type Serving = Pin<Box<dyn Future<Output = io::Error> + Send>>;

/// The crate's server as a future, whatever its protocol.
pub(super) fn serving<P>(mut server: Server<P>, transport: Transport) -> Serving
where
    P: Protocol + Clone + Send + Sync + 'static,
{
    let link = match transport {
        Transport::Tcp => LinkType::Remote,
        Transport::Websocket => LinkType::Websocket,
    };
    Box::pin(async move {
        match server.start(link).await {
            Ok(()) => io::Error::other("the listener has ended"),
            // The crate's error type has no public name; the system's error is its source.
            Err(fault) => match fault
                .source()
                .and_then(|source| source.downcast_ref::<io::Error>())
            {
                Some(source) => source
                    .raw_os_error()
                    .map_or(source.kind().into(), io::Error::from_raw_os_error),
                None => io::Error::other(fault.to_string()),
            },
        }
    })
}

/// Binds one listener and lets its server run among `servers`.
pub(super) async fn start(
    config: &Config,
    listener: &Listener,
    servers: &mut JoinSet<()>,
    death: &Arc<watch::Sender<Option<Died>>>,
    server: impl Fn(ServerSettings) -> Serving,
) -> Result<Bound, StartError> {
    let failed = |source| StartError::Bind {
        address: listener.address.clone(),
        source,
    };
    let unix = || failed(io::Error::from(io::ErrorKind::Unsupported));
    let asked = listener.address.tcp().ok_or_else(unix)?;
    let mut tries = if asked.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let address = free(asked).map_err(failed)?;
        let mut serving = server(settings(config, listener, address));
        // The crate says nowhere that it is bound, but its bind is a plain system call in the first poll:
        // a server that did not end in it listens.
        let ended = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context))).await;
        match ended {
            Poll::Ready(fault) if fault.kind() == io::ErrorKind::AddrInUse && tries > 0 => continue,
            Poll::Ready(fault) => return Err(failed(fault)),
            Poll::Pending => {}
        }
        let end = End {
            death: death.clone(),
            address,
        };
        servers.spawn(async move {
            let _end = end;
            let error = serving.await;
            tracing::error!(%address, %error, "a listener has ended");
        });
        let Listener {
            version, transport, ..
        } = *listener;
        return Ok(Bound {
            address: Address::Tcp(address),
            version: Some(version),
            transport,
            tls: listener.tls.is_some(),
        });
    }
}

/// Tells that a server's task is no more, though it had panicked.
struct End {
    death: Arc<watch::Sender<Option<Died>>>,
    address: SocketAddr,
}

impl Drop for End {
    fn drop(&mut self) {
        self.death.send_if_modified(|died| {
            let first = died.is_none();
            died.get_or_insert(Died::Listener(self.address));
            first
        });
    }
}

/// The same address; for port 0 with one that is free now, for the crate does not tell which it got.
fn free(address: SocketAddr) -> io::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    TcpListener::bind(address)?.local_addr()
}

fn settings(config: &Config, listener: &Listener, address: SocketAddr) -> ServerSettings {
    let users = config
        .user
        .iter()
        .map(|user| (user.name.clone(), user.password.0.clone()));
    let timeout = config.connect_timeout.0.as_millis();
    ServerSettings {
        name: format!("v{}", listener.version),
        listen: address,
        tls: listener.tls.as_ref().map(|tls| TlsConfig::Rustls {
            capath: None,
            certpath: tls.certfile.to_string_lossy().into_owned(),
            keypath: tls.keyfile.to_string_lossy().into_owned(),
        }),
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: u16::try_from(timeout).unwrap_or(u16::MAX),
            max_payload_size: config.longest_packet(),
            max_inflight_count: config.rumqttd.max_inflight,
            auth: (!config.user.is_empty()).then(|| users.collect()),
            external_auth: None,
            dynamic_filters: false,
        },
    }
}
