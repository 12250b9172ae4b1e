//! What the broker knows of one client, connected or not (MQTT 5 section 4.1).

use super::super::access::Grants;
use super::super::inbox::Inbox;
use super::super::message::{Message, Options, Who};
use super::super::wire::Will;
use super::ids::Ids;
use super::outlet::Outlet;
use crate::broker::Qos;
use crate::fold::Run;
use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// A session that never ends by time.
pub(super) const FOR_EVER: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: ByteString,
    /// As the rules know it.
    pub(super) who: Arc<Who>,
    pub(super) grants: Grants,
    /// How long it outlives its connection, in seconds.
    pub(super) expiry: u32,
    /// Its subscriptions, by their whole filters: with their groups, and below its mount point.
    pub(super) subscriptions: HashMap<ByteString, Box<Subscription>>,
    /// Messages that have not been sent yet.
    pub(super) queue: Queue,
    /// Messages on their way, in the order in which they were sent.
    pub(super) flights: VecDeque<Flight>,
    /// QoS 2 messages that have come and are not released yet, by their packet ids.
    pub(super) received: BTreeMap<u16, Arc<Message>>,
    /// Packet ids of messages that wait to be sent again: the client takes fewer at once than it did.
    pub(super) again: BTreeSet<NonZeroU16>,
    /// Retained messages that are still to be sent.
    pub(super) cursors: VecDeque<Cursor>,
    pub(super) will: Option<Box<Will>>,
    /// What the topics of its listener begin with inside.
    pub(super) mount: Option<ByteString>,
    /// Since when the client has been away.
    pub(super) away_since: Option<Instant>,
    /// When the will is to be published, and the session forgotten; while the client is away.
    pub(super) will_due: Option<Instant>,
    pub(super) forget_due: Option<Instant>,
    pub(super) endpoint: Endpoint,
    /// Publishers wait for it.
    pub(super) pressure: Pressure,
    /// It is over, but for its will, which is due later.
    pub(super) ghost: bool,
    /// Whether the client has said how long its session is to be kept.
    pub(super) expiry_said: bool,
    /// Whether the store knows of it.
    pub(super) stored: bool,
    pub(super) drops: Run,
    /// Packet ids of messages that wait, or are on their way.
    ids: Ids,
    last_id: u16,
    next_seq: u64,
}

/// More packet ids are never in use at once: what waits beyond has none yet.
const MOST_IDS: usize = 60_000;

/// For how many messages on their way a session with none keeps room.
const FEW_FLIGHTS: usize = 16;

/// Where a session's messages go.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// The client is away.
    Away,
    /// The session is over: only its place is held, until its subscriptions are all taken out.
    Over,
    /// To a client's connection.
    Net(Connection),
    /// To a part of this program.
    Local(Arc<Inbox>),
}

#[derive(Debug)]
pub(super) struct Connection {
    /// Tells this connection from those before it.
    pub(super) serial: u64,
    pub(super) outlet: Arc<Outlet>,
    /// How many messages may be on their way to it.
    pub(super) window: usize,
    /// The longest packet that it takes.
    pub(super) longest: usize,
    /// None where neither side may name topics by numbers, or has done so.
    pub(super) aliases: Option<Box<Aliases>>,
}

/// What topic aliases stand for on a connection (MQTT 5 section 3.3.2.3.4).
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// Topics that the client has named by a number.
    pub(super) theirs: Vec<Option<ByteString>>,
    /// Topics that we have named by a number, and how many we may.
    pub(super) ours: HashMap<ByteString, NonZeroU16>,
    pub(super) most: u16,
}

/// One of a session's subscriptions.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) options: Options,
    pub(super) group: Option<ByteString>,
    /// Without the group.
    pub(super) filter: ByteString,
}

/// A message that waits to be sent.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) message: Arc<Message>,
    /// With what it is to be delivered.
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: Vec<NonZeroU32>,
    /// Its packet id, given when it begins to wait; none with QoS 0.
    pub(super) id: Option<NonZeroU16>,
    /// Its number in the session, by which the store knows it.
    pub(super) seq: u64,
    /// The filter and group of a shared subscription: another member may take it over.
    pub(super) share: Option<Arc<Share>>,
}

