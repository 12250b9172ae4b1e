//! The master of the line: one transaction after the other, each with its silence, its echo, its reply, its end.

use super::device::Device;
use super::echo::{Echo, Left};
use super::health::Health;
use super::job::Job;
use super::order::{Order, Orders, Out, Policy};
use super::plan::Meter;
use super::schedule::Schedule;
use super::{Fault, Happened, Heard, Life};
use crate::frame::{Decoder, Item};
use crate::modbus::Pairs;
use crate::profile::Reader;
use crate::profile::asked;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A line that is never silent is waited for so long; then the request goes out all the same.
pub(super) const BABBLE: Duration = Duration::from_secs(1);
/// The pause within a reply that is not its end yet, at least: adapters deliver in pieces.
pub(super) const GAP: Duration = Duration::from_millis(20);
/// A pause that a reply tells is no longer than that.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// What has happened is taken after each call; what nobody takes is bounded all the same.
const HAPPENED: usize = 4096;

/// What the line should do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Write these bytes, the rest of one frame; before its first one there is a break of this length, if it isn't zero.
    Write(&'a [u8], Duration),
    /// Set this speed; what was written is on the wire.
    Baud(u32),
    /// Nothing, until the deadline or until something comes.
    Idle,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counts {
    /// Requests written, each try counted.
    pub(crate) requests: u64,
    /// Replies that were recognised, refusals among them.
    pub(crate) answers: u64,
    /// Replies in which a device says no.
    pub(crate) refusals: u64,
    /// Requests without a reply in time.
    pub(crate) timeouts: u64,
    /// Requests that were sent again.
    pub(crate) retries: u64,
    /// Frames that came too late.
    pub(crate) late: u64,
    /// Frames of another device than the one that was asked.
    pub(crate) foreign: u64,
    /// Frames that nobody had asked for.
    pub(crate) strays: u64,
    /// Requests that met with something else on the line.
    pub(crate) collisions: u64,
    /// Bytes that were thrown away before a request.
    pub(crate) noise: u64,
    /// Polls left out because there was no time for them.
    pub(crate) skipped: u64,
    /// Requests of another master without a reply, where this only listens.
    pub(crate) unanswered: u64,
    /// Sessions that were opened.
    pub(crate) sessions: u64,
}

/// A device and what is known of it.
pub(super) struct Unit {
    pub(super) device: Device,
    pub(super) reader: Reader,
    pub(super) decoder: Decoder,
    pub(super) health: Health,
    pub(super) open: bool,
    pub(super) used: Instant,
    /// Until then replies to what was asked before may still come, and nothing else is asked.
    pub(super) settle: Option<Instant>,
    /// How many.
    pub(super) owed: u32,
    /// Joined polls that the device has refused: their parts are asked for.
    pub(super) split: BTreeSet<usize>,
    /// Parts that it does not have.
    pub(super) gone: BTreeSet<(usize, usize)>,
}

/// Where the transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    /// It waits for its turn since then.
    Silence {
        since: Instant,
    },
    Writing {
        at: usize,
        since: Instant,
    },
    Awaiting {
        wire: Instant,
        deadline: Instant,
    },
    Pausing {
        until: Instant,
    },
}

/// What was asked last without a reply.
pub(super) struct Before {
    pub(super) device: usize,
    pub(super) request: Arc<[u8]>,
}

