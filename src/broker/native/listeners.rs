//! The listeners at work, and how they become those of another configuration while clients stay.

use super::connection::Door;
use super::hub::Seat;
use super::listen::{self, Socket};
use super::wire::{Fault, LONGEST_CONNECT, reason};
use super::{Shared, serve};
use crate::broker::config::{Address, Config, Listener, Tls, Transport};
use crate::broker::{Bound, Reloaded, StartError};
use slab::Slab;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long the clients of a listener that closes may take to be told.
const LINGER: Duration = Duration::from_millis(500);

/// The listeners of a running broker, in the order of the configuration.
#[derive(Default)]
pub(super) struct Listeners {
    open: Vec<Open>,
}

/// One listener at work.
struct Open {
    config: Listener,
    /// What else its socket was made with.
    socket: Manner,
    bound: Bound,
    gate: Arc<Gate>,
    stop: watch::Sender<bool>,
    /// Its task, which holds those of its connections.
    task: JoinSet<()>,
}

/// What a socket is made with, beside what its table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    nodelay: bool,
    packet: usize,
}

/// What a listener's clients meet, and who of them is inside.
#[derive(Debug)]
pub(super) struct Gate {
    door: Mutex<Arc<Door>>,
    guests: Mutex<Slab<Seat>>,
}

/// One client's place among the guests, as long as it lives.
pub(super) struct Ticket {
    gate: Arc<Gate>,
    key: usize,
}

impl Gate {
    fn new(door: Door) -> Gate {
        Gate {
            door: Mutex::new(Arc::new(door)),
            guests: Mutex::default(),
        }
    }

    /// What the next client meets.
    pub(super) fn door(&self) -> Arc<Door> {
        locked(&self.door).clone()
    }

    /// How many clients are inside.
    pub(super) fn guests(&self) -> usize {
        locked(&self.guests).len()
    }