/// Which shared subscription a message came by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) group: ByteString,
    pub(super) filter: ByteString,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: NonZeroU16,
    /// Whether its PUBREC has come: what is still to be acknowledged is our PUBREL.
    pub(super) released: bool,
    pub(super) qos: Qos,
    pub(super) seq: u64,
    /// To send it again; not kept where nobody could ask for it.
    pub(super) waiting: Option<Waiting>,
}

/// Where the sending of retained messages has got to.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) filter: ByteString,
    pub(super) options: Options,
    pub(super) after: Option<ByteString>,
}

/// How a session that can't keep up holds publishers back.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Since when it has been behind.
    pub(super) since: Option<Instant>,
    /// It has been behind for too long: nobody waits for it until it has caught up.
    pub(super) slow: bool,
    /// Those who wait.
    pub(super) waiting: Vec<Waker>,
}

impl Pressure {
    /// Whether publishers are to wait.
    pub(super) fn holds(&self) -> bool {
        self.since.is_some() && !self.slow
    }

    pub(super) fn release(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

/// Messages in order, and how much they are.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Waiting>,
    bytes: usize,
    /// How many have QoS 0: they pass those that wait for acknowledgements, never one another.
    zeros: usize,
}

impl Queue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.size();
        self.zeros += usize::from(waiting.qos == Qos::AtMostOnce);
        self.messages.push_back(waiting);
    }

    /// In front of all others.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        self.bytes += waiting.size();
        self.zeros += usize::from(waiting.qos == Qos::AtMostOnce);
        self.messages.push_front(waiting);
    }

    pub(super) fn front(&self) -> Option<&Waiting> {
        self.messages.front()
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.messages.pop_front()?;
        self.took(&waiting);
        Some(waiting)
    }

    /// Takes out the first with QoS 0.
    pub(super) fn pop_zero(&mut self) -> Option<Waiting> {
        if self.zeros == 0 {
            return None;
        }
        let at = self
            .messages
            .iter()
            .position(|waiting| waiting.qos == Qos::AtMostOnce)?;
        let waiting = self.messages.remove(at)?;
        self.took(&waiting);
        Some(waiting)
    }

    fn took(&mut self, waiting: &Waiting) {
        self.bytes -= waiting.size();
        self.zeros -= usize::from(waiting.qos == Qos::AtMostOnce);
        if self.messages.is_empty() && self.messages.capacity() > 64 {
            self.messages.shrink_to(16);
        }
    }

    /// Takes out all that `gone` says.
    pub(super) fn remove(&mut self, mut gone: impl FnMut(&Waiting) -> bool) {
        let (bytes, zeros) = (&mut self.bytes, &mut self.zeros);
        self.messages.retain(|waiting| {
            let goes = gone(waiting);
            if goes {
                *bytes -= waiting.size();
                *zeros -= usize::from(waiting.qos == Qos::AtMostOnce);
            }
            !goes
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.messages.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn zeros(&self) -> usize {
        self.zeros
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl Waiting {
    /// What it takes, roughly: the message may be shared with other queues.
    pub(super) fn size(&self) -> usize {
        64 + self.message.topic.len() + self.message.payload.len()
    }
}

impl Session {
    pub(super) fn new(client: ByteString, endpoint: Endpoint) -> Session {
        let who = Who {
            client: client.clone(),
            ..Who::default()
        };
        Session {
            client,
            who: Arc::new(who),
            grants: Grants::default(),
            expiry: 0,
            subscriptions: HashMap::new(),
            queue: Queue::default(),
            flights: VecDeque::new(),
            received: BTreeMap::new(),
            again: BTreeSet::new(),
            cursors: VecDeque::new(),
            will: None,
            mount: None,
            away_since: None,
            will_due: None,
            forget_due: None,
            endpoint,
            pressure: Pressure::default(),
            ghost: false,
            expiry_said: true,
            stored: false,
            drops: Run::default(),
            ids: Ids::default(),
            last_id: 0,
            next_seq: 0,
        }
    }

    /// One of which nothing is left but its place.
    pub(super) fn over() -> Session {
        Session::new(ByteString::new(), Endpoint::Over)
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        match &self.endpoint {
            Endpoint::Net(connection) => Some(connection),
            _ => None,
        }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.endpoint {
            Endpoint::Net(connection) => Some(connection),
            _ => None,
        }
    }

    /// A topic as the client knows it.
    pub(super) fn below_mount<'a>(&self, topic: &'a str) -> &'a str {
        match &self.mount {
            Some(mount) => topic.strip_prefix(&**mount).unwrap_or(topic),
            None => topic,
        }
    }

    /// How long its mount point is, where a filter begins with a wildcard behind it.
    pub(super) fn wild_below(&self, filter: &str) -> Option<NonZeroU16> {
        let mount = self.mount.as_ref()?;
        let below = filter.strip_prefix(&**mount)?;
        let length = u16::try_from(mount.len()).ok().and_then(NonZeroU16::new)?;
        below.starts_with(['+', '#']).then_some(length)
    }

    /// The whole filter of a subscription: its group, and the mount point before what the client wrote.
    pub(super) fn mounted(&self, group: &Option<ByteString>, filter: &ByteString) -> ByteString {
        let mount = self.mount.as_deref().unwrap_or_default();
        match group {
            Some(group) => format!("$share/{group}/{mount}{filter}").into(),
            None if mount.is_empty() => filter.clone(),
            None => format!("{mount}{filter}").into(),
        }
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.endpoint, Endpoint::Away | Endpoint::Over)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.endpoint, Endpoint::Over)
    }

    /// A packet id that is not in use, if not too many are.
    pub(super) fn free_id(&mut self) -> Option<NonZeroU16> {
        if self.ids.len() >= MOST_IDS {
            return None;
        }
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.ids.insert(self.last_id) {
                return NonZeroU16::new(self.last_id);
            }
        }
    }

    /// The packet id that was given last; 0 if none was.
    pub(super) fn last_id(&self) -> u16 {
        self.last_id
    }

    /// Numbers go on behind this packet id.
    pub(super) fn ids_from(&mut self, last: u16) {
        self.last_id = last;
    }

    /// This packet id is in use: numbers go on behind it, if it is a later one. They begin anew behind 65,535.
    pub(super) fn uses_id(&mut self, id: NonZeroU16) {
        self.ids.insert(id.get());
        if id.get().wrapping_sub(self.last_id) < 0x8000 {
            self.last_id = id.get();
        }
    }

    /// A packet id is free again.
    pub(super) fn frees_id(&mut self, id: Option<NonZeroU16>) {
        if let Some(id) = id {
            self.take_again(id);
            self.ids.remove(id.get());
        }
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn ids_in_use(&self) -> BTreeSet<u16> {
        self.ids.iter().collect()
    }

    /// Whether a message with this packet id is to be sent again; it is not any more.
    pub(super) fn take_again(&mut self, id: NonZeroU16) -> bool {
        !self.again.is_empty() && self.again.remove(&id)
    }

    pub(super) fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Numbers go on behind this one.
    pub(super) fn seq_from(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq);
    }

    /// The place of the message on its way with this packet id.
    pub(super) fn flight(&self, id: NonZeroU16) -> Option<usize> {
        let first = self.flights.front()?.id.get();
        // Most are in the order of their ids, with gaps where some have landed: it is there, or not far before.
        let there = usize::from(id.get().wrapping_sub(first)).min(self.flights.len() - 1);
        let is = |flight: &Flight| flight.id == id;
        let before = self.flights.range(..=there).rposition(is);
        before.or_else(|| Some(there + 1 + self.flights.range(there + 1..).position(is)?))
    }

    /// Takes out a message that is on its way no more.
    pub(super) fn landed(&mut self, at: usize) -> Option<Flight> {
        let flight = self.flights.remove(at)?;
        self.frees_id(Some(flight.id));
        if self.flights.is_empty() && self.flights.capacity() > FEW_FLIGHTS {
            self.flights.shrink_to(FEW_FLIGHTS);
        }
        Some(flight)
    }
}