/// The master of one line.
pub(crate) struct Bus {
    pub(super) units: Vec<Unit>,
    pub(super) base_baud: u32,
    pub(super) baud: u32,
    pub(super) base_char: Duration,
    pub(super) want_baud: Option<u32>,
    pub(super) schedule: Schedule,
    pub(super) orders: Orders,
    pub(super) echo: Echo,
    echo_mode: asked::Echo,
    pub(super) job: Option<Job>,
    /// A poll that is to be tried again, behind a command that waits.
    pub(super) aside: Option<Job>,
    /// The parts of a poll that are still to be asked for.
    pub(super) follow: VecDeque<Job>,
    pub(super) doing: Doing,
    /// When the last byte was on the line.
    pub(super) last: Instant,
    pub(super) last_device: Option<usize>,
    /// Dialogues in a pause during which others may be asked, and when it is over. One for each device at most.
    pub(super) parked: Vec<(Job, Instant)>,
    /// How late the adapter hands on what it has.
    pub(super) latency: Duration,
    /// Whether the last that was on the line is known to have been whole: nothing of it can be on its way.
    pub(super) whole: bool,
    /// The line is left alone until then.
    pub(super) quiet: Option<Instant>,
    pub(super) request: Arc<[u8]>,
    pub(super) before: Option<Before>,
    pub(super) happened: VecDeque<Happened>,
    pub(super) counts: Counts,
    pub(super) meter: Meter,
    /// Who asks and who answers, where this only listens.
    pub(super) pairs: Option<Pairs>,
    /// When the request that is at work began.
    pub(super) began: Option<Instant>,
}

impl Bus {
    /// The master of a line of this speed, whose character takes `char_time`, for these devices and for command
    /// entries of these policies.
    pub(crate) fn new(
        devices: Vec<Device>,
        policies: Vec<Policy>,
        baud: u32,
        char_time: Duration,
        now: Instant,
    ) -> Bus {
        let polls = devices.iter().enumerate().flat_map(|(d, device)| {
            let polls = device.polls.iter().enumerate();
            polls.map(move |(p, poll)| (d, p, poll.every)).collect::<Vec<_>>()
        });
        let schedule = Schedule::new(polls, now);
        // One that says yes or no knows it of the line.
        let says = devices.iter().map(|device| device.rules.echo);
        let echo_mode = says.into_iter().find(|echo| *echo != asked::Echo::Auto);
        let echo_mode = echo_mode.unwrap_or_default();
        let unit = |device: Device| Unit {
            reader: Reader::new(device.profile.clone()),
            decoder: device.profile.framing().decoder(),
            device,
            health: Health::new(),
            open: false,
            used: now,
            settle: None,
            owed: 0,
            split: BTreeSet::new(),
            gone: BTreeSet::new(),
        };
        Bus {
            units: devices.into_iter().map(unit).collect(),
            base_baud: baud,
            baud,
            base_char: char_time,
            want_baud: None,
            schedule,
            orders: Orders::new(policies),
            echo: Echo::new(echo_mode),
            echo_mode,
            job: None,
            aside: None,
            follow: VecDeque::new(),
            doing: Doing::Nothing,
            last: now,
            last_device: None,
            parked: Vec::new(),
            latency: Duration::ZERO,
            whole: true,
            quiet: None,
            request: [].into(),
            before: None,
            happened: VecDeque::new(),
            counts: Counts::default(),
            meter: Meter::default(),
            pairs: None,
            began: None,
        }
    }

