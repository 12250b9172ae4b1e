//! What a frame is taken for: the answer, or something that is thrown away while the clock runs on.

use super::device::{Pause, Reply};
use super::job::Phase;
use super::master::{Bus, Doing};
use super::{Fault, Happened, Heard};
use crate::field::record::Record;
use crate::profile::Outcome;
use crate::profile::asked::Unasked;
use std::time::Instant;

impl Bus {
    /// A good frame came.
    pub(super) fn frame(&mut self, number: usize, branch: usize, data: Vec<u8>, now: Instant) {
        let doing = self.doing;
        let (number, as_) = match doing {
            _ if self.pairs.is_some() => self.overheard(branch, &data, now),
            Doing::Awaiting { .. } => (number, self.reply(number, branch, &data, now)),
            Doing::Pausing { .. } if self.wakes(number, branch, &data) => {
                self.go_on(now);
                (number, Heard::Answer)
            }
            _ if self.wakes_parked(number, branch, &data, now) => (number, Heard::Answer),
            _ => (number, self.stray(number, branch, &data)),
        };
        match as_ {
            Heard::Foreign => self.counts.foreign += 1,
            Heard::Late => self.counts.late += 1,
            Heard::Unasked => self.counts.strays += 1,
            _ => {}
        }
        self.tell(Happened::Heard {
            device: number,
            bytes: data,
            as_,
        });
    }

    /// A frame while a reply is awaited.
    fn reply(&mut self, number: usize, branch: usize, data: &[u8], now: Instant) -> Heard {
        let request = self.request.clone();
        let asked = (!request.is_empty()).then_some(&*request);
        let unit = &mut self.units[number];
        let outcome = unit.reader.profile().read(branch, data, asked);
        if let Some(address) = &unit.device.address
            && unit.device.profile.is_of(branch, data, &outcome, address) == Some(false)
        {
            self.wrong(Fault::Foreign);
            return Heard::Foreign;
        }
        let Some(job) = &self.job else {
            return Heard::Unasked;
        };
        let Some(step) = job.step().cloned() else {
            return Heard::Unasked;
        };
        let kind = kind(&outcome).map(str::to_owned);
        let named = |kinds: &[String]| kind.as_ref().is_some_and(|kind| kinds.contains(kind));
        let expected = match &step.reply {
            Reply::None => false,
            Reply::Any => !matches!(
                outcome,
                Outcome::Unknown | Outcome::Ignored(_) | Outcome::Refused(_)
            ),
            Reply::Kinds(kinds) => named(kinds) && !matches!(outcome, Outcome::Refused(_)),
        };
        let session = unit.device.session.as_ref();
        if session.is_some_and(|session| named(&session.lost)) && job.phase == Phase::Main {
            self.answered(now);
            let why = record(&outcome).map(reason);
            self.lost(why.or(kind).unwrap_or_default(), now);
            return Heard::Refusal;
        }
        if let (Outcome::Error(record), true) = (&outcome, matches!(step.reply, Reply::Any) || !expected) {
            self.answered(now);
            let record = record.clone();
            let why = reason(&record);
            self.values(number, data, record, false);
            self.refused(why, now);
            return Heard::Refusal;
        }
        if !expected {
            let not_yet = step.repeat > 0 && kind.is_some() && !matches!(outcome, Outcome::Refused(_));
            if not_yet {
                self.answered(now);
                self.repeat(step.repeat, &step.pause, now);
                return Heard::Answer;
            }
            return match outcome {
                Outcome::Refused(fault) => {
                    let why = fault.to_string();
                    self.wrong(Fault::Garbled(why.clone()));
                    Heard::Misread(why)
                }
                _ => self.stray(number, branch, data),
            };
        }
        // What is gathered from several frames is taken only now, when the frame is known to be an answer.
        let outcome = unit.reader.read(branch, data, asked);
        match outcome {
            Outcome::Gathered => {
                if let Doing::Awaiting { deadline, .. } = &mut self.doing {
                    *deadline = now + step.timeout;
                }
            }
            Outcome::NoData(_) if job.phase == Phase::Main => {
                self.answered(now);
                self.account(self.last);
                self.fail(Fault::NoData, now);
            }
            outcome => {
                self.answered(now);
                let record = record(&outcome).cloned();
                if let Outcome::Values(record) = outcome {
                    self.values(number, data, record, true);
                }
                if let Some(job) = &mut self.job {
                    job.record.clone_from(&record);
                }
                self.over(record.as_ref(), now, now);
            }
        }
        Heard::Answer
    }

