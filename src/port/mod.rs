//! One serial port's life: find it, open it, run it both ways; when it is gone, wait until it is back.
//!
//! A port is one task that owns its device, its decoder, its queue and its link to the broker. It waits in one
//! place (`Port::event`) for whatever comes first, so nothing that is slow holds up the rest: while the broker
//! is behind, reading pauses and commands go on; while the device takes no bytes, frames go on.

mod backoff;
pub mod config;
mod counters;
mod down;
mod outbox;
mod up;

pub use config::Config;

use crate::broker::{Message, Publisher, Qos, Refused as Unaccepted, Subscriber};
use crate::causes::Causes;
use crate::check::{self, Check};
use crate::control::{Direction, Event as Seen, Tap, Verdict};
use crate::fold::Run;
use crate::frame::{self, Decoder, Framing, Item};
use crate::serial::{self, Finder, OpenError};
use crate::topic::{Filter, Topic};
use backoff::Backoff;
use bytes::Bytes;
use counters::Counters;
use down::Downlink;
use outbox::{Next, Outbox, Queued};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;
use tracing::{debug, error, info, warn};
use up::Uplink;

/// How long a stopping port may take to end the frame in hand and to hand over what it holds.
const FINISH: Duration = Duration::from_millis(800);
/// A port that ends sooner, without a byte, has not really been open.
const SHORT: Duration = Duration::from_millis(100);