    /// So late the adapter hands on what it has: a line may not be as silent as it seems, and a reply comes later.
    pub(crate) fn delayed_by(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// The port was opened: everything is asked for anew.
    pub(crate) fn opened(&mut self, now: Instant) {
        self.schedule.restart(now);
        self.echo = Echo::new(self.echo_mode);
        self.baud = self.base_baud;
        self.want_baud = None;
        self.last = now;
        self.last_device = None;
        self.quiet = None;
        for unit in &mut self.units {
            unit.health = Health::new();
            unit.split.clear();
            unit.gone.clear();
            unit.settle = None;
        }
    }

    /// Whatever the configuration says of it: whether what is sent comes back is found out by looking.
    pub(crate) fn look_for_echo(&mut self) {
        self.echo = Echo::new(asked::Echo::Auto);
    }

    /// The port is gone.
    pub(crate) fn closed(&mut self, now: Instant) {
        let parked = std::mem::take(&mut self.parked).into_iter().map(|(job, _)| job);
        let jobs = [self.job.take(), self.aside.take()].into_iter().flatten();
        for job in jobs.chain(parked).collect::<Vec<_>>() {
            self.cut_off(job);
        }
        self.follow.clear();
        self.doing = Doing::Nothing;
        self.before = None;
        for number in 0..self.units.len() {
            let unit = &mut self.units[number];
            unit.open = false;
            unit.settle = None;
            unit.decoder.reset();
            unit.reader.reset();
            if unit.health.state() != super::State::Offline {
                unit.health = Health::new();
            }
            let _ = unit.health.failed(now);
            let polls: Vec<Arc<str>> = unit.device.polls.iter().map(|poll| poll.name.clone()).collect();
            self.tell(Happened::Device {
                device: number,
                change: super::Change::Went,
                why: Some(Fault::Gone),
            });
            for poll in polls {
                let (device, why) = (number, Fault::Gone);
                self.tell(Happened::Unread { device, poll, why });
            }
        }
    }

    /// Takes a command. What becomes of it is told as its life.
    pub(crate) fn push(&mut self, order: Order) {
        if self.pairs.is_some() {
            let (ticket, life) = (order.ticket, Life::Dropped("only-listening"));
            return self.tell(Happened::Command { ticket, life });
        }
        if let Some((order, why)) = self.orders.push(order) {
            let life = Life::Dropped(match why {
                Out::Full => "queue-full",
                Out::Replaced => "replaced",
            });
            let ticket = order.ticket;
            self.tell(Happened::Command { ticket, life });
        }
    }

    /// Takes a command out of the queue: the gateway stops, or its port.
    pub(crate) fn refuse(&mut self) -> Option<Order> {
        self.orders.pop(|_| true)
    }

    /// How many commands wait.
    pub(crate) fn waiting(&self) -> usize {
        self.orders.len()
    }

    /// Whether a frame is half on the line.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.doing, Doing::Writing { at: 1.., .. })
    }

    pub(crate) fn device(&self, number: usize) -> Option<&Device> {
        self.units.get(number).map(|unit| &unit.device)
    }

    pub(crate) fn counts(&mut self) -> &Counts {
        self.counts.skipped = self.schedule.skipped;
        self.counts.unanswered = self.pairs.as_ref().map_or(0, Pairs::unanswered);
        &self.counts
    }

    /// The share of its time that the line was busy, over the time that is told.
    pub(crate) fn busy(&mut self, over: Duration) -> f64 {
        self.meter.share(over)
    }

