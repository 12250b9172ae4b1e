//! One serial port's life: find it, open it, run it both ways; when it is gone, wait until it is back.
//!
//! A port is one task that owns its device, its decoder, its queue and its link to the broker. It waits in one
//! place (`Port::event`) for whatever comes first, so nothing that is slow holds up the rest: while the broker
//! is behind, reading pauses and commands go on; while the device takes no bytes, frames go on.

mod asking;
mod backoff;
pub mod config;
mod counters;
mod device;
mod down;
mod event;
mod ledger;
mod outbox;
mod outward;
mod quality;
pub mod replay;
mod serve;
mod shared;
mod traffic;
mod up;

pub use config::Config;
use config::Reading;

use crate::broker::{Message, Publisher, Qos, Subscriber};
use crate::causes::Causes;
use crate::control::Tap;
use crate::fold::Run;
use crate::frame::Decoder;
use crate::profile::{Guard, Reader};
use crate::serial::{self, Finder, OpenError};
use crate::topic::{Filter, Topic};
use asking::Master;
use backoff::Backoff;
use counters::Counters;
use down::Downlink;
use event::Event;
use ledger::Ledger;
use outbox::Outbox;
use serve::Slave;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tracing::{debug, info, warn};
use up::Uplink;

/// A port that ends sooner, without a byte, has not really been open.
const SHORT: Duration = Duration::from_millis(100);
/// A port that ends sooner is not opened again at once.
const SETTLED: Duration = Duration::from_secs(1);
/// So long a device that has just appeared may refuse to be opened without a word about it.
const GRACE: Duration = Duration::from_secs(1);
/// Commands that may come at once, beside those that the queues have room for.
const BURST: usize = 256;

/// Why a port can't be made of its configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Framing, check or the device's description don't fit together.
    #[error("port {0}: {1}")]
    Reading(String, String),
}

/// What the gateway asks of a port.
#[derive(Debug)]
pub enum Order {
    /// Say that you are alive.
    Answer(oneshot::Sender<()>),
    /// Finish the frame in hand and end, by then.
    Stop(Instant),
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
    /// The topic below which it speaks of itself.
    pub base: Topic,
    /// The counters are published at most so often.
    pub counters_every: Duration,
}

