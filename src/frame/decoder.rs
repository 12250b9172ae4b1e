//! The decoder: holds what was read, asks the method for the next step, and tells what came of it.

use super::buffer::{Buffer, READ};
use super::{Damage, Framing, Item, Seal};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A run of skipped bytes is told of at the latest when it has become this long.
pub(super) const RUN_MAX: usize = 1024;

/// Takes the bytes that were read and gives the frames in them.
///
/// Read into [`space`](Decoder::space), say how much with [`filled`](Decoder::filled), then call
/// [`next`](Decoder::next) until it gives `None`. When [`deadline`](Decoder::deadline) passes without a
/// read, call [`expire`](Decoder::expire) and then `next` again. So used, it holds no more than the longest
/// frame on the wire, a short run of noise, and what was read last.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    buffer: Buffer,
    progress: Progress,
    /// Held bytes, from the first on, that belong to no frame.
    run: Run,
    /// Where among the held bytes silence was noticed, counted from the first.
    silences: VecDeque<usize>,
    /// A step that waits until the run before it has been told.
    pending: Option<Step>,
    /// When the last byte came.
    last: Option<Instant>,
    /// The unescaped content of a frame.
    scratch: Vec<u8>,
}

/// What a method keeps between two steps. Places count from the first byte that it is shown.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Up to here the end of the frame has been searched for.
    pub(super) seen: usize,
    /// Up to here another start has been searched for; with escapes: up to here a search from an earlier
    /// start has met nothing.
    pub(super) inner: usize,
    /// Part of a frame that is too long has been given already; its rest follows.
    pub(super) over: bool,
    /// A flag has been seen since the line was opened.
    pub(super) synced: bool,
    /// An escape has been seen in this frame.
    pub(super) escaped: bool,
    /// Where several methods share the line: what each of them keeps.
    pub(super) each: Vec<Progress>,
    /// Which of them had the last frame.
    pub(super) branch: usize,
}

impl Progress {
    /// The next step is shown what comes after `n` bytes.
    fn pass(&mut self, n: usize) {
        self.seen = self.seen.saturating_sub(n);
        self.inner = self.inner.saturating_sub(n);
        for progress in &mut self.each {
            progress.pass(n);
        }
    }

    /// Silence: nothing before it is looked at again.
    fn silence(&mut self) {
        let mut each = std::mem::take(&mut self.each);
        each.iter_mut().for_each(Progress::silence);
        *self = Progress {
            synced: self.synced,
            each,
            ..Progress::default()
        };
    }
}

/// What the method makes of the bytes that it is shown.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet: more bytes or silence must come.
    More,
    /// These many bytes belong between frames and are nobody's loss.
    Pass(usize),
    /// These many bytes belong to no frame; the next step looks behind them.
    Skip(usize, Damage),
    /// A frame was refused as a whole.
    Damaged { used: usize, why: Damage },
    /// A frame; its data is a part of the bytes, or of the scratch when it had to be unescaped.
    Frame {
        used: usize,
        data: Range<usize>,
        scratch: bool,
    },
}

/// A method, told what lies before it.
pub(super) struct Scene<'a, S: ?Sized> {
    /// The bytes that came.
    pub(super) bytes: &'a [u8],
    /// Whether silence followed them.
    pub(super) silent: bool,
    pub(super) seal: &'a S,
    pub(super) progress: &'a mut Progress,
    pub(super) scratch: &'a mut Vec<u8>,
}

#[derive(Debug, Default)]
struct Run {
    len: usize,
    why: Option<Damage>,
}

impl Run {
    /// Adds skipped bytes. What broke a frame says more than the noise around it.
    fn add(&mut self, n: usize, why: Damage) {
        if n > 0 && self.why.is_none_or(|known| known == Damage::Noise) {
            self.why = Some(why);
        }
        self.len += n;
    }
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Decoder {
        Decoder {
            framing,
            buffer: Buffer::default(),
            progress: Progress::default(),
            run: Run::default(),
            silences: VecDeque::new(),
            pending: None,
            last: None,
            scratch: Vec::new(),
        }
    }

