//! A link: our publishes into the router's buffer, the router's notifications into our queue.
//!
//! How the crate wants it, tried: a packet lies in the link's buffer, and one `DeviceData` event in the
//! router's channel makes it take the whole buffer. So a publish into a buffer that is not empty costs no
//! event and no wake. The channel is bounded, and the crate's own sends block the thread when it is full;
//! the `try_` ones leave the packet in the buffer and hand the event back, which the pump then sends.
//!
//! Publishing is at QoS 0 whatever was asked for: nothing gets lost between two buffers in one process, and
//! rumqttd delivers at the subscription's QoS, not at the lesser of the two. Subscribing is at QoS 0 for the
//! same reason: the publisher's client has its acknowledgement from the router, and the pump never sleeps on
//! what has come. Only a queue that nobody empties loses, the oldest first, and counts it.

use super::super::{Died, LinkError, Message, PublishError, Qos, Refused};
use super::lag::LAG;
use super::{Links, locked};
use crate::topic::{Filter, Topic};
use ::rumqttd::Notification;
use ::rumqttd::local::{LinkError as Refusal, LinkRx, LinkTx};
use ::rumqttd::protocol;
use protocol::{Disconnect, DisconnectReasonCode, Packet, PingReq, Publish, RetainForwardRule};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc, watch};

/// Messages that may wait in the router's buffer for one link. Below the 200 that the crate preallocates;
/// `limits` in `mod.rs` says what else hangs on it.
pub(super) const WINDOW: usize = 128;

/// Bytes that may wait there, for large messages: a burst of small ones.
const WINDOW_BYTES: usize = 8 * 1024;

/// Errands to the pump: one event that is owed, and each half's leave. There are never more than these.
const ERRANDS: usize = 3;

/// The crate's two ends of a link.
pub(super) struct Ends {
    pub(super) tx: LinkTx,
    pub(super) rx: LinkRx,
}

/// Sends the event that a full channel handed back, when there is room; says whether the router was there.
pub(super) type Resend = Arc<dyn Fn(Refusal) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// What the halves of a link ask of its pump.
enum Errand {
    /// This event must still reach the router.
    Owed(Box<Refusal>),
    /// The publisher is gone; here is its end, to say good-bye with.
    Silent(LinkTx),
    /// The subscriber is gone.
    Deaf,
}

/// How our client ids begin.
pub(super) const PREFIX: &str = "mqttyd.";

/// A client id that no client of the network can guess: who takes the id takes the connection.
pub(super) fn id(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!(
        "mqttyd.{name}.{:016x}",
        RandomState::new().build_hasher().finish()
    )
}

/// What rumqttd would never deliver. It even dies of a topic whose first character is not ASCII.
fn undeliverable(text: &[u8]) -> Option<&'static str> {
    match text.first() {
        Some(b'$') => Some("topics that begin with '$' are the broker's own and never delivered"),
        Some(first) if !first.is_ascii() => Some("its first character must be ASCII for this broker"),
        _ => None,
    }
}

pub(super) fn check(filters: &[(Filter, Qos)]) -> Result<(), LinkError> {
    for (filter, _) in filters {
        if let Some(why) = undeliverable(filter.as_str().as_bytes()) {
            return Err(LinkError::Filter {
                filter: filter.clone(),
                why,
            });
        }
    }
    Ok(())
}

/// Joins the crate's ends to halves of ours; the future must be kept running.
pub(super) fn join(
    ends: Ends,
    links: &Links,
    filters: &[(Filter, Qos)],
    depth: usize,
) -> (Publisher, Subscriber, impl Future<Output = ()> + Send + use<>) {
    let (errands, list) = mpsc::channel(ERRANDS);
    let (answers, answered) = watch::channel(0);
    let inbox = Arc::new(Inbox::new(depth));
    let dead = Arc::new(AtomicBool::new(false));
    let publisher = Publisher {
        tx: Some(ends.tx),
        slack: links.slack,
        asked: 0,
        answered,
        errands: errands.clone(),
        dead: dead.clone(),
    };
    let subscriber = Subscriber {
        inbox: inbox.clone(),
        errands,
    };
    let pump = Pump {
        rx: ends.rx,
        filters: filters.to_vec(),
        list,
        resend: links.resend.clone(),
        answers,
        inbox,
        dead,
        death: links.death.clone(),
    };
    (publisher, subscriber, pump.run())
}

/// The publishing half.
pub(in super::super) struct Publisher {
    /// Here until this half is dropped.
    tx: Option<LinkTx>,
    slack: u64,
    /// Pings sent, and answers that have come.
    asked: u64,
    answered: watch::Receiver<u64>,
    errands: mpsc::Sender<Errand>,
    dead: Arc<AtomicBool>,
}

