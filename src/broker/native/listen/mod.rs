//! Where clients come from: TCP, TLS, WebSocket and Unix sockets behind one kind of stream.
//!
//! Accepting is cheap and never waits for a client; what it takes until bytes of MQTT can flow is each
//! connection's own [`Incoming::handshake`], in its own task and within its own time.

mod accept;
#[cfg(feature = "tls")]
mod chain;
#[cfg(feature = "tls")]
mod name;
#[cfg(feature = "websocket")]
mod now;
mod stream;
#[cfg_attr(not(feature = "tls"), path = "without_tls.rs")]
mod tls;
#[cfg_attr(not(feature = "websocket"), path = "without_websocket.rs")]
mod websocket;

#[cfg(test)]
#[cfg(all(feature = "tls", feature = "websocket"))]
mod tests;

pub(crate) use stream::Stream;

use super::super::{Bound, Listener, StartError, Transport};
use accept::Acceptor;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
#[cfg(test)]
#[cfg(all(feature = "tls", feature = "websocket"))]
use std::time::Duration;
use stream::Plain;

/// A bound listener. Its address is free again when it is dropped; a Unix socket's file goes then, too.
#[derive(Debug)]
pub(crate) struct Socket {
    bound: Bound,
    acceptor: Acceptor,
    welcome: Arc<Welcome>,
}

/// Binds a listener. Its TLS files are read now.
pub(crate) async fn bind(config: &Listener, nodelay: bool) -> Result<Socket, StartError> {
    let tls = config.tls.as_ref();
    let tls = tls
        .map(|tls| tls::Files::read(tls, config.transport))
        .transpose()?;
    let (acceptor, address) =
        Acceptor::bind(&config.address, nodelay).map_err(|source| StartError::Bind {
            address: config.address.clone(),
            source,
        })?;
    Ok(Socket {
        bound: Bound {
            address,
            version: None,
            transport: config.transport,
            tls: tls.is_some(),
        },
        acceptor,
        welcome: Arc::new(Welcome {
            tls,
            websocket: match config.transport {
                Transport::Tcp => None,
                Transport::Websocket => {
                    let path = config.path.as_deref();
                    Some(websocket::Upgrade::new(path, &config.allowed_origins))
                }
            },
        }),
    })
}

/// Looks whether what a listener needs beside its address is there: its TLS files.
pub(crate) fn look(config: &Listener) -> Result<(), StartError> {
    let tls = config.tls.as_ref();
    tls.map(|tls| tls::Files::read(tls, config.transport))
        .transpose()?;
    Ok(())
}

impl Socket {
    /// The longest packets that clients may send, at first, and when they are known: a longer WebSocket frame ends the
    /// connection. Without this the bound is that of [`websocket::FRAME_MAX`].
    pub(crate) fn limit(&mut self, first: usize, packet: usize) {
        if let Some(welcome) = Arc::get_mut(&mut self.welcome)
            && let Some(websocket) = &mut welcome.websocket
        {
            websocket.limit(first, packet);
        }
    }

    /// Looks at the TLS files with every connection.
    #[cfg(test)]
    #[cfg(all(feature = "tls", feature = "websocket"))]
    fn look_always(&mut self) {
        let welcome = Arc::get_mut(&mut self.welcome);
        if let Some(tls) = welcome.and_then(|welcome| welcome.tls.as_mut()) {
            tls.look = Duration::ZERO;
        }
    }

    /// Where clients may connect: the address really bound.
    pub(crate) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The next connection. Safe to cancel. It waits while the system can't give one, and tells the log.
    pub(crate) async fn accept(&mut self) -> Incoming {
        let (socket, peer) = self.acceptor.next(&self.bound.address).await;
        Incoming {
            socket,
            peer,
            welcome: self.welcome.clone(),
        }
    }
}

/// What a connection goes through before MQTT.
#[derive(Debug)]
struct Welcome {
    tls: Option<tls::Files>,
    websocket: Option<websocket::Upgrade>,
}

/// A connection that was accepted, and no more yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    socket: Plain,
    peer: Peer,
    welcome: Arc<Welcome>,
}

impl Incoming {
    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// TLS and WebSocket, if they are spoken here. With it, where the listener takes it for the user name, the
    /// common name of the client's certificate.
    ///
    /// A client may take its time, for ever: the caller bounds it.
    pub(crate) async fn handshake(self) -> io::Result<(Stream, Option<String>)> {
        let Incoming { socket, welcome, .. } = self;
        match (&welcome.tls, &welcome.websocket) {
            (None, None) => Ok((Stream::Plain(socket), None)),
            (None, Some(websocket)) => {
                let stream = websocket.accept(socket).await?;
                Ok((Stream::Websocket(Box::new(stream)), None))
            }
            (Some(tls), None) => {
                let (stream, name) = tls.accept(socket).await?;
                Ok((Stream::Tls(Box::new(stream)), name))
            }
            (Some(tls), Some(websocket)) => {
                let (stream, name) = tls.accept(socket).await?;
                let stream = websocket.accept(stream).await?;
                Ok((Stream::SecureWebsocket(Box::new(stream)), name))
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer(Option<SocketAddr>);

impl Peer {
    /// The address; none for a Unix socket's client.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.0.map(|address| address.ip())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// For faults of what a client sends.
#[cfg(any(feature = "tls", feature = "websocket"))]
fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
