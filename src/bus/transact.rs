//! One transaction on the line: its turn, its bytes, the end of its time, and the pause behind it.

use super::device::{Pause, Reply};
use super::job::{Aim, Phase};
use super::master::{BABBLE, Bus, Doing, GAP, PAUSE_MAX};
use super::{Fault, Happened, Life};
use crate::field::record::Record;
use std::time::{Duration, Instant};

impl Bus {
    /// How long so many characters are on the line at its present speed.
    pub(super) fn characters(&self, count: usize) -> Duration {
        let time = self
            .base_char
            .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        if self.baud == self.base_baud {
            return time;
        }
        time.mul_f64(f64::from(self.base_baud) / f64::from(self.baud.max(1)))
    }

    /// Back to the speed that the port was opened with.
    pub(super) fn base_speed(&mut self) {
        if self.baud != self.base_baud || self.want_baud.is_some() {
            self.want_baud = (self.baud != self.base_baud).then_some(self.base_baud);
        }
    }

    /// When the job that waits for silence has its turn.
    pub(super) fn turn(&self, since: Instant) -> Instant {
        let Some(job) = &self.job else { return self.last };
        let unit = &self.units[job.device];
        let rules = &unit.device.rules;
        let silence = match self.last_device {
            Some(last) if last != job.device => rules.between,
            _ => rules.silence,
        };
        let silence = silence + self.hidden();
        let silent = (self.last + silence).min(since + BABBLE.max(silence));
        let settled = unit.settle.unwrap_or(silent);
        let quiet = self.quiet.unwrap_or(silent);
        silent.max(settled).max(quiet)
    }

    /// How long bytes may have been on the line that the adapter has not handed on yet.
    fn hidden(&self) -> Duration {
        if self.whole { Duration::ZERO } else { self.latency }
    }

    pub(super) fn start_writing(&mut self, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let Some(step) = job.steps.get(job.at) else { return };
        self.request = step.send.clone();
        job.wrong = None;
        let number = job.device;
        // Whatever is on the line until now can't be the answer.
        let unit = &mut self.units[number];
        unit.settle = None;
        let mut noise = unit.decoder.reset();
        if let Some(last) = self.last_device.filter(|last| *last != number) {
            noise += self.units[last].decoder.reset();
        }
        self.counts.noise += noise as u64;
        self.last_device = Some(number);
        self.quiet = None;
        self.echo.sends(&self.request);
        self.began = Some(now);
        self.doing = Doing::Writing { at: 0, since: now };
    }

    /// The request is on the wire.
    pub(super) fn sent(&mut self, wire: Instant, now: Instant) {
        let Some(job) = &mut self.job else { return };
        job.sent += 1;
        job.wire = Some(wire);
        let (device, bytes) = (job.device, self.request.clone());
        let ticket = match (&job.aim, job.phase) {
            (Aim::Command(order), Phase::Main) => Some((order.ticket, job.sent)),
            _ => None,
        };
        let step = job.step().cloned();
        if !bytes.is_empty() {
            self.counts.requests += 1;
            self.tell(Happened::Sent { device, bytes });
        }
        if let Some((ticket, sent)) = ticket {
            let life = Life::Sent(sent);
            self.tell(Happened::Command { ticket, life });
        }
        let Some(step) = step else { return };
        if step.reply == Reply::None {
            self.over(None, wire, now);
        } else {
            let deadline = wire + step.timeout + self.latency;
            self.doing = Doing::Awaiting { wire, deadline };
        }
    }

    /// The reply's time is over: unless it is just coming.
    pub(super) fn overdue(&mut self, wire: Instant, now: Instant) {
        let Some(job) = &self.job else { return };
        let (number, timeout) = (job.device, job.step().map_or(GAP, |step| step.timeout));
        // What was held back because it looked like an echo may be the reply.
        if let Some((held, whole)) = self.echo.doubtful() {
            let length = self.characters(held.len());
            // An echo is there when the request has left; a reply only after it has taken its time, too.
            if whole.is_none_or(|whole| whole >= wire + length.mul_f64(0.9)) {
                let held = held.to_vec();
                self.echo.was_reply();
                let unit = &mut self.units[number];
                unit.decoder.extend(&held, now);
                let silence = unit.decoder.deadline().unwrap_or(now);
                self.doing = Doing::Awaiting {
                    wire,
                    deadline: silence.max(now),
                };
                self.hear(number, now);
                if let Doing::Awaiting { deadline, .. } = self.doing
                    && deadline <= now
                {
                    self.timed_out(now);
                }
                return;
            }
            if let Some(job) = &mut self.job {
                job.wrong.get_or_insert(Fault::Doubtful);
            }
        }
        let coming = self.units[number].decoder.deadline().is_some() || self.echo.is_cut();
        let gap = self.characters(4).max(GAP);
        let more = self.last + gap;
        let least = wire + timeout;
        if coming && self.last > wire && more > now && now < least + timeout.max(self.characters(1024)) {
            let deadline = more;
            self.doing = Doing::Awaiting { wire, deadline };
            return;
        }
        self.timed_out(now);
    }

    /// The transaction has taken the line's time until now.
    pub(super) fn account(&mut self, until: Instant) {
        let Some(job) = &self.job else { return };
        let silence = self.units[job.device].device.rules.silence;
        if let Some(began) = self.began.take() {
            self.meter.add(until.saturating_duration_since(began) + silence);
        }
    }

    /// A step is over: its pause and the change of speed that it brings.
    pub(super) fn over(&mut self, record: Option<&Record>, wire: Instant, now: Instant) {
        self.account(self.last);
        let Some(job) = &mut self.job else { return };
        let Some(step) = job.steps.get(job.at) else { return };
        let pause = match &step.pause {
            Pause::None => Duration::ZERO,
            Pause::For(pause) => *pause,
            Pause::Said { field, .. } => {
                let said = record.and_then(|record| record.find(field)?.value.number());
                let seconds = said.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
                Duration::try_from_secs_f64(seconds.unwrap_or(0.0))
                    .unwrap_or(PAUSE_MAX)
                    .min(PAUSE_MAX)
            }
        };
        job.pause = step.pause.clone();
        let mut until = now + pause;
        if step.reply == Reply::None && step.speaks() {
            let rules = &self.units[job.device].device.rules;
            until = wire
                + pause
                + if rules.broadcast {
                    rules.turnaround
                } else {
                    Duration::ZERO
                };
        }
        if let Some(baud) = step.baud {
            self.want_baud = Some(baud);
        }
        let shared = step.shared;
        job.at += 1;
        job.repeats = 0;
        self.pause(until, shared, now);
    }

    /// The dialogue goes on then.
    pub(super) fn pause(&mut self, until: Instant, shared: bool, now: Instant) {
        self.doing = Doing::Pausing { until };
        if until <= now {
            return self.go_on(now);
        }
        if shared
            && self.units.len() > 1
            && let Some(job) = self.job.take()
        {
            self.parked.push((job, until));
            self.doing = Doing::Nothing;
        }
    }
}
