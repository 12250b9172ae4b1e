//! From one transaction to the next: who begins, how a dialogue goes on, and how it ends.

use super::health::Change;
use super::job::{Aim, Job, Phase};
use super::master::{Before, Bus, Doing};
use super::{Fault, Happened, Life};
use crate::field::record::{Record, Value};
use std::time::{Duration, Instant};

/// Who has the line.
enum Turn {
    /// A dialogue that begins.
    Begins(Job),
    /// One whose pause is over.
    GoesOn(Job),
}

impl Bus {
    /// Takes the next job, if there is one.
    pub(super) fn begin(&mut self, now: Instant) {
        match self.choose(now) {
            Some(Turn::Begins(job)) => self.start(job, now),
            Some(Turn::GoesOn(job)) => {
                self.job = Some(job);
                self.enter(now);
            }
            None => {}
        }
    }

    /// When the pause of a device's dialogue is over, if it is in one that others may use.
    fn parked_until(&self, device: usize) -> Option<Instant> {
        let own = self.parked.iter().find(|(job, _)| job.device == device);
        own.map(|(_, until)| *until)
    }

    fn choose(&mut self, now: Instant) -> Option<Turn> {
        let settled = |settle: Option<Instant>| settle.is_none_or(|settle| settle <= now);
        let ready: Vec<bool> = self
            .units
            .iter()
            .enumerate()
            .map(|(device, unit)| settled(unit.settle) && self.parked_until(device).is_none())
            .collect();
        let polled: Vec<bool> = self
            .units
            .iter()
            .zip(&ready)
            .map(|(unit, ready)| *ready && unit.health.may_be_polled(now))
            .collect();
        let due = self.schedule.due(now, |device| polled[device]);
        let over = self.parked.iter().position(|(_, until)| *until <= now);
        let poll_waits = due.is_some() || over.is_some() || self.aside.is_some() || !self.follow.is_empty();
        let command = self.orders.ready(|device| ready[device]);
        if command && (self.schedule.command_first() || !poll_waits) {
            self.schedule.commanded();
            let order = self.orders.pop(|device| ready[device]);
            return order.map(Job::command).map(Turn::Begins);
        }
        self.schedule.turn();
        if let Some(over) = over {
            return Some(Turn::GoesOn(self.parked.swap_remove(over).0));
        }
        if self.aside.as_ref().is_some_and(|job| ready[job.device]) {
            return self.aside.take().map(Turn::Begins);
        }
        if self.follow.front().is_some_and(|job| ready[job.device]) {
            return self.follow.pop_front().map(Turn::Begins);
        }
        let slot = due?;
        let (device, poll) = self.schedule.at(slot).map(|slot| (slot.device, slot.poll))?;
        if self.units[device].health.is_offline() {
            // One poll asks whether it is back; the others wait for the answer.
            self.schedule.hurry(device, now);
        }
        self.schedule.asked(slot, now);
        self.of_poll(device, poll).map(Turn::Begins)
    }

    /// The job of a poll; where the device has refused it as a whole, that of its first part.
    fn of_poll(&mut self, device: usize, poll: usize) -> Option<Job> {
        let unit = &self.units[device];
        if !unit.split.contains(&poll) {
            return Some(Job::poll(device, poll, None));
        }
        let parts = unit.device.polls.get(poll).map_or(0, |poll| poll.parts.len());
        let there = (0..parts).filter(|part| !unit.gone.contains(&(poll, *part)));
        self.follow
            .extend(there.map(|part| Job::poll(device, poll, Some(part))));
        self.follow.pop_front()
    }

    /// When somebody may have a turn again, while nothing is done.
    pub(super) fn idle_until(&self, now: Instant) -> Option<Instant> {
        let unit = |device: usize| &self.units[device];
        let free = |device: usize| {
            let settle = unit(device).settle.filter(|settle| *settle > now);
            let again = unit(device).health.again().filter(|again| *again > now);
            let parked = self.parked_until(device);
            settle.into_iter().chain(again).chain(parked).max()
        };
        let polls = self.schedule.next(|device| free(device).is_none());
        let has_polls = |device: &usize| !unit(*device).device.polls.is_empty();
        let later = (0..self.units.len()).filter(has_polls).filter_map(free);
        let commands = self.orders.devices().map(|device| {
            let settle = unit(device).settle.filter(|settle| *settle > now);
            settle.max(self.parked_until(device)).unwrap_or(now)
        });
        let parked = self.parked.iter().map(|(_, until)| *until);
        let jobs = self.aside.iter().chain(&self.follow);
        let jobs = jobs.map(|job| unit(job.device).settle.unwrap_or(now));
        polls
            .into_iter()
            .chain(later)
            .chain(commands)
            .chain(jobs)
            .chain(parked)
            .min()
    }