    /// Where the next read goes: 4096 bytes or more.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space()
    }

    /// `n` bytes were read into [`space`](Decoder::space), the last of them at `now`.
    pub fn filled(&mut self, n: usize, now: Instant) {
        if n == 0 {
            return;
        }
        if let (Some(quiet), Some(last)) = (self.framing.quiet(), self.last) {
            // These bytes took their time on the line, too: only what is beyond that was silence.
            let transfer = saturating_times(self.framing.char_time(), n);
            let silence = now.saturating_duration_since(last).saturating_sub(transfer);
            if silence >= quiet {
                self.silence();
            }
        }
        self.buffer.fill(n);
        self.last = Some(now);
    }

    /// Takes bytes that are in memory already, as if they had been read at `now`.
    pub fn extend(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let space = self.space();
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            self.filled(n, now);
            bytes = &bytes[n..];
        }
    }

    /// When silence will mean something: the end of a frame, or of the hope for its rest.
    pub fn deadline(&self) -> Option<Instant> {
        let held = self.buffer.held().len();
        if held == 0 || self.silences.back() == Some(&held) {
            return None;
        }
        self.last?.checked_add(self.framing.quiet()?)
    }

    /// Nothing has been read until `now`.
    pub fn expire(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.silence();
        }
    }

    /// The line told by other means than bytes or silence that what came so far is over.
    pub fn cut(&mut self) {
        self.silence();
    }

    /// The line was closed: forgets what is held, and says how many bytes that was.
    pub fn reset(&mut self) -> usize {
        let held = self.buffer.held().len();
        self.buffer.spend(held);
        self.progress = Progress::default();
        self.run = Run::default();
        self.silences.clear();
        self.pending = None;
        self.last = None;
        held
    }

    /// The next frame, or what was damaged. `None`: read on.
    pub fn next<S: Seal + ?Sized>(&mut self, seal: &S) -> Option<Item<'_>> {
        self.next_of(seal).map(|(_, item)| item)
    }

    /// The next frame, or what was damaged, with the number of the branch that it came from where several
    /// methods share the line ([`Framing::any`]). `None`: read on.
    pub fn next_of<S: Seal + ?Sized>(&mut self, seal: &S) -> Option<(usize, Item<'_>)> {
        loop {
            if self.run.len >= RUN_MAX {
                return Some((0, self.tell_run(RUN_MAX)));
            }
            let held = self.buffer.held();
            let (limit, silent) = match self.silences.front() {
                Some(&place) => (place, true),
                None => (held.len(), false),
            };
            let step = match self.pending.take() {
                Some(step) => step,
                None if self.run.len == limit => Step::More,
                None => self.framing.step(&mut Scene {
                    bytes: &held[self.run.len..limit],
                    silent,
                    seal,
                    progress: &mut self.progress,
                    scratch: &mut self.scratch,
                }),
            };
            match step {
                Step::Skip(n, why) => {
                    self.run.add(n, why);
                    self.progress.pass(n);
                }
                Step::More if silent => {
                    // Whatever is left before the silence has no rest to hope for.
                    self.run.add(limit - self.run.len, Damage::Stale);
                    self.progress.silence();
                    self.silences.pop_front();
                    if self.run.len > 0 {
                        let all = self.run.len;
                        return Some((0, self.tell_run(all)));
                    }
                }
                Step::More => return None,
                step if self.run.len > 0 => {
                    self.pending = Some(step);
                    let all = self.run.len;
                    return Some((0, self.tell_run(all)));
                }
                Step::Pass(n) => {
                    self.progress.pass(n);
                    self.spend(n);
                }
                Step::Damaged { used, why } => {
                    self.progress.pass(used);
                    let spent = self.spend(used);
                    let bytes = self.buffer.spent(spent, 0..used);
                    return Some((0, Item::Damaged { why, bytes }));
                }
                Step::Frame { used, data, scratch } => {
                    self.progress.pass(used);
                    let spent = self.spend(used);
                    let data = match scratch {
                        true => &self.scratch[data],
                        false => self.buffer.spent(spent, data),
                    };
                    return Some((self.progress.branch, Item::Frame(data)));
                }
            }
        }
    }

    /// The memory that the decoder takes for bytes.
    pub fn memory(&self) -> usize {
        self.buffer.size() + self.scratch.capacity()
    }

    fn silence(&mut self) {
        let held = self.buffer.held().len();
        if held > 0 && self.silences.back() != Some(&held) {
            self.silences.push_back(held);
        }
    }

    fn spend(&mut self, n: usize) -> super::buffer::Spent {
        for place in &mut self.silences {
            *place = place.saturating_sub(n);
        }
        self.buffer.spend(n)
    }

    fn tell_run(&mut self, n: usize) -> Item<'_> {
        let why = self.run.why.take().unwrap_or(Damage::Noise);
        self.run.len -= n;
        let spent = self.spend(n);
        Item::Damaged {
            why,
            bytes: self.buffer.spent(spent, 0..n),
        }
    }
}

fn saturating_times(time: Duration, n: usize) -> Duration {
    u32::try_from(n)
        .ok()
        .and_then(|n| time.checked_mul(n))
        .unwrap_or(Duration::MAX)
}

const _: () = assert!(READ >= RUN_MAX);