    /// One more.
    pub(super) fn enter(self: &Arc<Gate>, seat: Seat) -> Ticket {
        Ticket {
            gate: self.clone(),
            key: locked(&self.guests).insert(seat),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        locked(&self.gate.guests).try_remove(self.key);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Manner {
    fn of(config: &Config) -> Manner {
        Manner {
            nodelay: config.set_tcp_nodelay,
            packet: config.longest_packet(),
        }
    }

    /// Whether a socket of this manner serves a listener that asks for that one.
    fn serves(self, other: Manner, transport: Transport) -> bool {
        self.nodelay == other.nodelay && (transport == Transport::Tcp || self.packet == other.packet)
    }
}

fn door(config: &Config, name: &str, listener: &Listener) -> Door {
    Door {
        anonymous: config.anonymous_at(listener),
        users: config.has_users_at(listener),
        identity: listener.tls.as_ref().is_some_and(Tls::names_user),
        listener: name.into(),
        within: config.connect_timeout.0,
        most: listener.max_connections,
        packet: config.longest_packet(),
        reasons: config.reason_strings,
    }
}

async fn bind(listener: &Listener, manner: Manner) -> Result<Socket, StartError> {
    let mut socket = listen::bind(listener, manner.nodelay).await?;
    socket.limit(LONGEST_CONNECT, manner.packet);
    Ok(socket)
}

/// Whether both want the same socket: what else they say is the door's matter.
fn same_socket(one: &Listener, other: &Listener) -> bool {
    let mut one = one.clone();
    one.allow_anonymous = other.allow_anonymous;
    one.max_connections = other.max_connections;
    one.mount_point.clone_from(&other.mount_point);
    one.password_file.clone_from(&other.password_file);
    one.acl_file.clone_from(&other.acl_file);
    one == *other
}

/// Whether one may have to make way before the other can be bound.
fn collide(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => one.port() == other.port() && one.port() != 0,
        _ => one == other,
    }
}

impl Listeners {
    /// Binds all of them. Where one can't be, none is left.
    pub(super) async fn bind(config: &Config) -> Result<Vec<(String, Listener, Socket)>, StartError> {
        let mut sockets = Vec::new();
        for (name, listener) in config.named_listeners() {
            let socket = bind(&listener, Manner::of(config)).await?;
            sockets.push((name, listener, socket));
        }
        Ok(sockets)
    }

    /// Lets clients in.
    pub(super) fn open(
        config: &Config,
        sockets: Vec<(String, Listener, Socket)>,
        shared: &Arc<Shared>,
    ) -> Listeners {
        let open =
            |(name, listener, socket): (String, _, _)| Open::new(config, &name, listener, socket, shared);
        Listeners {
            open: sockets.into_iter().map(open).collect(),
        }
    }

    pub(super) fn bound(&self) -> Vec<Bound> {
        self.open.iter().map(|open| open.bound.clone()).collect()
    }

    /// Makes the listeners those of another configuration. Those that want the socket that they have keep it, and
    /// their clients. Where a new one can't be bound, all is as it was.
    pub(super) async fn become_those_of(
        &mut self,
        config: &Config,
        shared: &Arc<Shared>,
    ) -> Result<Reloaded, StartError> {
        let manner = Manner::of(config);
        let wanted = config.listeners();
        let mut leaving: Vec<Option<Open>> = self.open.drain(..).map(Some).collect();
        let mut places: Vec<Option<Open>> = wanted
            .iter()
            .map(|listener| {
                let serves = |open: &Open| {
                    same_socket(&open.config, listener) && open.socket.serves(manner, listener.transport)
                };
                let found = leaving.iter_mut().find(|open| open.as_ref().is_some_and(serves));
                found.and_then(Option::take)
            })
            .collect();
        let mut leaving: Vec<Open> = leaving.into_iter().flatten().collect();
        let bound = bind_missing(&wanted, &places, &mut leaving, manner, shared).await;
        let (sockets, closed) = match bound {
            Ok(done) => done,
            Err((error, closed)) => {
                // As it was: those that had to make way are opened again.
                let mut open: Vec<Open> = places.into_iter().flatten().chain(leaving).collect();
                for old in closed {
                    match bind(&old.config, old.socket).await {
                        Ok(socket) => open.push(Open::again(old, socket, shared)),
                        Err(error) => {
                            let error = crate::causes::Causes(&error);
                            tracing::error!(event = "listener-lost", address = %old.bound.address, %error, "a listener is lost");
                        }
                    }
                }
                self.open = open;
                return Err(error);
            }
        };
        let mut changes = Reloaded::default();
        for mut old in leaving {
            old.close(shared).await;
            changes.closed.push(old.bound);
        }
        changes.closed.extend(closed.into_iter().map(|old| old.bound));
        let mut sockets = sockets.into_iter();
        for (place, (name, listener)) in places.iter_mut().zip(config.named_listeners()) {
            match place {
                Some(open) => {
                    *locked(&open.gate.door) = Arc::new(door(config, &name, &listener));
                    open.config = listener;
                }
                None => {
                    let Some(socket) = sockets.next() else { break };
                    changes.opened.push(socket.bound().clone());
                    *place = Some(Open::new(config, &name, listener, socket, shared));
                }
            }
        }
        self.open = places.into_iter().flatten().collect();
        Ok(changes)
    }

    /// Waits until all connections have ended, which they have been told to; within a bound.
    pub(super) async fn stop(mut self) {
        for open in &self.open {
            open.stop.send_replace(true);
        }
        let all = async {
            for open in &mut self.open {
                while open.task.join_next().await.is_some() {}
            }
        };
        let _ = timeout(LINGER, all).await;
        for open in &mut self.open {
            open.task.shutdown().await;
        }
    }
}

/// The sockets of the listeners that have no place yet, and those that had to be closed for them.
type Sockets = (Vec<Socket>, Vec<Open>);

/// Binds what is missing; first what needs nobody to make way.
async fn bind_missing(
    wanted: &[Listener],
    places: &[Option<Open>],
    leaving: &mut Vec<Open>,
    manner: Manner,
    shared: &Arc<Shared>,
) -> Result<Sockets, (StartError, Vec<Open>)> {
    let missing: Vec<&Listener> = wanted
        .iter()
        .zip(places)
        .filter(|(_, place)| place.is_none())
        .map(|(listener, _)| listener)
        .collect();
    let mut sockets: Vec<Option<Socket>> = Vec::new();
    for listener in &missing {
        let in_the_way = leaving
            .iter()
            .any(|open| collide(&open.config.address, &listener.address));
        let socket = if in_the_way {
            listen::look(listener).map(|()| None)
        } else {
            bind(listener, manner).await.map(Some)
        };
        sockets.push(socket.map_err(|error| (error, Vec::new()))?);
    }
    let mut closed = Vec::new();
    for (socket, listener) in sockets.iter_mut().zip(&missing) {
        if socket.is_some() {
            continue;
        }
        while let Some(at) = leaving
            .iter()
            .position(|open| collide(&open.config.address, &listener.address))
        {
            let mut old = leaving.swap_remove(at);
            old.close(shared).await;
            closed.push(old);
        }
        match bind(listener, manner).await {
            Ok(bound) => *socket = Some(bound),
            Err(error) => return Err((error, closed)),
        }
    }
    Ok((sockets.into_iter().flatten().collect(), closed))
}

impl Open {
    fn new(config: &Config, name: &str, listener: Listener, socket: Socket, shared: &Arc<Shared>) -> Open {
        let gate = Arc::new(Gate::new(door(config, name, &listener)));
        Open::at_work(listener, Manner::of(config), gate, socket, shared)
    }

    /// The same once more, after it was closed.
    fn again(old: Open, socket: Socket, shared: &Arc<Shared>) -> Open {
        Open::at_work(old.config, old.socket, old.gate, socket, shared)
    }

    fn at_work(
        config: Listener,
        manner: Manner,
        gate: Arc<Gate>,
        socket: Socket,
        shared: &Arc<Shared>,
    ) -> Open {
        let (stop, stopped) = watch::channel(false);
        let bound = socket.bound().clone();
        let mut task = JoinSet::new();
        task.spawn(serve::listen(socket, gate.clone(), shared.clone(), stopped));
        Open {
            config,
            socket: manner,
            bound,
            gate,
            stop,
            task,
        }
    }

    /// Closes the socket and sends its clients away.
    async fn close(&mut self, shared: &Arc<Shared>) {
        self.stop.send_replace(true);
        {
            let now = Instant::now().into_std();
            let mut hub = shared.hub();
            let fault = Fault::new(reason::ADMINISTRATIVE_ACTION, "its listener is closed");
            for (_, seat) in locked(&self.gate.guests).iter() {
                hub.fail(*seat, fault, now);
            }
            hub.settle();
        }
        let ended = async { while self.task.join_next().await.is_some() {} };
        let _ = timeout(LINGER, ended).await;
        self.task.shutdown().await;
    }
}