/// Why a port can't be made of its configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The framing's options don't fit together.
    #[error("port {0}: {1}")]
    Frame(String, #[source] frame::Error),
    /// The check's options don't fit together.
    #[error("port {0}: {1}")]
    Check(String, #[source] check::Error),
}

/// What the gateway asks of a port.
#[derive(Debug)]
pub enum Order {
    /// Say that you are alive.
    Answer(oneshot::Sender<()>),
    /// Finish the frame in hand and end.
    Stop,
}

/// What a port is given to work with.
pub struct Parts {
    /// Where its messages go.
    pub publisher: Publisher,
    /// Where its commands come from; none when it has no command entries.
    pub subscriber: Option<Subscriber>,
    /// Those who watch.
    pub tap: Tap,
    /// Ticks when device nodes have come or gone.
    pub changes: watch::Receiver<u64>,
    /// What the gateway asks.
    pub orders: mpsc::Receiver<Order>,
    /// The topic of its state.
    pub state: Topic,
    /// The topic of its counters.
    pub counters: Topic,
    /// The counters are published at most so often.
    pub counters_every: Duration,
}

/// One port, as a task to be run.
pub struct Port {
    name: Arc<str>,
    serial: serial::Config,
    finder: Finder,
    decoder: Decoder,
    check: Option<Check>,
    uplink: Uplink,
    downlink: Downlink,
    outbox: Outbox,
    parts: Parts,
    /// Messages that the broker had no room for yet, in order. While there are any, nothing is read.
    held: VecDeque<Message>,
    /// When the bytes in the decoder were read.
    stamp: SystemTime,
    /// The state that was published last.
    state: &'static str,
    opened_at: Instant,
    /// Bytes since the port was opened.
    received: u64,
    /// The port opens and fails at once, again and again: that has been said, and is not said again.
    quiet: bool,
    counters: Counters,
    counters_due: Option<Instant>,
    counters_said: Option<Instant>,
    damaged: Run,
    unpublished: Run,
    dropped: Run,
    timer: Pin<Box<Sleep>>,
}

/// What a port waits for.
enum Event {
    Order(Option<Order>),
    Changed,
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Message(Option<Message>),
    Handed,
    Time,
}

/// What came of looking for the device.
enum Attempt {
    Open(serial::Port),
    /// There is no such device now.
    Absent(String),
    /// There is one, and it can't be used now.
    Refused {
        state: &'static str,
        why: String,
    },
}

/// How a time with an open port ended.
enum End {
    Stopped,
    Lost(String),
}

/// How a time without a port ended.
#[derive(PartialEq)]
enum Pause {
    Again,
    Stopped,
}

/// What the broker is asked for on behalf of a port.
pub fn subscriptions(config: &Config) -> Vec<(Filter, Qos)> {
    down::subscriptions(&config.command)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Port {
    /// A port as the configuration says.
    pub fn new(config: &Config, parts: Parts) -> Result<Port, Error> {
        let name: Arc<str> = config.name.as_str().into();
        let serial = config.serial();
        let char_time = serial.char_time();
        let framing: Framing = config
            .frame
            .build(char_time)
            .map_err(|error| Error::Frame(name.to_string(), error))?;
        let check = match &config.check {
            Some(check) => Some(
                check
                    .build()
                    .map_err(|error| Error::Check(name.to_string(), error))?,
            ),
            None => None,
        };
        Ok(Port {
            decoder: framing.decoder(),
            uplink: Uplink::new(name.clone(), &config.publish),
            outbox: Outbox::new(down::policies(&config.command), char_time),
            downlink: Downlink::new(&config.command, framing, check.clone()),
            name,
            serial,
            finder: Finder::default(),
            check,
            parts,
            held: VecDeque::new(),
            stamp: SystemTime::UNIX_EPOCH,
            state: "",
            opened_at: now(),
            received: 0,
            quiet: false,
            counters: Counters::default(),
            counters_due: None,
            counters_said: None,
            damaged: Run::default(),
            unpublished: Run::default(),
            dropped: Run::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// Lives until it is told to stop, or the gateway is gone.
    pub async fn run(mut self) {
        let seed = self.name.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed: u64, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut backoff = Backoff::new(seed);
        loop {
            // Before looking: what changes from here on brings us back at once.
            self.parts.changes.borrow_and_update();
            let wait = match self.attempt().await {
                Attempt::Open(line) => {
                    self.opened(line.line());
                    match self.session(line).await {
                        End::Stopped => break,
                        End::Lost(why) => self.lost(&why),
                    }
                    if self.quiet {
                        Some(backoff.wait())
                    } else {
                        backoff.reset();
                        // At once: where the node is still there, opening it tells what has happened.
                        Some(Duration::ZERO)
                    }
                }
                Attempt::Absent(why) => {
                    if self.state.is_empty() {
                        info!(port = %self.name, "waiting for the port: {why}");
                    }
                    self.enter("waiting");
                    None
                }
                Attempt::Refused { state, why } => {
                    if self.state != state {
                        warn!(port = %self.name, "can't open the port, trying on: {why}");
                    }
                    self.enter(state);
                    Some(backoff.wait())
                }
            };
            if self.pause(wait.map(|wait| now() + wait)).await == Pause::Stopped {
                break;
            }
        }
        self.enter("closed");
        self.hand_over().await;
    }

    /// Looks for the device and opens it.
    async fn attempt(&self) -> Attempt {
        let path = match self.finder.find(&self.serial) {
            Ok(path) => path,
            Err(error) => return Attempt::Absent(Causes(&error).to_string()),
        };
        match serial::open(&path, &self.serial).await {
            Ok(line) => Attempt::Open(line),
            Err(error) => {
                let why = Causes(&error).to_string();
                match error {
                    OpenError::NotThere { .. } => Attempt::Absent(why),
                    OpenError::Busy { .. } => Attempt::Refused { state: "busy", why },
                    _ => Attempt::Refused {
                        state: "failing",
                        why,
                    },
                }
            }
        }
    }

    fn opened(&mut self, line: &serial::Line) {
        self.counters.opened += 1;
        self.opened_at = now();
        for note in &line.notes {
            debug!(port = %self.name, path = %line.path.display(), "{note}");
        }
        if !self.quiet {
            info!(port = %self.name, path = %line.path.display(), baud = line.baud, "port open");
            self.enter("open");
        }
    }

    fn lost(&mut self, why: &str) {
        if self.decoder.reset() > 0 {
            self.counters.damage("cut-off");
        }
        if let Some(queued) = self.outbox.abandon() {
            self.drop_command(
                "cut-off",
                &queued.topic,
                "the port went while it was being written",
            );
        }
        // A node without hardware behind it opens, and fails at the first read: say so once.
        let failing = self.received == 0 && now() - self.opened_at < SHORT;
        if !self.quiet {
            if failing {
                warn!(port = %self.name, "the port fails right after opening, trying on: {why}");
            } else {
                warn!(port = %self.name, "port gone, waiting for its return: {why}");
            }
            self.enter(if failing { "failing" } else { "waiting" });
        }
        self.quiet = failing;
    }

    /// Runs an open port both ways.
    async fn session(&mut self, mut line: serial::Port) -> End {
        self.received = 0;
        loop {
            self.decode();
            let settled = self.quiet.then(|| self.opened_at + SHORT);
            match self.event(Some(&mut line), true, settled).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Order(Some(Order::Stop) | None) => {
                    self.finish(line).await;
                    return End::Stopped;
                }
                Event::Read(Ok(0)) => return End::Lost("the line hung up".into()),
                Event::Read(Ok(count)) => {
                    self.counters.bytes_in += count as u64;
                    self.received += count as u64;
                    self.stamp = SystemTime::now();
                    self.decoder.filled(count, now());
                    self.changed();
                }
                Event::Wrote(Ok(count)) => self.wrote(count),
                Event::Read(Err(error)) | Event::Wrote(Err(error)) => return End::Lost(error.to_string()),
                Event::Message(Some(message)) => self.command(&message),
                Event::Message(None) => self.parts.subscriber = None,
                Event::Time => {
                    self.decoder.expire(now());
                    self.housekeeping();
                    if self.quiet && now() - self.opened_at >= SHORT {
                        self.quiet = false;
                        info!(port = %self.name, "port open, and it stays");
                        self.enter("open");
                    }
                }
                Event::Changed | Event::Handed => {}
            }
        }
    }

    /// Waits without a port: for a change in /dev, for the time to try again, or for the end.
    async fn pause(&mut self, until: Option<Instant>) -> Pause {
        loop {
            match self.event(None, false, until).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Order(Some(Order::Stop) | None) => return Pause::Stopped,
                Event::Changed => return Pause::Again,
                Event::Time => {
                    self.housekeeping();
                    if until.is_some_and(|until| until <= now()) {
                        return Pause::Again;
                    }
                }
                Event::Message(Some(message)) => self.command(&message),
                Event::Message(None) => self.parts.subscriber = None,
                Event::Handed | Event::Read(_) | Event::Wrote(_) => {}
            }
        }
    }

    /// Ends the frame that is half on the line and hands over what was read, within a bound.
    async fn finish(&mut self, mut line: serial::Port) {
        let until = now() + FINISH;
        while let Some(queued) = self.outbox.pop() {
            self.drop_command("stopped", &queued.topic, "the gateway stops");
        }
        loop {
            self.decode();
            if self.held.is_empty() && !self.outbox.is_writing() || now() >= until {
                break;
            }
            match self.event(Some(&mut line), false, Some(until)).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Wrote(Ok(count)) => self.wrote(count),
                Event::Wrote(Err(error)) => {
                    debug!(port = %self.name, error = %error, "the last frame could not be finished");
                    return;
                }
                _ => {}
            }
        }
        // Closing throws away what the kernel still holds.
        line.drained(until.saturating_duration_since(now())).await;
    }

    /// Gives the broker what is still held, within a bound.
    async fn hand_over(&mut self) {
        let until = now() + FINISH;
        self.publish_counters();
        while !self.held.is_empty() && now() < until {
            self.event(None, false, Some(until)).await;
        }
    }

    /// The one place where a port waits. Every arm is cancel-safe: the two channels and the subscriber by
    /// their own contracts, `publish` because it publishes nothing when it is dropped before its end, reading
    /// and writing because they are single system calls whose result is returned at once.
    async fn event(&mut self, line: Option<&mut serial::Port>, read: bool, until: Option<Instant>) -> Event {
        let deadline = [
            until,
            if line.is_some() {
                self.decoder.deadline()
            } else {
                None
            },
            if line.is_some() {
                self.outbox.quiet(now())
            } else {
                None
            },
            self.outbox.expiry(),
            self.counters_due,
        ]
        .into_iter()
        .flatten()
        .min();
        if let Some(deadline) = deadline {
            let deadline = tokio::time::Instant::from_std(deadline);
            // A timer that rings too early costs one round; setting it for each frame would cost more.
            if self.timer.is_elapsed() || self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
        }
        let read = read && self.held.is_empty();
        let Port {
            parts,
            held,
            decoder,
            outbox,
            timer,
            ..
        } = self;
        let Parts {
            publisher,
            subscriber,
            changes,
            orders,
            ..
        } = parts;
        let mut line = line;
        tokio::select! {
            order = orders.recv() => Event::Order(order),
            event = poll_fn(|cx| match &mut line {
                Some(line) => poll_line(cx, line, decoder, outbox, read),
                None => Poll::Pending,
            }) => event,
            message = next_message(subscriber) => Event::Message(message),
            () = hand(publisher, held) => Event::Handed,
            Ok(()) = changes.changed() => Event::Changed,
            () = timer.as_mut(), if deadline.is_some() => Event::Time,
        }
    }

    /// Takes the frames out of the decoder, until it has no more or the broker has no more room.
    fn decode(&mut self) {
        let Port {
            name,
            decoder,
            check,
            uplink,
            parts,
            held,
            counters,
            stamp,
            damaged,
            unpublished,
            ..
        } = self;
        while held.is_empty() {
            let Some(item) = decoder.next(&*check) else { return };
            match item {
                Item::Frame(frame) => {
                    counters.frames += 1;
                    let entries = uplink.messages(frame, *stamp, |message| {
                        let fault = match message {
                            Ok(message) => match offer(&mut parts.publisher, held, message) {
                                Offered::Refused(why) => why,
                                taken => {
                                    counters.published += 1;
                                    counters.held_back += u64::from(matches!(taken, Offered::Held));
                                    if let Some(count) = unpublished.good() {
                                        info!(port = %name, count, "frames are published again");
                                    }
                                    return;
                                }
                            },
                            Err(error) => error.to_string(),
                        };
                        counters.unpublished += 1;
                        if let Some(count) = unpublished.fault(now()) {
                            warn!(port = %name, count, "a frame could not be published: {fault}");
                        }
                    });
                    if parts.tap.watched() {
                        let verdict = if entries > 0 {
                            Verdict::Published
                        } else {
                            Verdict::Skipped
                        };
                        see(&parts.tap, name, *stamp, Direction::Up, frame, verdict);
                    }
                    if let Some(count) = damaged.good() {
                        info!(port = %name, count, "good frames again");
                    }
                }
                Item::Damaged { why, bytes } => {
                    counters.damage(why.name());
                    debug!(port = %name, reason = why.name(), bytes = %bytes.escape_ascii(), "damaged frame");
                    if let Some(count) = damaged.fault(now()) {
                        warn!(
                            port = %name, count, reason = why.name(),
                            "damaged frame, dropped: {why} ({} bytes)", bytes.len()
                        );
                    }
                    if parts.tap.watched() {
                        see(
                            &parts.tap,
                            name,
                            *stamp,
                            Direction::Up,
                            bytes,
                            Verdict::Damaged(why.name()),
                        );
                    }
                }
            }
        }
    }

    /// A message came on a command topic.
    fn command(&mut self, message: &Message) {
        self.counters.commands += 1;
        self.changed();
        let refused = match self.downlink.frame(message, now()) {
            None => return,
            Some(Ok(queued)) => match self.outbox.push(queued) {
                Ok(()) => return,
                Err(out) => {
                    self.see_down(&out.frame, Verdict::Refused("the queue is full".into()));
                    self.drop_command("queue-full", &out.topic, "the queue is full");
                    return;
                }
            },
            Some(Err(refused)) => refused,
        };
        self.see_down(&message.payload, Verdict::Refused(refused.to_string()));
        self.drop_command(refused.name(), &message.topic, &refused.to_string());
    }

    fn wrote(&mut self, count: usize) {
        self.counters.bytes_out += count as u64;
        self.changed();
        if let Some(queued) = self.outbox.wrote(count, now()) {
            self.counters.sent += 1;
            if let Some(count) = self.dropped.good() {
                info!(port = %self.name, count, "commands reach the line again");
            }
            self.see_down(&queued.frame, Verdict::Sent);
        }
    }

    fn drop_command(&mut self, name: &'static str, topic: &Topic, why: &str) {
        self.counters.drop_command(name);
        self.changed();
        if let Some(count) = self.dropped.fault(now()) {
            warn!(port = %self.name, topic = %topic, count, reason = name, "command dropped: {why}");
        }
    }

    /// What time brings: commands too old, counts to be said, counters to be published.
    fn housekeeping(&mut self) {
        let now = now();
        while let Some(Queued { topic, .. }) = self.outbox.expired(now) {
            self.drop_command("expired", &topic, "it waited longer than `expire` allows");
        }
        if self.counters_due.is_some_and(|due| due <= now) {
            self.publish_counters();
        }
    }

    /// Some counter has changed: it will be published, not too soon after the last time.
    fn changed(&mut self) {
        if self.counters_due.is_none() {
            let now = now();
            let due = self
                .counters_said
                .map_or(now, |said| said + self.parts.counters_every);
            self.counters_due = Some(due.max(now + Duration::from_millis(100)));
        }
    }

    fn publish_counters(&mut self) {
        self.counters_due = None;
        self.counters_said = Some(now());
        self.counters.broker_depth = self.parts.publisher.depth() + self.held.len();
        self.counters.command_depth = self.outbox.len();
        let topic = self.parts.counters.clone();
        self.publish_own(topic, self.counters.json().into());
    }

    /// Publishes a state that is not the last one.
    fn enter(&mut self, state: &'static str) {
        if self.state == state {
            return;
        }
        self.state = state;
        let topic = self.parts.state.clone();
        self.publish_own(topic, Bytes::from_static(state.as_bytes()));
        if self.parts.tap.watched() {
            see(
                &self.parts.tap,
                &self.name,
                SystemTime::now(),
                Direction::Up,
                &[],
                Verdict::State(state.into()),
            );
        }
    }

    /// A retained message about the port itself, behind whatever is held.
    fn publish_own(&mut self, topic: Topic, payload: Bytes) {
        let message = Message {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            retain: true,
        };
        if let Offered::Refused(why) = offer(&mut self.parts.publisher, &mut self.held, message) {
            error!(port = %self.name, "the port's state can't be published: {why}");
        }
    }

    fn see_down(&self, bytes: &[u8], verdict: Verdict) {
        if self.parts.tap.watched() {
            see(
                &self.parts.tap,
                &self.name,
                SystemTime::now(),
                Direction::Down,
                bytes,
                verdict,
            );
        }
    }
}

/// What became of a message.
enum Offered {
    Taken,
    Held,
    Refused(String),
}

/// Gives the broker a message, or holds it behind those that it had no room for.
fn offer(publisher: &mut Publisher, held: &mut VecDeque<Message>, message: Message) -> Offered {
    if held.is_empty() {
        match publisher.offer(message) {
            Ok(()) => return Offered::Taken,
            Err(Unaccepted::Full(message)) => held.push_back(message),
            Err(refused) => return Offered::Refused(refused.to_string()),
        }
    } else {
        held.push_back(message);
    }
    Offered::Held
}

/// Waits until the broker has room for the first of the messages that are held.
async fn hand(publisher: &mut Publisher, held: &mut VecDeque<Message>) {
    match held.front() {
        None => std::future::pending().await,
        Some(message) => {
            if let Err(error) = publisher.publish(message.clone()).await {
                debug!(error = %error, "held message not published");
            }
            held.pop_front();
        }
    }
}

/// The next message, or `None` when the broker is no more.
async fn next_message(subscriber: &mut Option<Subscriber>) -> Option<Message> {
    match subscriber {
        None => std::future::pending().await,
        Some(subscriber) => subscriber.next().await.ok(),
    }
}

/// Writes what there is to write, then reads what there is to read.
fn poll_line(
    cx: &mut Context<'_>,
    line: &mut serial::Port,
    decoder: &mut Decoder,
    outbox: &mut Outbox,
    read: bool,
) -> Poll<Event> {
    if let Next::Write(bytes) = outbox.next(now())
        && let Poll::Ready(result) = Pin::new(&mut *line).poll_write(cx, bytes)
    {
        return Poll::Ready(Event::Wrote(result));
    }
    if read {
        let mut buffer = ReadBuf::new(decoder.space());
        if let Poll::Ready(result) = Pin::new(line).poll_read(cx, &mut buffer) {
            return Poll::Ready(Event::Read(result.map(|()| buffer.filled().len())));
        }
    }
    Poll::Pending
}

fn see(tap: &Tap, port: &Arc<str>, time: SystemTime, direction: Direction, bytes: &[u8], verdict: Verdict) {
    tap.send(Seen {
        time,
        port: port.clone(),
        direction,
        bytes: Bytes::copy_from_slice(bytes),
        verdict,
    });
}