/// One port, as a task to be run.
pub struct Port {
    name: Arc<str>,
    serial: serial::Config,
    /// The search for the device and its opening, which may take a driver some time: one at most.
    opening: JoinSet<Attempt>,
    decoder: Decoder,
    guard: Guard,
    /// What frames mean, where the device is described.
    reader: Option<Reader>,
    uplink: Uplink,
    downlink: Downlink,
    outbox: Outbox,
    /// The life of commands.
    ledger: Ledger,
    /// Who asks, where the devices speak only when asked.
    master: Option<Box<Master>>,
    /// The device that this port is, where its other end asks.
    slave: Option<Slave>,
    parts: Parts,
    /// Messages that the broker had no room for yet, in order. While there are any, nothing is read, so there are
    /// never more than one frame's and a few about the port itself ([`traffic::HELD_OWN`]).
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
    /// Since when the device is there and can't be opened.
    refused_since: Option<Instant>,
    backoff: Backoff,
    counters: Counters,
    counters_due: Option<Instant>,
    counters_said: Option<Instant>,
    /// Commands that the link to the broker has lost, as far as that has been said.
    overrun: u64,
    damaged: Run,
    /// Good frames that are not what the device's description says.
    refused: Run,
    /// One for each publish entry.
    unpublished: Vec<Run>,
    /// One for each command entry and reason.
    dropped: BTreeMap<(usize, &'static str), Run>,
    timer: Pin<Box<Sleep>>,
}

/// What came of looking for the device.
enum Attempt {
    Open(Box<serial::Port>),
    /// There is no such device now.
    Absent(String),
    /// There is one, and it can't be used now; perhaps only for a moment.
    Refused {
        state: &'static str,
        why: String,
        soon: bool,
    },
}

/// How a time with an open port ended.
enum End {
    Stopped(Instant),
    Lost(String),
}

/// How a time without a port ended.
enum Pause {
    Again,
    Attempted(Attempt),
    Stopped(Instant),
}

/// What the broker is asked for on behalf of a port.
pub fn subscriptions(config: &Config) -> Vec<(Filter, Qos)> {
    let serve = config.serve.iter().flat_map(serve::Config::subscriptions);
    let commands = match config.is_bus() {
        true => asking::subscriptions(config),
        false => down::subscriptions(&config.command),
    };
    commands.into_iter().chain(serve).collect()
}

/// How many commands may wait in the link to the broker: a burst of them, and what the port's own queues take.
pub fn depth(config: &Config) -> usize {
    BURST
        + config
            .command
            .iter()
            .chain(config.members().flat_map(|member| &member.command))
            .map(|command| command.queue.0)
            .sum::<usize>()
        + config.serve.as_ref().map_or(0, |serve| serve.fields.len())
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
        let reading = config.reading();
        let Reading {
            framing,
            guard,
            profile,
        } = reading.map_err(|wrong| Error::Reading(name.to_string(), wrong.to_string()))?;
        let master = Master::new(config, &parts.base)?;
        let entries = match &master {
            Some(master) => master.publish_entries(),
            None => config.publish.len(),
        };
        let seed = name.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed: u64, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let slave = config
            .serve
            .as_ref()
            .and_then(|serve| Slave::new(serve, framing.clone(), guard.clone(), char_time));
        let policies = match &slave {
            Some(_) => vec![Slave::policy()],
            None => down::policies(&config.command),
        };
        Ok(Port {
            slave,
            decoder: framing.decoder(),
            uplink: Uplink::new(name.clone(), &config.publish),
            outbox: Outbox::new(policies, char_time),
            ledger: Ledger::new(name.clone(), SystemTime::now()),
            master: master.map(Box::new),
            downlink: Downlink::new(&config.command, framing, guard.clone(), profile.clone()),
            name,
            serial,
            opening: JoinSet::new(),
            guard,
            reader: profile.map(Reader::new),
            parts,
            held: VecDeque::new(),
            stamp: SystemTime::UNIX_EPOCH,
            state: "",
            opened_at: now(),
            received: 0,
            quiet: false,
            refused_since: None,
            backoff: Backoff::new(seed),
            counters: Counters::default(),
            counters_due: None,
            counters_said: None,
            overrun: 0,
            damaged: Run::default(),
            refused: Run::default(),
            unpublished: (0..entries).map(|_| Run::default()).collect(),
            dropped: BTreeMap::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// Lives until it is told to stop, or the gateway is gone.
    pub async fn run(mut self) {
        let deadline = loop {
            // Before looking: what changes from here on brings us back at once.
            self.parts.changes.borrow_and_update();
            self.opening.spawn(attempt(self.serial.clone()));
            let attempt = match self.pause(None).await {
                Pause::Attempted(attempt) => attempt,
                Pause::Stopped(deadline) => break deadline,
                Pause::Again => continue,
            };
            let wait = match attempt {
                Attempt::Open(line) => {
                    self.opened(line.line());
                    match self.session(*line).await {
                        End::Stopped(deadline) => break deadline,
                        End::Lost(why) => Some(self.lost(&why)),
                    }
                }
                Attempt::Absent(why) => {
                    self.absent(&why);
                    None
                }
                Attempt::Refused { state, why, soon } => {
                    self.refused(state, &why, soon);
                    Some(self.backoff.wait())
                }
            };
            if let Pause::Stopped(deadline) = self.pause(wait.map(|wait| now() + wait)).await {
                break deadline;
            }
        };
        self.take_leave(deadline).await;
    }

    fn opened(&mut self, line: &serial::Line) {
        self.counters.opened += 1;
        self.changed();
        self.opened_at = now();
        if let Some(master) = &mut self.master {
            master.opened(self.opened_at, &line.path);
            // What the kernel makes of `rx-during-tx` only shows now.
            if self.serial.rs485.rx_during_tx != line.echo {
                master.bus.look_for_echo();
            }
        }
        self.received = 0;
        self.refused_since = None;
        for note in &line.notes {
            match note.is_warning() && !self.quiet {
                true => {
                    warn!(event = "port-differs", port = %self.name, path = %line.path.display(), "not quite as configured: {note}");
                }
                false => debug!(port = %self.name, path = %line.path.display(), "{note}"),
            }
        }
        if !self.quiet {
            info!(event = "port-open", notice = true, port = %self.name, path = %line.path.display(), baud = line.baud, "port open");
            self.enter("open");
        }
    }

    /// The port is gone. Gives how long to wait before looking again.
    fn lost(&mut self, why: &str) -> Duration {
        if self.decoder.reset() > 0 {
            self.counters.damage("cut-off");
        }
        if let Some(reader) = &mut self.reader {
            reader.reset();
        }
        if let Some(master) = &mut self.master {
            master.bus.closed(now());
            self.told();
        }
        if let Some(queued) = self.outbox.abandon() {
            self.drop_command("cut-off", &queued, "the port went while it was being written");
        }
        self.changed();
        let lived = now() - self.opened_at;
        // A node without hardware behind it opens, and fails at the first read: say so once.
        let failing = self.received == 0 && lived < SHORT;
        if !self.quiet {
            if failing {
                warn!(event = "port-failing", port = %self.name, "the port fails right after opening, trying on: {why}");
            } else {
                warn!(event = "port-gone", port = %self.name, "port gone, waiting for its return: {why}");
            }
            self.enter(if failing { "failing" } else { "waiting" });
        }
        self.quiet = failing;
        if lived < SETTLED {
            // It comes and goes by itself: not faster and faster. A change in /dev ends the wait.
            return self.backoff.wait();
        }
        self.backoff.reset();
        // At once: where the node is still there, opening it tells what has happened.
        Duration::ZERO
    }

    fn absent(&mut self, why: &str) {
        self.refused_since = None;
        if self.state.is_empty() {
            info!(event = "port-waiting", notice = true, port = %self.name, "waiting for the port: {why}");
        }
        self.enter("waiting");
    }

    fn refused(&mut self, state: &'static str, why: &str, soon: bool) {
        let since = *self.refused_since.get_or_insert_with(now);
        // udev sets the mode of a new node some time after the kernel has made it.
        if soon && now() - since < GRACE {
            return;
        }
        if self.state != state {
            warn!(event = "port-refused", port = %self.name, "can't open the port, trying on: {why}");
        }
        self.enter(state);
    }

    /// Runs an open port both ways.
    async fn session(&mut self, mut line: serial::Port) -> End {
        loop {
            self.decode();
            let settled = self.quiet.then(|| self.opened_at + SHORT);
            match self.event(Some(&mut line), true, settled).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Order(Some(Order::Stop(deadline))) => {
                    self.finish(line, deadline).await;
                    return End::Stopped(deadline);
                }
                Event::Order(None) => return End::Stopped(now()),
                Event::Read(Ok(count)) => self.read_bytes(count, line.marks()),
                Event::Wrote(Ok(count)) => self.wrote(count),
                Event::Heard(Ok(count)) => self.heard_bytes(count, line.marks()),
                Event::Asked(Ok(count)) => self.asked(count),
                Event::Read(Err(error))
                | Event::Wrote(Err(error))
                | Event::Heard(Err(error))
                | Event::Asked(Err(error)) => return End::Lost(error.to_string()),
                Event::Time => {
                    self.time();
                    if self.quiet && now() - self.opened_at >= SHORT {
                        self.quiet = false;
                        info!(event = "port-open", notice = true, port = %self.name, "port open, and it stays");
                        self.enter("open");
                    }
                }
                Event::Message(message) => self.message(message),
                Event::Handed(result) => self.handed(result),
                Event::Changed | Event::Attempted(_) => {}
            }
        }
    }

    /// Waits without a port: for the device to be opened, for a change in /dev, for the time to try again, or for
    /// the end.
    async fn pause(&mut self, until: Option<Instant>) -> Pause {
        loop {
            match self.event(None, false, until).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Order(Some(Order::Stop(deadline))) => return Pause::Stopped(deadline),
                Event::Order(None) => return Pause::Stopped(now()),
                Event::Attempted(attempt) => return Pause::Attempted(attempt),
                Event::Changed => return Pause::Again,
                Event::Time => {
                    self.time();
                    if until.is_some_and(|until| until <= now()) {
                        return Pause::Again;
                    }
                }
                Event::Message(message) => self.message(message),
                Event::Handed(result) => self.handed(result),
                Event::Read(_) | Event::Wrote(_) | Event::Heard(_) | Event::Asked(_) => {}
            }
        }
    }

    /// Ends the frame that is half on the line, and the one whose end is a silence that has begun.
    async fn finish(&mut self, mut line: serial::Port, deadline: Instant) {
        self.refuse_commands().await;
        loop {
            self.decode();
            let silence = self.decoder.deadline().is_some_and(|silence| silence < deadline);
            let asking = self.master.as_ref().is_some_and(|master| master.bus.is_writing());
            if !silence && !asking && !self.outbox.is_writing() || now() >= deadline {
                break;
            }
            match self.event(Some(&mut line), false, Some(deadline)).await {
                Event::Order(Some(Order::Answer(answer))) => drop(answer.send(())),
                Event::Order(None) => break,
                Event::Wrote(Ok(count)) => self.wrote(count),
                Event::Asked(Ok(count)) => self.asked(count),
                Event::Heard(Ok(count)) => self.heard_bytes(count, line.marks()),
                Event::Wrote(Err(_)) | Event::Heard(Err(_)) | Event::Asked(Err(_)) => break,
                Event::Time => self.time(),
                Event::Handed(result) => self.handed(result),
                _ => {}
            }
        }
        // Closing throws away what the kernel still holds.
        line.drained(deadline.saturating_duration_since(now())).await;
    }

    /// Says what will not be sent any more, and hands over what the broker has not taken yet, within a bound.
    async fn take_leave(&mut self, deadline: Instant) {
        self.opening.abort_all();
        self.refuse_commands().await;
        if let Some(queued) = self.outbox.abandon() {
            self.drop_command(
                "stopped",
                &queued,
                "the gateway stops, and the device takes no bytes",
            );
        }
        self.publish_due(now(), true);
        self.publish_counters();
        self.enter("closed");
        while !self.held.is_empty() && now() < deadline {
            match self.event(None, false, Some(deadline)).await {
                Event::Handed(result) => self.handed(result),
                Event::Order(None) => break,
                _ => self.counters_due = None,
            }
        }
    }
}

/// Looks for the device and opens it.
async fn attempt(serial: serial::Config) -> Attempt {
    let path = match Finder::default().find(&serial) {
        Ok(path) => path,
        Err(error) => return Attempt::Absent(Causes(&error).to_string()),
    };
    match serial::open(&path, &serial).await {
        Ok(line) => Attempt::Open(Box::new(line)),
        Err(error) => {
            let (why, soon) = (Causes(&error).to_string(), error.retry_soon());
            let state = match error {
                OpenError::NotThere { .. } => return Attempt::Absent(why),
                OpenError::Busy { .. } => "busy",
                _ => "failing",
            };
            Attempt::Refused { state, why, soon }
        }
    }
}
