//! The tasks of the broker: one for each listener, with its connections, and one for the clock.

use super::connection::{self, Client, Door, Ended};
use super::hub::Seated;
use super::listen::{Incoming, Peer, Socket};
use super::listeners::Gate;
use super::shown::Shown;
use super::store::Store;
use super::wire::Version;
use super::{Alarm, Shared};
use crate::fold::Bucket;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

/// Connections that have not said who they are yet: when there are more, the oldest goes.
const MOST_STRANGERS: usize = 1024;
/// How many lines about clients may come at once, and how often one more after that.
const LINES: u32 = 20;
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How many connections are taken per second, by all listeners together.
#[derive(Debug)]
pub(super) struct Rate(Mutex<Turns>);

#[derive(Debug)]
struct Turns {
    per_second: u32,
    /// When the last one had its turn; none: nobody had.
    last: Option<Instant>,
}

impl Rate {
    /// So many; 0: as many as come.
    pub(super) fn new(per_second: u32) -> Rate {
        Rate(Mutex::new(Turns {
            per_second,
            last: None,
        }))
    }

    /// From now on so many.
    pub(super) fn set(&self, per_second: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).per_second = per_second;
    }

    /// Waits for the turn of one more. A second's worth may come at once.
    async fn turn(&self) {
        let now = Instant::now();
        let due = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.per_second == 0 {
                return;
            }
            let each = Duration::from_secs(1) / turns.per_second;
            let earliest = now.checked_sub(Duration::from_secs(1));
            let due = turns.last.max(earliest).map_or(now, |last| last + each);
            turns.last = Some(due);
            due
        };
        if due > now {
            sleep_until(due).await;
        }
    }
}

/// Lets happen what is due, when it is due.
pub(super) async fn clock(shared: Arc<Shared>, earlier: Arc<Notify>) {
    let _alarm = Alarm(shared.clone());
    loop {
        let next = shared.hub().next_timer();
        match next {
            // Either may win: nothing is lost, the next round asks again.
            Some(due) => tokio::select! {
                () = sleep_until(due.into()) => {}
                () = earlier.notified() => continue,
            },
            None => {
                earlier.notified().await;
                continue;
            }
        }
        let mut hub = shared.hub();
        hub.tick(Instant::now().into_std());
        hub.settle();
        if hub.has_litter() {
            shared.sweep.notify_one();
        }
    }
}

/// Wakes those who wait for the store, when it has written.
pub(super) async fn written(shared: Arc<Shared>, mut committed: watch::Receiver<u64>) {
    while committed.changed().await.is_ok() {
        shared.hub().written();
    }
}

