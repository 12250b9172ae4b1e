//! A port without a line: recorded bytes or frames become the messages that they would have become, by a clock that
//! the recording moves.

use super::config::Config;
use super::counters::Counters;
use super::device::Wrong;
use super::traffic::meaning;
use super::up::{Unpublished, Uplink};
use crate::broker::Message;
use crate::field::record::Record;
use crate::frame::{Decoder, Item};
use crate::profile::{Guard, Reader};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that are taken in one step where a recording has no times: so often the clock moves.
const STEP: usize = 32;

/// What happens in a replay.
#[derive(Debug)]
pub enum Told<'a> {
    /// A message would have been published.
    Message(Message),
    /// A frame could not be published by an entry, or isn't what the device's description says.
    Refused(String, &'a [u8]),
    /// A frame was damaged.
    Damaged(&'a str, &'a [u8]),
}

/// What was counted in a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Good frames.
    pub frames: u64,
    /// Damaged ones.
    pub damaged: u64,
    /// Good frames that are not what the device's description says.
    pub refused: u64,
    /// Good frames of a kind that it doesn't know.
    pub unknown: u64,
    /// Messages that would have been published.
    pub published: u64,
    /// Messages that could not be made.
    pub unpublished: u64,
    /// Values that were absent.
    pub absent: u64,
    /// Values that were out of range.
    pub out_of_range: u64,
}

/// One port, as far as recordings need it.
pub struct Replay {
    decoder: Decoder,
    guard: Guard,
    reader: Option<Reader>,
    uplink: Uplink,
    counters: Counters,
    char_time: Duration,
    /// The instant and the time of day at which the recording begins.
    begin: (Instant, SystemTime),
    now: Instant,
}

/// Takes what happens, with the time of day at which it does.
type Tell<'a> = dyn FnMut(SystemTime, Told<'_>) + 'a;

impl Replay {
    /// A port as the configuration says; the recording begins at `begin`.
    pub fn new(config: &Config, begin: SystemTime) -> Result<Replay, Wrong> {
        let reading = config.reading()?;
        let now = Instant::now();
        Ok(Replay {
            decoder: reading.framing.decoder(),
            guard: reading.guard,
            reader: reading.profile.map(Reader::new),
            uplink: Uplink::new(config.name.as_str().into(), &config.publish),
            counters: Counters::default(),
            char_time: config.serial().char_time(),
            begin: (now, begin),
            now,
        })
    }

    /// Bytes as they came from the line, one after the other at the line's speed.
    pub fn bytes(&mut self, bytes: &[u8], tell: &mut Tell<'_>) {
        for piece in bytes.chunks(STEP) {
            let taken = self.char_time * u32::try_from(piece.len()).unwrap_or(u32::MAX);
            self.advance(self.now + taken, tell);
            self.decoder.extend(piece, self.now);
            self.decode(tell);
        }
    }

    /// A good frame that was recorded at this time of day. Its framing and check are off already.
    pub fn frame(&mut self, time: SystemTime, frame: &[u8], tell: &mut Tell<'_>) {
        self.advance(self.instant(time), tell);
        // Which protocol of several it belonged to is not recorded: the first one that knows it.
        let Replay {
            reader,
            uplink,
            counters,
            now,
            ..
        } = self;
        let branch = reader
            .as_ref()
            .map_or(0, |reader| reader.profile().branch_of(frame));
        read(reader, uplink, counters, *now, branch, time, frame, tell);
    }

    /// The messages of values that have been read already: what the port's entries cost by themselves.
    pub fn values(&mut self, time: SystemTime, frame: &[u8], record: &Record, each: &mut dyn FnMut(Message)) {
        let (uplink, now) = (&mut self.uplink, self.now);
        uplink.messages(frame, Some(record), time, now, |_, made| {
            if let Ok(message) = made {
                each(message);
            }
        });
    }

