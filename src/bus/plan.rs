//! How much of the line's time the polls need: computed before anything is asked, from speed and lengths.

use super::device::{Device, Pause, Poll, Step};
use std::fmt;
use std::time::Duration;

/// More than this of the line's time can't be had.
pub(crate) const FULL: f64 = 1.0;

/// What the polls of a port need.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    char_time: Duration,
}

/// One poll of one device.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) device: String,
    pub(crate) poll: String,
    pub(crate) every: Duration,
    /// Bytes that are sent, over all steps, and received.
    pub(crate) sent: usize,
    pub(crate) received: usize,
    /// The silences before the steps.
    pub(crate) silence: Duration,
    /// What the device takes until it answers, and pauses.
    pub(crate) waiting: Duration,
    /// Until the line is turned before what is sent, and back behind what nobody answers; breaks.
    pub(crate) turning: Duration,
    /// All together.
    pub(crate) time: Duration,
}

impl Plan {
    /// The plan of these devices on a line whose character takes so long.
    pub(crate) fn new(devices: &[Device], char_time: Duration) -> Plan {
        let several = devices.len() > 1;
        let row = |device: &Device, poll: &Poll| {
            let mut row = Row {
                device: device.name.to_string(),
                poll: poll.name.to_string(),
                every: poll.every,
                sent: 0,
                received: 0,
                silence: Duration::ZERO,
                waiting: Duration::ZERO,
                turning: Duration::ZERO,
                time: Duration::ZERO,
            };
            let session = device.session.as_ref().filter(|session| session.each);
            let (open, close) = session.map_or((&[][..], &[][..]), |session| (&session.open, &session.close));
            for (n, step) in open.iter().chain(close).enumerate() {
                row.add(device, step, super::plan::SHORT, n == 0 && several);
            }
            let first = open.is_empty() && several;
            let last = poll.steps.len().saturating_sub(1);
            for (n, step) in poll.steps.iter().enumerate() {
                let reply = if n == last { poll.reply_length } else { SHORT };
                row.add(device, step, reply, n == 0 && first);
            }
            let bytes = u32::try_from(row.sent + row.received).unwrap_or(u32::MAX);
            row.time = char_time.saturating_mul(bytes) + row.silence + row.waiting + row.turning;
            row
        };
        let rows = devices
            .iter()
            .flat_map(|device| device.polls.iter().map(move |poll| row(device, poll)));
        Plan {
            rows: rows.collect(),
            char_time,
        }
    }

    /// The share of the line's time, 1 being all of it.
    pub(crate) fn utilisation(&self) -> f64 {
        self.rows.iter().map(Row::share).sum()
    }

    /// Whether the line can bear it.
    pub(crate) fn fits(&self) -> bool {
        self.utilisation() <= FULL
    }

    /// The shortest interval by which all intervals would have to be stretched for it to fit.
    pub(crate) fn stretch(&self) -> f64 {
        self.utilisation() / FULL
    }
}

/// How long a reply in the middle of a dialogue is taken to be.
const SHORT: usize = 8;

impl Row {
    fn add(&mut self, device: &Device, step: &Step, reply: usize, first: bool) {
        let rules = &device.rules;
        let answers = step.reply != super::device::Reply::None;
        if step.speaks() {
            self.sent += step.send.len();
            self.silence += if first { rules.between } else { rules.silence };
            self.turning += rules.before + step.wake;
            // Nobody answers while the line is still ours.
            self.turning += match answers {
                true => rules.after.saturating_sub(rules.turnaround),
                false => rules.after,
            };
        }
        if answers {
            self.received += reply;
            self.waiting += rules.turnaround;
        }
        if let Pause::For(pause) = step.pause {
            self.waiting += pause;
        }
    }

    pub(crate) fn share(&self) -> f64 {
        self.time.as_secs_f64() / self.every.as_secs_f64().max(1e-9)
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {} sent + {} received + {} silence + {} waiting",
            self.device,
            self.poll,
            self.sent,
            self.received,
            ms(self.silence),
            ms(self.waiting),
        )?;
        if !self.turning.is_zero() {
            write!(f, " + {} turning", ms(self.turning))?;
        }
        write!(
            f,
            " = {} every {} = {:.1}%",
            ms(self.time),
            humantime::format_duration(self.every),
            self.share() * 100.0,
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "a character takes {:.3} ms",
            self.char_time.as_secs_f64() * 1e3
        )?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        write!(
            f,
            "together {:.1}% of the line's time",
            self.utilisation() * 100.0
        )
    }
}

/// Counts how long the line was really busy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    busy: Duration,
}

impl Meter {
    pub(crate) fn add(&mut self, busy: Duration) {
        self.busy += busy;
    }

    /// The share since `since`, from when it counts anew.
    pub(crate) fn share(&mut self, since: Duration) -> f64 {
        let busy = std::mem::take(&mut self.busy);
        busy.as_secs_f64() / since.as_secs_f64().max(1e-9)
    }
}