    /// What has happened, in order.
    pub(crate) fn happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// What the line should do now. With `begin`, something new may be begun.
    pub(crate) fn next(&mut self, now: Instant, begin: bool) -> Next<'_> {
        if let Some(baud) = self.want_baud.take() {
            self.baud = baud;
            return Next::Baud(baud);
        }
        if begin && self.doing == Doing::Nothing && self.job.is_none() {
            self.begin(now);
        }
        if let Doing::Silence { since } = self.doing
            && self.turn(since) <= now
        {
            self.start_writing(now);
        }
        match (self.doing, self.want_baud) {
            (_, Some(baud)) => {
                self.want_baud = None;
                self.baud = baud;
                Next::Baud(baud)
            }
            (Doing::Writing { at, .. }, _) => Next::Write(&self.request[at..], self.wake()),
            _ => Next::Idle,
        }
    }

    /// The break before what is being written.
    fn wake(&self) -> Duration {
        let step = self.job.as_ref().and_then(Job::step);
        step.map_or(Duration::ZERO, |step| step.wake)
    }

    /// The line took `count` bytes of what it was to write.
    pub(crate) fn wrote(&mut self, count: usize, now: Instant) {
        let Doing::Writing { at, since } = self.doing else {
            return;
        };
        let at = at + count;
        if at < self.request.len() {
            self.doing = Doing::Writing { at, since };
            return;
        }
        // The kernel has taken the bytes; the wire may still be carrying them.
        let rules = self.job.as_ref().map(|job| &self.units[job.device].device.rules);
        let (before, after) = rules.map_or((Duration::ZERO, Duration::ZERO), |rules| {
            (rules.before, rules.after)
        });
        let ahead = before + self.wake() + self.characters(self.request.len());
        let wire = now.max(since + ahead);
        self.last = wire;
        if !after.is_zero() {
            self.quiet = Some(wire + after);
        }
        self.sent(wire, now);
    }

    /// Bytes came from the line.
    pub(crate) fn received(&mut self, bytes: &[u8], now: Instant) {
        self.last = self.last.max(now);
        self.whole = false;
        let bytes = match self.doing {
            Doing::Writing { .. } | Doing::Awaiting { .. } => match self.echo.take(bytes, now) {
                Left::Bytes(bytes) => bytes,
                Left::Collision => {
                    self.counts.collisions += 1;
                    if let Some(job) = &mut self.job {
                        job.wrong = Some(Fault::Collision);
                    }
                    return;
                }
            },
            _ => bytes.into(),
        };
        let Some(number) = self.listening() else {
            self.counts.noise += bytes.len() as u64;
            return;
        };
        self.units[number].decoder.extend(&bytes, now);
        self.hear(number, now);
    }

    /// The line told that a frame ends here, or begins.
    pub(crate) fn cut(&mut self, now: Instant) {
        if let Some(number) = self.listening() {
            self.units[number].decoder.cut();
            self.hear(number, now);
        }
    }

    /// When [`time`](Bus::time) or [`next`](Bus::next) is to be called.
    pub(crate) fn deadline(&self, now: Instant, begin: bool) -> Option<Instant> {
        let decoder = self
            .listening()
            .and_then(|number| self.units[number].decoder.deadline());
        let own = match self.doing {
            Doing::Nothing if !begin => None,
            Doing::Nothing => self.idle_until(now),
            Doing::Silence { since } => Some(self.turn(since)),
            Doing::Writing { .. } => None,
            Doing::Awaiting { deadline, .. } => Some(deadline),
            Doing::Pausing { until } => Some(until),
        };
        [decoder, own, self.orders.expiry()].into_iter().flatten().min()
    }

    /// When a command will be too old: all that there is to wait for without a port.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.orders.expiry()
    }

    /// What time brings.
    pub(crate) fn time(&mut self, now: Instant) {
        if let Some(number) = self.listening() {
            self.units[number].decoder.expire(now);
            self.hear(number, now);
        }
        while let Some(order) = self.orders.expired(now) {
            let (ticket, life) = (order.ticket, Life::Expired);
            self.tell(Happened::Command { ticket, life });
        }
        match self.doing {
            Doing::Awaiting { wire, deadline } if deadline <= now => self.overdue(wire, now),
            Doing::Pausing { until } if until <= now => self.go_on(now),
            _ => {}
        }
    }

    /// Takes the frames out of the decoder of the device that is listened to.
    pub(super) fn hear(&mut self, number: usize, now: Instant) {
        loop {
            let unit = &mut self.units[number];
            let guard = unit.reader.profile().guard().clone();
            let Some((branch, item)) = unit.decoder.next_of(&guard) else {
                return;
            };
            match item {
                Item::Frame(data) => {
                    let data = data.to_vec();
                    self.frame(number, branch, data, now);
                }
                Item::Damaged { why, bytes } => {
                    let (name, bytes) = (why.name(), bytes.to_vec());
                    if let Some(pairs) = &mut self.pairs {
                        pairs.forget();
                    }
                    if let (Doing::Awaiting { .. }, Some(job)) = (self.doing, &mut self.job)
                        && job.wrong != Some(Fault::Collision)
                    {
                        job.wrong = Some(Fault::Garbled(name.to_owned()));
                    }
                    let (device, as_) = (number, Heard::Damaged(name));
                    self.tell(Happened::Heard { device, bytes, as_ });
                }
            }
        }
    }

    /// The device whose frames are looked for.
    fn listening(&self) -> Option<usize> {
        let only = (self.units.len() == 1 || self.pairs.is_some()).then_some(0);
        let job = self.job.as_ref().map(|job| job.device);
        job.or(self.last_device).or(only)
    }

    pub(super) fn tell(&mut self, happened: Happened) {
        if self.happened.len() < HAPPENED || matches!(happened, Happened::Command { .. }) {
            self.happened.push_back(happened);
        }
    }
}