    /// A damaged frame that was recorded at this time of day.
    pub fn damaged(&mut self, time: SystemTime, why: &str, bytes: &[u8], tell: &mut Tell<'_>) {
        self.advance(self.instant(time), tell);
        self.counters.damage("recorded");
        tell(time, Told::Damaged(why, bytes));
    }

    /// The recording ends: silence ends the last frame, and what is held back is published.
    pub fn end(&mut self, tell: &mut Tell<'_>) -> Summary {
        while let Some(silence) = self.decoder.deadline() {
            self.advance(silence, tell);
        }
        let now = self.now;
        let time = self.time(now);
        if self.decoder.reset() > 0 {
            self.counters.damage("cut-off");
            tell(time, Told::Damaged("cut-off", &[]));
        }
        let counters = &mut self.counters;
        self.uplink
            .flush(now, &mut |_, made| message(counters, time, made, &[], tell));
        let counters = &self.counters;
        Summary {
            frames: counters.frames,
            damaged: counters.damaged.values().sum(),
            refused: counters.refused,
            unknown: counters.unknown,
            published: counters.published,
            unpublished: counters.unpublished,
            absent: counters.absent,
            out_of_range: counters.out_of_range,
        }
    }

    /// The clock moves on; what is due on the way happens at its time. It never moves back, as a clock of the day
    /// may have done while it was recorded.
    fn advance(&mut self, to: Instant, tell: &mut Tell<'_>) {
        loop {
            let due = [self.decoder.deadline(), self.uplink.deadline()];
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= to) else {
                break;
            };
            self.now = self.now.max(due);
            let now = self.now;
            self.decoder.expire(now);
            self.decode(tell);
            let time = self.time(now);
            let counters = &mut self.counters;
            self.uplink
                .time(now, &mut |_, made| message(counters, time, made, &[], tell));
        }
        self.now = self.now.max(to);
    }

    fn decode(&mut self, tell: &mut Tell<'_>) {
        let time = self.time(self.now);
        let Replay {
            decoder,
            guard,
            reader,
            uplink,
            counters,
            now,
            ..
        } = self;
        while let Some((branch, item)) = decoder.next_of(&*guard) {
            match item {
                Item::Frame(frame) => read(reader, uplink, counters, *now, branch, time, frame, tell),
                Item::Damaged { why, bytes } => {
                    counters.damage(why.name());
                    tell(time, Told::Damaged(why.name(), bytes));
                }
            }
        }
    }

    fn time(&self, at: Instant) -> SystemTime {
        let (instant, time) = self.begin;
        time.checked_add(at.saturating_duration_since(instant))
            .unwrap_or(time)
    }

    fn instant(&self, at: SystemTime) -> Instant {
        let (instant, time) = self.begin;
        let passed = at.duration_since(time).unwrap_or_default();
        instant.checked_add(passed).unwrap_or(instant)
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a port, each borrowed by itself"
)]
fn read(
    reader: &mut Option<Reader>,
    uplink: &mut Uplink,
    counters: &mut Counters,
    now: Instant,
    branch: usize,
    time: SystemTime,
    frame: &[u8],
    tell: &mut Tell<'_>,
) {
    counters.frames += 1;
    let read = match reader {
        Some(reader) => meaning(reader, branch, frame, counters),
        None => Ok(None),
    };
    match read {
        Ok(record) => uplink.messages(frame, record.as_ref(), time, now, |_, made| {
            message(counters, time, made, frame, tell);
        }),
        Err(why) => tell(time, Told::Refused(why, frame)),
    }
}

fn message(
    counters: &mut Counters,
    time: SystemTime,
    made: Result<Message, Unpublished>,
    frame: &[u8],
    tell: &mut Tell<'_>,
) {
    match made {
        Ok(message) => {
            counters.published += 1;
            tell(time, Told::Message(message));
        }
        Err(why) => {
            counters.unpublished += 1;
            tell(time, Told::Refused(why.to_string(), frame));
        }
    }
}