impl Publisher {
    pub(in super::super) fn offer(&mut self, message: Message) -> Result<(), Refused> {
        let topic = message.topic.bytes();
        if let Some(why) = undeliverable(&topic) {
            return Err(Refused::Topic {
                topic: message.topic,
                why,
            });
        }
        if self.dead.load(Ordering::Relaxed) {
            return Err(Refused::Dead(Died::Cut));
        }
        // As the crate counts it.
        let size = 4 + topic.len() + message.payload.len();
        let window = self.window(size);
        let tx = self
            .tx
            .as_mut()
            .expect("a publisher has its end until it is dropped");
        let waiting = tx.buffer().len();
        if waiting >= window || LAG.over(self.slack) {
            return Err(Refused::Full(message));
        }
        LAG.count(size);
        if waiting == 0 && !message.retain {
            return match tx.try_publish(topic, message.payload) {
                Ok(_) => Ok(()),
                Err(refusal) => self.owe(refusal).map_err(Refused::Dead),
            };
        }
        let publish = Publish::new(topic, message.payload, message.retain);
        self.push(Packet::Publish(publish, None)).map_err(Refused::Dead)
    }

    /// How many messages of this size may wait: together they are a small part of what the logs keep.
    fn window(&self, size: usize) -> usize {
        let bytes = usize::try_from(self.slack / 16).map_or(WINDOW_BYTES, |part| part.min(WINDOW_BYTES));
        (bytes / size).clamp(1, WINDOW)
    }

