//! Notices a listener that accepts connections and answers none.
//!
//! rumqttd's connections share a mutex per listener and panic while they hold it: a client id with a `/` used
//! twice is enough, or a client that comes back after it was refused for lack of room. From then on every new
//! connection of that listener panics, the router lives on, and nobody is told. So each panic inside the crate,
//! wherever in the process, makes every room say hello to its own listeners.

use super::super::{Bound, Config, Died, Transport, Version};
use super::Connect;
use super::link;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Once};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a listener may take to answer: it accepts one connection each millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts the panics inside the crate.
static PANICS: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Whether one of them found the mutex poisoned.
static POISON: AtomicBool = AtomicBool::new(false);

/// Whether a panic at this place is one of the crate's, and not one of this folder.
fn foreign(file: &str) -> bool {
    file.contains("/rumqttd-") || file.contains("/rumqttd/src/")
}

/// Looks at every panic of the process before the hook that was there does. The crate's own end here: they are
/// one connection's matter, or the router's, and its links tell of that.
///
/// The router must go quickly, without a backtrace: until its channel is gone, a client that connects is put
/// into a queue that nobody reads, and the crate blocks the runtime's thread there for ever.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let Some(place) = info.location().filter(|place| foreign(place.file())) else {
                return before(info);
            };
            let text = info.payload();
            let text = text
                .downcast_ref::<&str>()
                .copied()
                .or(text.downcast_ref::<String>().map(|text| &**text));
            let text = text.unwrap_or_default();
            if thread::current()
                .name()
                .is_some_and(|name| name.starts_with("router-"))
            {
                tracing::error!(error = text, %place, "the broker's router has panicked");
                return;
            }
            if text.contains("PoisonError") {
                POISON.store(true, Ordering::Relaxed);
            }
            tracing::warn!(error = text, %place, "a connection of the broker has panicked");
            PANICS.send_modify(|count| *count += 1);
        }));
    });
}

/// Runs beside a room's listeners. It sleeps until something panics.
pub(super) fn guard(
    config: &Config,
    listeners: &[Bound],
    connect: Arc<Connect>,
    death: Arc<watch::Sender<Option<Died>>>,
) -> impl Future<Output = ()> + Send + use<> {
    watch_panics();
    let mut panics = PANICS.subscribe();
    let listeners = listeners.to_vec();
    let user = config.user.first().cloned();
    async move {
        while panics.changed().await.is_ok() {
            panics.mark_unchanged();
            for listener in &listeners {
                let user = user.as_ref().map(|user| (&*user.name, &*user.password.0));
                if alive(listener, user, &*connect).await {
                    continue;
                }
                let died = listener.address.tcp().map_or(Died::Cut, Died::Listener);
                death.send_if_modified(|known| known.is_none() && known.replace(died).is_none());
                return;
            }
        }
    }
}

async fn alive(listener: &Bound, user: Option<(&str, &str)>, connect: &Connect) -> bool {
    if listener.tls || listener.transport == Transport::Websocket {
        return !POISON.load(Ordering::Relaxed);
    }
    match timeout(PATIENCE, hello(listener, user)).await {
        Ok(Ok(welcome)) if welcome => true,
        // Out of descriptors and the like: not the listener's fault.
        Ok(Err(error))
            if error.raw_os_error().is_some() && error.kind() != io::ErrorKind::ConnectionReset =>
        {
            true
        }
        // A broker that is full answers no better; then it has no room for a link either.
        _ => connect("check").is_none(),
    }
}

/// CONNECT, and whether CONNACK comes back.
async fn hello(listener: &Bound, user: Option<(&str, &str)>) -> io::Result<bool> {
    let unix = || io::Error::from(io::ErrorKind::Unsupported);
    let mut address = listener.address.tcp().ok_or_else(unix)?;
    if address.ip().is_unspecified() {
        address.set_ip(loopback(address));
    }
    let mut stream = TcpStream::connect(address).await?;
    let five = listener.version == Some(Version::V5);
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([
        if five { 5 } else { 4 },
        if user.is_some() { 0xc2 } else { 0x02 },
        0,
        60,
    ]);
    body.extend(five.then_some(0));
    let id = link::id("check");
    let texts = [Some(&*id), user.map(|user| user.0), user.map(|user| user.1)];
    for text in texts.into_iter().flatten() {
        body.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut left = body.len();
    while left > 127 {
        packet.push((left % 128) as u8 | 0x80);
        left /= 128;
    }
    packet.push(left as u8);
    packet.append(&mut body);
    stream.write_all(&packet).await?;
    let answer = stream.read_u8().await;
    stream.write_all(b"\xe0\0").await.ok();
    Ok(answer.is_ok_and(|first| first == 0x20))
}

fn loopback(address: SocketAddr) -> IpAddr {
    if address.is_ipv4() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn our_own_panics_are_not_the_crates() {
        for (file, foreign) in [
            (
                "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/rumqttd-0.20.0/src/server/broker.rs",
                true,
            ),
            ("vendor/rumqttd/src/router/routing.rs", true),
            ("src/broker/rumqttd/link.rs", false),
            ("src/port/mod.rs", false),
        ] {
            assert_eq!(super::foreign(file), foreign, "{file}");
        }
    }
}
