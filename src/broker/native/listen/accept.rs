//! Binding and accepting: also when the system is out of descriptors or memory, without spinning and for ever.

use super::super::super::Address;
use super::Peer;
use super::stream::Plain;
use crate::fold::Run;
use crate::unix;
use rustix::net::sockopt;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep_until};

/// How many connections wait to be accepted: all clients of a site may come at once, after a power cut.
const BACKLOG: u32 = 1024;

/// The first and the longest wait after a connection could not be accepted.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// A bound socket and its bad luck.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: Listener,
    wait: Duration,
    /// When the next try is; kept here, so that a cancelled wait is no shorter.
    again: Option<Instant>,
    deaf: Run,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(unix::Socket),
}

impl Acceptor {
    /// Binds, and says where: port 0 is a real one now.
    pub(super) fn bind(address: &Address, nodelay: bool) -> io::Result<(Acceptor, Address)> {
        let (listener, bound) = match address {
            Address::Tcp(address) => {
                let listener = tcp(*address, nodelay)?;
                let bound = Address::Tcp(listener.local_addr()?);
                (Listener::Tcp(listener), bound)
            }
            Address::Unix(path) => {
                let backlog = i32::try_from(BACKLOG).unwrap_or(i32::MAX);
                (
                    Listener::Unix(unix::Socket::bind(path, backlog)?),
                    address.clone(),
                )
            }
        };
        let acceptor = Acceptor {
            listener,
            wait: FIRST,
            again: None,
            deaf: Run::default(),
        };
        Ok((acceptor, bound))
    }

    /// The next connection. Cancel-safe: one is either given or still waits in the backlog.
    pub(super) async fn next(&mut self, address: &Address) -> (Plain, Peer) {
        loop {
            if let Some(again) = self.again {
                sleep_until(again).await;
                self.again = None;
            }
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.wait = FIRST;
                    if let Some(count) = self.deaf.good() {
                        tracing::info!(event = "hearing", %address, count, "connections are accepted again");
                    }
                    return accepted;
                }
                // That client is gone already; the next one may be there.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => self.failed(address, &error),
            }
        }
    }

    /// The connection stays in the backlog and the listener readable: trying at once again would spin.
    fn failed(&mut self, address: &Address, error: &io::Error) {
        let now = Instant::now();
        self.again = Some(now + self.wait);
        self.wait = (self.wait * 2).min(LONGEST);
        if self.deaf.fault(now.into_std()).is_some() {
            tracing::warn!(event = "deaf", %address, %error, "connections cannot be accepted");
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Plain, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                // A client with IPv4 that came to `[::]` is known by its IPv4 address.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok((Plain::Tcp(socket), Peer(Some(peer))))
            }
            Listener::Unix(socket) => {
                let (socket, _) = socket.listener.accept().await?;
                Ok((Plain::Unix(socket), Peer(None)))
            }
        }
    }
}

/// Accepted sockets inherit the options of the one that listens (Linux).
fn tcp(address: SocketAddr, nodelay: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(address) => {
            let socket = TcpSocket::new_v6()?;
            sockopt::set_ipv6_v6only(&socket, !is_everybody(address))?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(nodelay)?;
    // A client that lost its power and had asked for no keep alive goes some day.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// `[::]`, which means IPv4 as well, whatever the system's default is.
fn is_everybody(address: SocketAddrV6) -> bool {
    address.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_system_that_gives_no_connections_is_asked_less_and_less_often() {
        let anywhere = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (mut acceptor, address) = Acceptor::bind(&anywhere, true).unwrap();
        let mut waits = Vec::new();
        for _ in 0..12 {
            acceptor.failed(&address, &io::Error::from_raw_os_error(24));
            waits.push(acceptor.again.unwrap() - Instant::now());
        }
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits[9..], [LONGEST; 3]);

        let client = tokio::net::TcpStream::connect(address.tcp().unwrap());
        let start = Instant::now();
        // Cancelled meanwhile, it waits no shorter.
        assert!(
            tokio::time::timeout(LONGEST / 2, acceptor.next(&address))
                .await
                .is_err()
        );
        let (accepted, client) = tokio::join!(acceptor.next(&address), client);
        assert_eq!(
            accepted.1.to_string(),
            client.unwrap().local_addr().unwrap().to_string()
        );
        assert!(start.elapsed() >= LONGEST, "{:?}", start.elapsed());
        assert_eq!(acceptor.wait, FIRST);
    }
}