    pub(in super::super) async fn publish(&mut self, message: Message) -> Result<(), PublishError> {
        let mut message = message;
        loop {
            match self.offer(message) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(back)) => message = back,
                Err(Refused::Topic { topic, why }) => return Err(PublishError::Topic { topic, why }),
                Err(Refused::Dead(died)) => return Err(PublishError::Dead(died)),
            }
            if LAG.over(self.slack) {
                LAG.wait(self.slack).await;
            } else {
                self.answer().await?;
            }
        }
    }

    pub(in super::super) async fn flush(&mut self) -> Result<(), Died> {
        if self.pending() {
            self.answer().await?;
        }
        self.answer().await
    }

    pub(in super::super) fn depth(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| tx.buffer().len())
    }

    /// Subscribes, and returns when the router has done so.
    pub(super) async fn subscribe(&mut self, filters: &[(Filter, Qos)]) -> Result<(), Died> {
        if !filters.is_empty() {
            let filters = filters
                .iter()
                .map(|(filter, _)| protocol::Filter {
                    path: filter.as_str().to_owned(),
                    qos: protocol::QoS::AtMostOnce,
                    nolocal: false,
                    preserve_retain: false,
                    retain_forward_rule: RetainForwardRule::OnEverySubscribe,
                })
                .collect();
            self.push(Packet::Subscribe(protocol::Subscribe { pkid: 1, filters }, None))?;
        }
        self.flush().await
    }

    /// Whether a ping is on its way.
    fn pending(&self) -> bool {
        *self.answered.borrow() < self.asked
    }

    /// Waits until the router has taken what was in the buffer: a ping goes behind it and comes back. One that
    /// a cancelled wait has left on its way serves as well.
    async fn answer(&mut self) -> Result<(), Died> {
        if !self.pending() {
            self.push(Packet::PingReq(PingReq))?;
            self.asked += 1;
        }
        let asked = self.asked;
        match self.answered.wait_for(|answers| *answers >= asked).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Died::Cut),
        }
    }

    /// Lays a packet into the buffer. Only `try_publish`, `try_subscribe` and `try_unsubscribe` send the event
    /// without blocking; an unsubscription from nothing is the one that does nothing.
    fn push(&mut self, packet: Packet) -> Result<(), Died> {
        let tx = self
            .tx
            .as_mut()
            .expect("a publisher has its end until it is dropped");
        let sleeping = {
            let mut buffer = tx.buffer();
            buffer.push_back(packet);
            buffer.len() == 1
        };
        if !sleeping {
            return Ok(());
        }
        match tx.try_unsubscribe(String::new()) {
            Ok(_) => Ok(()),
            Err(refusal) => self.owe(refusal),
        }
    }

    /// The packet is in the buffer, but its event found the channel full: the pump sends it later.
    #[cold]
    fn owe(&mut self, refusal: Refusal) -> Result<(), Died> {
        self.errands
            .try_send(Errand::Owed(Box::new(refusal)))
            .map_err(|_| Died::Cut)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take() {
            let _ = self.errands.try_send(Errand::Silent(tx));
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

/// The receiving half.
pub(in super::super) struct Subscriber {
    inbox: Arc<Inbox>,
    errands: mpsc::Sender<Errand>,
}

impl Subscriber {
    pub(in super::super) async fn next(&mut self) -> Result<Message, Died> {
        loop {
            {
                let mut queue = locked(&self.inbox.queue);
                if let Some(message) = queue.messages.pop_front() {
                    return Ok(message);
                }
                if queue.closed {
                    return Err(Died::Cut);
                }
            }
            // A notification between the look and the wait is kept for us.
            self.inbox.arrived.notified().await;
        }
    }

    pub(in super::super) fn dropped(&self) -> u64 {
        locked(&self.inbox.queue).dropped
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.errands.try_send(Errand::Deaf);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// What has come and nobody has taken yet.
struct Inbox {
    depth: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    dropped: u64,
    closed: bool,
}

impl Inbox {
    fn new(depth: usize) -> Inbox {
        Inbox {
            depth: depth.max(1),
            queue: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn push(&self, message: Message) {
        let mut queue = locked(&self.queue);
        if queue.messages.len() >= self.depth {
            queue.messages.pop_front();
            queue.dropped += 1;
        }
        queue.messages.push_back(message);
        drop(queue);
        self.arrived.notify_one();
    }

    fn close(&self) {
        locked(&self.queue).closed = true;
        self.arrived.notify_one();
    }
}

/// The task behind a link. It sleeps until the router or one of the halves wants something.
struct Pump {
    rx: LinkRx,
    filters: Vec<(Filter, Qos)>,
    list: mpsc::Receiver<Errand>,
    resend: Resend,
    answers: watch::Sender<u64>,
    inbox: Arc<Inbox>,
    dead: Arc<AtomicBool>,
    death: Arc<watch::Sender<Option<Died>>>,
}

impl Pump {
    async fn run(mut self) {
        let (mut silent, mut deaf) = (None, false);
        loop {
            // Both arms take from a queue when they complete and nothing when they are cancelled.
            tokio::select! {
                biased;
                Some(errand) = self.list.recv() => match errand {
                    Errand::Owed(event) => if !(self.resend)(*event).await {
                        break;
                    },
                    Errand::Silent(tx) => silent = Some(tx),
                    Errand::Deaf => deaf = true,
                },
                notification = self.rx.next() => match notification {
                    Ok(Some(Notification::Unschedule)) => if self.rx.wake().await.is_err() {
                        break;
                    },
                    Ok(Some(notification)) => self.take(notification, deaf),
                    Ok(None) => {}
                    Err(_) => break,
                },
            }
            if deaf && let Some(tx) = silent.take() {
                return self.leave(tx).await;
            }
        }
        self.dead.store(true, Ordering::Relaxed);
        self.inbox.close();
        self.death.send_if_modified(|died| {
            let first = died.is_none();
            died.get_or_insert(Died::Cut);
            first
        });
    }

    fn take(&self, notification: Notification, deaf: bool) {
        match notification {
            Notification::Forward(forward) if !deaf => {
                // A live message has lost its flag when it comes here; one that was kept has no cursor either.
                let Publish {
                    topic,
                    payload,
                    retain,
                    ..
                } = forward.publish;
                let topic = std::str::from_utf8(&topic)
                    .ok()
                    .and_then(|text| Topic::parse(text).ok());
                if let Some(topic) = topic {
                    let asked = self.filters.iter().filter(|(filter, _)| filter.matches(&topic));
                    let qos = asked.map(|(_, qos)| *qos).max().unwrap_or_default();
                    self.inbox.push(Message {
                        topic,
                        payload,
                        qos,
                        retain,
                        beside: None,
                    });
                }
            }
            Notification::DeviceAck(_) => {
                if let Some(Packet::PingResp(_)) = Option::<Packet>::from(notification) {
                    self.answers.send_modify(|answers| *answers += 1);
                }
            }
            _ => {}
        }
    }

    /// Says good-bye when both halves are gone, so that the router forgets the link. The router is never
    /// woken after that: it would die of it.
    async fn leave(mut self, mut tx: LinkTx) {
        let disconnect = Disconnect {
            reason_code: DisconnectReasonCode::NormalDisconnection,
        };
        let awake = {
            let mut buffer = tx.buffer();
            buffer.push_back(Packet::Disconnect(disconnect, None));
            buffer.len() > 1
        };
        if !awake && let Err(refusal) = tx.try_unsubscribe(String::new()) {
            (self.resend)(refusal).await;
        }
        while self.rx.next().await.is_ok() {}
    }
}