    fn start(&mut self, mut job: Job, now: Instant) {
        let unit = &mut self.units[job.device];
        let (steps, retries) = self.orders.with_break(&job, job.own_steps(&unit.device));
        job.steps = steps;
        job.retries = if unit.health.is_offline() { 0 } else { retries };
        job.at = 0;
        job.repeats = 0;
        job.wrong = None;
        job.phase = Phase::Main;
        unit.reader.reset();
        if let Some(session) = &unit.device.session {
            let idle = session.idle.is_some_and(|idle| now >= unit.used + idle);
            if session.each || idle || !unit.open {
                unit.open = false;
                job.phase = Phase::Opening;
                job.steps = session.open.clone();
                self.counts.sessions += 1;
                self.job = Some(job);
                self.base_speed();
                return self.enter(now);
            }
        }
        self.job = Some(job);
        self.enter(now);
    }

    /// Begins the step at which the job is.
    fn enter(&mut self, now: Instant) {
        let Some(job) = &mut self.job else { return };
        job.pause = super::device::Pause::None;
        let Some(step) = job.steps.get(job.at) else {
            return self.phase_over(now);
        };
        if step.speaks() {
            self.doing = Doing::Silence { since: now };
        } else if step.reply == super::device::Reply::None {
            self.over(None, now, now);
        } else {
            let deadline = now + step.timeout;
            self.doing = Doing::Awaiting { wire: now, deadline };
        }
    }