/// Gives the store everything, when it has lost something and is well again.
pub(super) async fn snapshots(shared: Arc<Shared>, store: Arc<Store>) {
    let mut wanted = store.needs_snapshot();
    while wanted.wait_for(|wanted| *wanted).await.is_ok() {
        {
            let mut hub = shared.hub();
            let all = hub.snapshot(Instant::now().into_std());
            store.replace(all);
            hub.settle();
        }
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Takes the connections of one listener, and keeps them.
pub(super) async fn listen(
    mut socket: Socket,
    gate: Arc<Gate>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections: JoinSet<()> = JoinSet::new();
    let mut strangers: VecDeque<Stranger> = VecDeque::new();
    let lines = Arc::new(Mutex::new(Lines::default()));
    loop {
        // All arms are safe to cancel: an accepted connection is never dropped, and a join is tried again.
        let incoming = tokio::select! {
            incoming = socket.accept() => incoming,
            // A panic has told the room by itself.
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        shared.rate.turn().await;
        strangers.retain(Stranger::is_one);
        if strangers.len() >= MOST_STRANGERS
            && let Some(oldest) = strangers.pop_front()
        {
            oldest.task.abort();
        }
        let guest = Guest {
            shared: shared.clone(),
            door: gate.door(),
            gate: gate.clone(),
            lines: lines.clone(),
            known: Arc::default(),
        };
        let known = guest.known.clone();
        let task = connections.spawn(guest.serve(Box::new(incoming)));
        strangers.push_back(Stranger { task, known });
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// A connection that may not have said who it is.
struct Stranger {
    task: AbortHandle,
    known: Arc<AtomicBool>,
}

impl Stranger {
    fn is_one(&self) -> bool {
        !self.known.load(Ordering::Relaxed) && !self.task.is_finished()
    }
}

/// One connection, from its acceptance to its end.
struct Guest {
    shared: Arc<Shared>,
    /// What its listener says of those who come now.
    door: Arc<Door>,
    gate: Arc<Gate>,
    lines: Arc<Mutex<Lines>>,
    known: Arc<AtomicBool>,
}

impl Guest {
    async fn serve(self, incoming: Box<Incoming>) {
        let _alarm = Alarm(self.shared.clone());
        let peer = incoming.peer().clone();
        // What comes before a client is known is boxed: it would be a part of each connection as long as that lives. The
        // box that it came in is gone before.
        let welcome = {
            let incoming = incoming;
            Box::pin(self.welcome(*incoming, &peer))
        };
        let Some((client, seated, version)) = welcome.await else {
            return;
        };
        self.known.store(true, Ordering::Relaxed);
        let _ticket = self.gate.enter(seated.seat);
        let id = Shown(&seated.client).to_string();
        if self.lines().good() {
            info!(event = "client-connected", peer = %peer, client = %id, version = %version, "client connected");
        }
        let ended = client.serve().await;
        match ended {
            Ended::Left | Ended::Closed | Ended::Io(_) => {
                if self.lines().good() {
                    info!(event = "client-gone", peer = %peer, client = %id, "client gone: {ended}");
                }
            }
            Ended::Fault(_) | Ended::Told(_) => {
                let count = self.lines().bad();
                if let Some(count) = count {
                    warn!(event = "client-sent-away", peer = %peer, client = %id, count, "client sent away: {ended}");
                }
            }
        }
    }

    /// From the handshake to the CONNACK; who gets none has been told of in the log.
    async fn welcome(&self, incoming: Incoming, peer: &Peer) -> Option<(Box<Client>, Seated, Version)> {
        let begin = Instant::now();
        let (stream, certificate) = match timeout(self.door.within, incoming.handshake()).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let count = self.lines().bad();
                if let Some(count) = count {
                    warn!(event = "handshake-failed", peer = %peer, error = %error, count, "handshake failed");
                }
                return None;
            }
            Err(_) => {
                debug!(peer = %peer, "the handshake was not done in time");
                return None;
            }
        };
        let left = self.door.within.saturating_sub(begin.elapsed());
        let full = |door: &Door| {
            let shared = &self.shared;
            let here = door.most.is_some_and(|most| self.gate.guests() >= most);
            here || shared.hub().connected() >= shared.max_connections.load(Ordering::Relaxed)
        };
        let welcome = connection::welcome(stream, peer, certificate, &self.gate, &self.shared, left, full);
        match welcome.await {
            Ok(welcomed) => Some(welcomed),
            Err(Ended::Closed) => {
                debug!(peer = %peer, "a connection that said nothing");
                None
            }
            Err(ended) => {
                let count = self.lines().bad();
                if let Some(count) = count {
                    warn!(event = "client-refused", peer = %peer, count, "client refused: {ended}");
                }
                None
            }
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a crowd of clients from filling the log.
struct Lines {
    good: Bucket,
    bad: Bucket,
    untold: u64,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines {
            good: Bucket::new(LINES, LINE_EVERY),
            bad: Bucket::new(LINES, LINE_EVERY),
            untold: 0,
        }
    }
}

impl Lines {
    fn good(&mut self) -> bool {
        self.good.take(Instant::now().into_std())
    }

    /// Whether to tell, and of how many.
    fn bad(&mut self) -> Option<u64> {
        self.untold += 1;
        let tell = self.bad.take(Instant::now().into_std());
        tell.then(|| std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also right after the start: the first client waited for the second turn once.
    #[tokio::test(start_paused = true)]
    async fn a_seconds_worth_of_clients_comes_at_once() {
        let rate = Rate::new(100);
        let start = Instant::now();
        for _ in 0..2 {
            let before = Instant::now();
            for _ in 0..100 {
                rate.turn().await;
            }
            assert_eq!(before.elapsed(), Duration::ZERO);
            rate.turn().await;
            assert_eq!(before.elapsed(), Duration::from_millis(10));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        rate.set(0);
        for _ in 0..1000 {
            rate.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::from_millis(2020));
    }
}