    /// The device isn't ready: it is asked again, some times.
    fn repeat(&mut self, most: u16, pause: &Pause, now: Instant) {
        self.account(self.last);
        let Some(job) = &mut self.job else { return };
        job.repeats += 1;
        if job.repeats > most {
            return self.fail(Fault::NotReady, now);
        }
        let until = match pause {
            Pause::For(pause) => now + *pause,
            _ => now,
        };
        job.pause = Pause::None;
        let shared = job.step().is_some_and(|step| step.shared);
        self.pause(until, shared, now);
    }

    /// Values of an answer are given on, but for those of a session's steps. What a refusal says is nothing that the
    /// poll has read.
    fn values(&mut self, number: usize, data: &[u8], record: Record, read: bool) {
        let Some(job) = &self.job else { return };
        if matches!(job.phase, Phase::Opening | Phase::Closing) {
            return;
        }
        let poll = job.poll_name(&self.units[number].device).filter(|_| read);
        self.tell(Happened::Values {
            device: number,
            poll,
            bytes: data.to_vec(),
            record,
        });
    }

    /// Whether this frame ends the pause of a dialogue that has let others have the line.
    fn wakes_parked(&mut self, number: usize, branch: usize, data: &[u8], now: Instant) -> bool {
        let at = self.parked.iter().position(|(job, _)| job.device == number);
        let woken = at.filter(|at| self.ends(&self.parked[*at].0.pause, number, branch, data));
        if let Some(at) = woken {
            self.parked[at].1 = now;
        }
        woken.is_some()
    }

    /// Whether this frame ends the pause.
    fn wakes(&self, number: usize, branch: usize, data: &[u8]) -> bool {
        let pause = self.job.as_ref().map(|job| &job.pause);
        pause.is_some_and(|pause| self.ends(pause, number, branch, data))
    }

    fn ends(&self, pause: &Pause, number: usize, branch: usize, data: &[u8]) -> bool {
        let Pause::Said { until, .. } = pause else {
            return false;
        };
        let outcome = self.units[number].reader.profile().read(branch, data, None);
        kind(&outcome).is_some_and(|kind| until.iter().any(|known| known == kind))
    }

    /// A frame that is no answer to what is asked now.
    fn stray(&mut self, number: usize, branch: usize, data: &[u8]) -> Heard {
        let unit = &mut self.units[number];
        let outcome = unit.reader.profile().read(branch, data, None);
        if let Some(address) = &unit.device.address
            && unit.device.profile.is_of(branch, data, &outcome, address) == Some(false)
        {
            return Heard::Foreign;
        }
        let late = self.before.as_ref().is_some_and(|before| {
            let outcome = unit.reader.profile().read(branch, data, Some(&before.request));
            before.device == number && kind(&outcome).is_some()
        });
        if late || unit.settle.is_some() {
            // This is what was waited for.
            unit.owed = unit.owed.saturating_sub(1);
            if unit.owed == 0 {
                unit.settle = None;
            }
            self.before = None;
            return Heard::Late;
        }
        if unit.device.rules.unasked == Unasked::Publish
            && let Outcome::Values(record) = unit.reader.read(branch, data, None)
        {
            let poll = None;
            self.tell(Happened::Values {
                device: number,
                poll,
                bytes: data.to_vec(),
                record,
            });
        }
        Heard::Unasked
    }

    fn wrong(&mut self, why: Fault) {
        if let Some(job) = &mut self.job
            && !matches!(job.wrong, Some(Fault::Collision | Fault::Garbled(_)))
        {
            job.wrong = Some(why);
        }
    }
}

/// The kind of frame.
fn kind(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Ignored(kind) => Some(kind),
        outcome => record(outcome).map(Record::kind),
    }
}

fn record(outcome: &Outcome) -> Option<&Record> {
    match outcome {
        Outcome::Values(record) | Outcome::Error(record) | Outcome::Ack(record) | Outcome::NoData(record) => {
            Some(record)
        }
        _ => None,
    }
}

/// Why the device says no: in its own words, where the profile has a name for them.
fn reason(record: &Record) -> String {
    const WORDS: [&str; 5] = ["error", "exception", "reason", "status", "code"];
    let mut text = String::new();
    match WORDS
        .iter()
        .find_map(|word| record.get(word)?.good().map(|_| word))
    {
        Some(word) => {
            if let Some(entry) = record.get(word) {
                entry.write(&mut text);
            }
        }
        None => text.push_str(record.kind()),
    }
    text
}