    /// A pause is over.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.enter(now);
    }

    /// All steps of a phase are done.
    fn phase_over(&mut self, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let unit = &mut self.units[job.device];
        unit.used = now;
        match job.phase {
            Phase::Opening => {
                unit.open = true;
                let (steps, _) = self.orders.with_break(job, job.own_steps(&unit.device));
                job.phase = Phase::Main;
                job.steps = steps;
                job.at = 0;
                self.enter(now);
            }
            Phase::Main | Phase::Verifying => self.succeed(now),
            Phase::Closing => self.finish(now),
        }
    }

    /// What was asked for has come, or a command has gone that nothing answers.
    fn succeed(&mut self, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let number = job.device;
        let name = job.poll_name(&self.units[number].device);
        let record = job.record.take();
        let verifying = job.phase == Phase::Verifying;
        let told: Vec<Happened> = match &job.aim {
            Aim::Poll { .. } => Vec::new(),
            Aim::Command(order) => {
                let ticket = order.ticket;
                let silent = |steps: &[super::device::Step]| {
                    steps.iter().all(|step| step.reply == super::device::Reply::None)
                };
                let life = match (&order.verify, verifying) {
                    (Some(verify), true) => match differs(&verify.wanted, record.as_ref()) {
                        None => record.map_or(Life::Unverified("no values came".into()), Life::Verified),
                        Some(why) => Life::Unverified(why),
                    },
                    (verify, _) => {
                        let silent = silent(&job.steps);
                        if let Some(verify) = verify {
                            // What is read back is one more dialogue of the same job.
                            let poll = self.units[number].device.polls.get(verify.poll);
                            if let Some(poll) = poll {
                                let life = Life::Answered(record);
                                let (steps, retries) = (poll.steps.clone(), poll.retries);
                                job.phase = Phase::Verifying;
                                job.steps = steps;
                                job.retries = retries;
                                job.failed = 0;
                                job.at = 0;
                                if !silent {
                                    self.tell(Happened::Command { ticket, life });
                                }
                                return self.enter(now);
                            }
                        }
                        if silent {
                            Life::Done
                        } else {
                            Life::Answered(record)
                        }
                    }
                };
                vec![Happened::Command { ticket, life }]
            }
        };
        told.into_iter().for_each(|told| self.tell(told));
        if let Some(poll) = name {
            let device = number;
            self.tell(Happened::Read { device, poll });
        }
        self.close(Ok(()), now);
    }

    /// The job has ended; where a session is opened for each, it is closed first.
    fn close(&mut self, result: Result<(), Fault>, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let unit = &self.units[job.device];
        let closing = unit
            .device
            .session
            .as_ref()
            .filter(|session| session.each && unit.open);
        job.ended = Some(result);
        match closing {
            Some(session) => {
                job.steps = session.close.clone();
                job.phase = Phase::Closing;
                job.at = 0;
                self.enter(now);
            }
            None => self.finish(now),
        }
    }

    fn finish(&mut self, now: Instant) {
        let Some(job) = self.job.take() else { return };
        let each = self.units[job.device]
            .device
            .session
            .as_ref()
            .is_some_and(|session| session.each);
        if each || !self.units[job.device].open {
            self.units[job.device].open = false;
            self.base_speed();
        }
        if let Aim::Command(order) = &job.aim {
            let spacing = self.orders.policy(order.entry).spacing;
            if !spacing.is_zero() {
                self.quiet = Some(self.last.max(now) + spacing);
            }
        }
        self.doing = Doing::Nothing;
    }

    /// No reply came in time.
    pub(super) fn timed_out(&mut self, now: Instant) {
        self.account(now);
        self.counts.timeouts += 1;
        self.whole = false;
        self.echo.timed_out();
        let Some(job) = &mut self.job else { return };
        let number = job.device;
        let why = job.wrong.take().unwrap_or(Fault::Silent);
        let timeout = job.step().map_or(Duration::ZERO, |step| step.timeout);
        self.before = Some(Before {
            device: number,
            request: self.request.clone(),
        });
        self.units[number].decoder.reset();
        if job.phase == Phase::Closing {
            return self.finish(now);
        }
        job.owed += 1;
        self.try_again(why, Some(now + timeout), now);
    }

    /// A try came to nothing: another one, or the end.
    fn try_again(&mut self, why: Fault, settle: Option<Instant>, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let number = job.device;
        job.failed = job.failed.saturating_add(1);
        if job.failed > job.retries {
            let unit = &mut self.units[number];
            // What comes late must not pass for the answer to something else.
            unit.settle = settle;
            unit.owed = job.owed;
            return self.fail(why, now);
        }
        self.counts.retries += 1;
        if job.phase == Phase::Verifying {
            job.at = 0;
            return self.enter(now);
        }
        // Whatever the device has lost of the session, it is opened again.
        let unit = &mut self.units[number];
        unit.open = false;
        let Some(mut job) = self.job.take() else { return };
        let left = job.retries;
        job.record = None;
        self.doing = Doing::Nothing;
        if matches!(job.aim, Aim::Poll { .. }) && self.orders.len() > 0 && self.aside.is_none() {
            self.aside = Some(job);
            return;
        }
        self.start(job, now);
        if let Some(job) = &mut self.job {
            job.retries = left;
        }
    }

    /// The device has said no, in this reply.
    pub(super) fn refused(&mut self, why: String, now: Instant) {
        self.account(self.last);
        self.counts.refusals += 1;
        let Some(job) = &mut self.job else { return };
        let number = job.device;
        match job.phase {
            Phase::Closing => return self.finish(now),
            Phase::Opening => return self.fail(Fault::Refused(why), now),
            Phase::Main | Phase::Verifying => {}
        }
        if let Aim::Poll { poll, part } = job.aim {
            let Some(words) = self.units[number].device.polls.get(poll) else {
                return self.fail(Fault::Refused(why), now);
            };
            let lasting = words.lasting.is_empty() || words.lasting.contains(&why);
            match part {
                _ if !lasting => {}
                None if !words.parts.is_empty() => {
                    self.units[number].split.insert(poll);
                    let first = self.of_poll(number, poll);
                    if let Some(first) = first {
                        self.follow.push_front(first);
                    }
                    return self.close(Ok(()), now);
                }
                None if words.optional => self.schedule.drop(number, poll),
                Some(part) if words.parts.get(part).is_some_and(|part| part.optional) => {
                    self.units[number].gone.insert((poll, part));
                }
                _ => {}
            }
        }
        self.fail(Fault::Refused(why), now);
    }

    /// The session is lost, says the reply: it is opened again, once.
    pub(super) fn lost(&mut self, why: String, now: Instant) {
        let Some(job) = &mut self.job else { return };
        self.units[job.device].open = false;
        if job.reopened || job.phase != Phase::Main {
            return self.refused(why, now);
        }
        job.reopened = true;
        self.account(self.last);
        if let Some(job) = self.job.take() {
            self.start(job, now);
        }
    }

    /// What was asked for can't be had.
    pub(super) fn fail(&mut self, why: Fault, now: Instant) {
        let Some(job) = &mut self.job else { return };
        let number = job.device;
        let why = match job.phase {
            Phase::Opening => Fault::Session(Box::new(why)),
            _ => why,
        };
        let name = job.poll_name(&self.units[number].device);
        let life = match &job.aim {
            Aim::Poll { .. } => None,
            Aim::Command(order) => Some((
                order.ticket,
                match (&why, job.phase) {
                    (_, Phase::Verifying) => Life::Unverified(why.to_string()),
                    (Fault::Refused(why), _) => Life::Refused(why.clone()),
                    (Fault::NoData, _) if order.verify.is_some() => Life::Unverified(why.to_string()),
                    (Fault::NoData, _) => Life::Answered(None),
                    (why @ (Fault::NotReady | Fault::Session(_)), _) if why.is_answer() => {
                        Life::Refused(why.to_string())
                    }
                    (why, _) => Life::TimedOut(why.clone()),
                },
            )),
        };
        if let Some((ticket, life)) = life {
            self.tell(Happened::Command { ticket, life });
        }
        if !why.is_answer() {
            let unit = &mut self.units[number];
            unit.open = false;
            if unit.health.failed(now) == Some(Change::Went) {
                self.tell(Happened::Device {
                    device: number,
                    change: Change::Went,
                    why: Some(why.clone()),
                });
            }
            // Its parts would fare no better.
            self.follow.retain(|job| job.device != number);
        }
        if let Some(poll) = name {
            let (device, why) = (number, why.clone());
            self.tell(Happened::Unread { device, poll, why });
        }
        self.close(Err(why), now);
    }

    /// The device has answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.counts.answers += 1;
        self.whole = true;
        let Some(job) = &mut self.job else { return };
        self.echo.replied(job.wrong.is_none());
        let number = job.device;
        let timeout = job.step().map_or(Duration::ZERO, |step| step.timeout);
        let unit = &mut self.units[number];
        let wire = job.wire.take().unwrap_or(now);
        let owed = std::mem::take(&mut job.owed);
        if owed > 0 {
            // The request was sent twice: the second reply must not pass for the answer to what comes next.
            unit.settle = Some(wire + timeout * 2 + self.latency);
            unit.owed = owed;
        }
        self.before = None;
        unit.used = now;
        let was_offline = unit.health.is_offline();
        if unit.health.answered() == Some(Change::Came) {
            self.tell(Happened::Device {
                device: number,
                change: Change::Came,
                why: None,
            });
            if was_offline {
                self.schedule.hurry(number, now);
            }
        }
    }

    /// The port went, in the middle of it.
    pub(super) fn cut_off(&mut self, job: Job) {
        if let Aim::Command(order) = &job.aim
            && job.ended.is_none()
        {
            let ticket = order.ticket;
            let life = match job.phase {
                Phase::Verifying => Life::Unverified(Fault::Gone.to_string()),
                // It was sent, and nothing was to answer it.
                Phase::Main if job.at >= job.steps.len() => Life::Done,
                _ => Life::Dropped("cut-off"),
            };
            self.tell(Happened::Command { ticket, life });
        }
    }
}

/// In words, which value is not what it should be.
fn differs(wanted: &[(String, serde_json::Value)], record: Option<&Record>) -> Option<String> {
    let record = record?;
    wanted.iter().find_map(|(name, wanted)| {
        let Some(value) = record.find(name).and_then(|entry| entry.good().cloned()) else {
            return Some(format!("`{name}` was not read back"));
        };
        let mut text = String::new();
        value.write(None, &mut text);
        let same = match (wanted, &value) {
            (serde_json::Value::Bool(yes), Value::Bool(found)) => yes == found,
            (serde_json::Value::Bool(yes), value) => value.number() == Some(f64::from(u8::from(*yes))),
            (serde_json::Value::Number(n), value) => match (n.as_f64(), value.number()) {
                (Some(n), Some(x)) => (n - x).abs() <= 1e-9 + n.abs() * 1e-6,
                _ => text == n.to_string(),
            },
            (serde_json::Value::String(wanted), _) => *wanted == text,
            (other, _) => *other == serde_json::Value::String(text.clone()),
        };
        (!same).then(|| format!("`{name}` is {text}, not {wanted}"))
    })
}
