//! Watching a running gateway: ports tell a [`Tap`] what passes, and [`serve`] hands it to those who
//! connect to a Unix socket. Cheap when nobody does; a watcher that does not read harms itself alone.
//!
//! The tap is here; [`wire`] is what the lines on the socket (and in a recording) mean; `server`
//! those who watch.

mod server;
pub mod wire;

pub use server::{MAX_REQUEST, MAX_WATCHERS, REQUEST_WITHIN, Socket, serve};

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::{broadcast, mpsc, oneshot};

/// How many events wait for the slowest watcher before it is told that it missed some. At 16 ports with
/// 1,000 frames a second each this is 60 ms, more than a task that only writes to a socket needs to be
/// scheduled; the empty ring costs about 120 KB. A frame is kept only until each watcher has taken it.
pub const QUEUE: usize = 1024;

/// Which way a frame went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the device to MQTT.
    Up,
    /// From MQTT to the device.
    Down,
}

/// What became of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was given to the broker.
    Published,
    /// It was written to the serial line.
    Sent,
    /// It was good, but no `publish` entry's condition matched it.
    Skipped,
    /// It was not a good frame; the name of the fault (`frame::Damage::name`).
    Damaged(&'static str),
    /// It was not passed on, and why: a command that could not be encoded, was retained, found a full queue.
    Refused(String),
    /// Not a frame: the port was opened, went, came back. `bytes` is empty, `direction` is `Up`.
    State(String),
}

/// One thing that passed on a port. A clone copies no bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When its last byte was read or written.
    pub time: SystemTime,
    /// The port's name.
    pub port: Arc<str>,
    /// Which way it went.
    pub direction: Direction,
    /// The frame: its data, or all that was skipped when it is damaged.
    pub bytes: Bytes,
    /// What became of it.
    pub verdict: Verdict,
}

/// Where ports say what passes. A clone is cheap: each port has its own.
#[derive(Clone, Debug)]
pub struct Tap(Arc<Shared>);

/// The other half of a [`Tap`]: where the server listens.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    reload: Option<mpsc::Sender<Asked>>,
}

/// Somebody asks for the configuration to be read again, and waits for what comes of it.
#[derive(Debug)]
pub struct Asked(oneshot::Sender<Result<String, String>>);

#[derive(Debug)]
struct Shared {
    ports: Mutex<Arc<[Arc<str>]>>,
    /// Kept beside the channel, whose own count takes its lock.
    watchers: AtomicUsize,
    events: broadcast::Sender<Event>,
}

/// A watcher's place: as long as it lives, the tap is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    events: broadcast::Receiver<Event>,
}

impl Tap {
    /// A tap and the half that [`serve`] takes.
    pub fn new() -> (Tap, Feed) {
        let (events, _) = broadcast::channel(QUEUE);
        let shared = Arc::new(Shared {
            ports: Mutex::default(),
            watchers: AtomicUsize::new(0),
            events,
        });
        let feed = Feed {
            shared: shared.clone(),
            reload: None,
        };
        (Tap(shared), feed)
    }

    /// Whether somebody watches: ask before an event is made, for it is one relaxed load.
    #[inline]
    pub fn watched(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) != 0
    }

    /// Tells those who watch. Never waits: the oldest event gives way, and who had not read it is told.
    pub fn send(&self, event: Event) {
        // An error only says that nobody watches.
        let _ = self.0.events.send(event);
    }
}

impl Asked {
    /// Says what has changed, or why nothing has.
    pub fn answer(self, outcome: Result<String, String>) {
        // Who has asked may be gone.
        let _ = self.0.send(outcome);
    }
}

impl Feed {
    /// The names of the ports, for the server's greeting; a watcher that asks for another is refused.
    pub fn with_ports(self, names: impl IntoIterator<Item = Arc<str>>) -> Feed {
        self.set_ports(names);
        self
    }

    /// Where those go who ask for the configuration to be read again. Without it they are refused.
    pub fn with_reload(mut self, asks: Option<mpsc::Sender<Asked>>) -> Feed {
        self.reload = asks;
        self
    }

    /// The ports are others now.
    pub fn set_ports(&self, names: impl IntoIterator<Item = Arc<str>>) {
        *self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner) = names.into_iter().collect();
    }

    pub(crate) fn ports(&self) -> Arc<[Arc<str>]> {
        self.shared
            .ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks for the configuration to be read again, and waits for what comes of it.
    pub(crate) async fn reload(&self) -> Result<String, String> {
        let refused = || "this gateway does not read its configuration again".to_owned();
        let (answer, answered) = oneshot::channel();
        let asks = self.reload.as_ref().ok_or_else(refused)?;
        asks.send(Asked(answer)).await.map_err(|_| refused())?;
        answered
            .await
            .unwrap_or_else(|_| Err("the gateway has ended over it".to_owned()))
    }

    pub(crate) fn watch(&self) -> Watch {
        let events = self.shared.events.subscribe();
        self.shared.watchers.fetch_add(1, Ordering::Relaxed);
        Watch {
            shared: self.shared.clone(),
            events,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Verdict {
    /// The verdict in one word, as it stands on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Published => "published",
            Verdict::Sent => "sent",
            Verdict::Skipped => "skipped",
            Verdict::Damaged(_) => "damaged",
            Verdict::Refused(_) => "refused",
            Verdict::State(_) => "state",
        }
    }

    /// What else there is to say: the fault, the reason, the state.
    pub fn why(&self) -> Option<&str> {
        match self {
            Verdict::Published | Verdict::Sent | Verdict::Skipped => None,
            Verdict::Damaged(name) => Some(name),
            Verdict::Refused(text) | Verdict::State(text) => Some(text),
        }
    }
}

impl Direction {
    /// `up` or `down`, as it stands on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u8) -> Event {
        Event {
            time: SystemTime::UNIX_EPOCH,
            port: "air".into(),
            direction: Direction::Up,
            bytes: Bytes::copy_from_slice(&[n]),
            verdict: Verdict::Published,
        }
    }

    #[test]
    fn is_watched_while_a_watch_lives() {
        let (tap, feed) = Tap::new();
        assert!(!tap.watched());
        tap.send(event(0));
        let (first, second) = (feed.watch(), feed.watch());
        drop(first);
        assert!(tap.watched());
        drop(second);
        assert!(!tap.watched());
    }

    #[test]
    fn a_full_ring_lets_the_oldest_go_and_says_how_many() {
        let (tap, feed) = Tap::new();
        let mut watch = feed.watch();
        for _ in 0..QUEUE + 3 {
            tap.send(event(1));
        }
        assert_eq!(
            watch.events.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(3))
        );
        assert_eq!(watch.events.try_recv(), Ok(event(1)));
    }
}
