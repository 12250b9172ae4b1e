//! Frames on their way to the device: bounded, in order, spaced, and none lost without a word. Pure.

use crate::topic::Topic;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A command's frame that waits for the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    /// The topic that the command came on.
    pub(crate) topic: Topic,
    /// The bytes for the line: framed, with their check.
    pub(crate) frame: Vec<u8>,
    /// Which command entry it is of.
    pub(crate) entry: usize,
    /// When it is too old to be sent.
    pub(crate) expires: Instant,
    /// By which its life is told.
    pub(crate) ticket: u64,
}

/// What a command entry asks of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How many frames of this entry may wait.
    pub(crate) queue: usize,
    /// Whether a full queue drops its oldest frame, or refuses the new one.
    pub(crate) drop_oldest: bool,
    /// Silence on the line after a frame of this entry.
    pub(crate) spacing: Duration,
    /// The break before a frame of this entry; zero for none.
    pub(crate) wake: Duration,
}

/// What the line should do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Write these bytes, the rest of one frame; before its first one there is a break of this length, if it isn't zero.
    Write(&'a [u8], Duration),
    /// Keep silent until then.
    Wait(Instant),
    /// Nothing to write.
    Idle,
}

/// The queue of one port, and the frame that is being written.
#[derive(Debug)]
pub(crate) struct Outbox {
    policies: Vec<Policy>,
    char_time: Duration,
    queue: VecDeque<Queued>,
    writing: Option<(Queued, usize)>,
    quiet_until: Option<Instant>,
}

impl Outbox {
    /// An empty queue for entries of these policies, on a line whose character takes `char_time`.
    pub(crate) fn new(policies: Vec<Policy>, char_time: Duration) -> Outbox {
        Outbox {
            policies,
            char_time,
            queue: VecDeque::new(),
            writing: None,
            quiet_until: None,
        }
    }

    /// Takes a frame. What did not find room is handed back: this one, or the oldest of its entry.
    pub(crate) fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        let policy = self.policies[queued.entry];
        let waiting = self
            .queue
            .iter()
            .filter(|other| other.entry == queued.entry)
            .count();
        if waiting < policy.queue {
            self.queue.push_back(queued);
            return Ok(());
        }
        let oldest = self.queue.iter().position(|other| other.entry == queued.entry);
        match oldest
            .filter(|_| policy.drop_oldest)
            .and_then(|at| self.queue.remove(at))
        {
            Some(oldest) => {
                self.queue.push_back(queued);
                Err(oldest)
            }
            None => Err(queued),
        }
    }

    /// Takes out a frame that is too old to be sent, if there is one.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Queued> {
        // The frame in hand, too, as long as nothing of it is on the line.
        if let Some((queued, _)) = self
            .writing
            .take_if(|(queued, written)| *written == 0 && queued.expires <= now)
        {
            return Some(queued);
        }
        let at = self.queue.iter().position(|queued| queued.expires <= now)?;
        self.queue.remove(at)
    }

    /// When the next frame in the queue will be too old.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        let in_hand = self
            .writing
            .as_ref()
            .filter(|(_, written)| *written == 0)
            .map(|(queued, _)| queued);
        self.queue
            .iter()
            .chain(in_hand)
            .map(|queued| queued.expires)
            .min()
    }

    /// Until when the line has to be silent, if something waits for that.
    pub(crate) fn quiet(&self, now: Instant) -> Option<Instant> {
        self.quiet_until
            .filter(|until| *until > now && self.writing.is_none() && !self.queue.is_empty())
    }

    /// The line has to be silent until then before a frame is begun.
    pub(crate) fn hush(&mut self, until: Instant) {
        self.quiet_until = Some(self.quiet_until.map_or(until, |quiet| quiet.max(until)));
    }

    /// What to do at `now`.
    pub(crate) fn next(&mut self, now: Instant) -> Next<'_> {
        if self.writing.is_none() {
            if self.queue.is_empty() {
                return Next::Idle;
            }
            if let Some(until) = self.quiet_until.filter(|until| *until > now) {
                return Next::Wait(until);
            }
            self.writing = self.queue.pop_front().map(|queued| (queued, 0));
        }
        match &self.writing {
            Some((queued, written)) => {
                Next::Write(&queued.frame[*written..], self.policies[queued.entry].wake)
            }
            None => Next::Idle,
        }
    }

    /// The line took `count` bytes. Gives the frame when that was its end.
    pub(crate) fn wrote(&mut self, count: usize, now: Instant) -> Option<Queued> {
        let (queued, written) = self.writing.as_mut()?;
        *written += count;
        if *written < queued.frame.len() {
            return None;
        }
        let (queued, _) = self.writing.take()?;
        let spacing = self.policies[queued.entry].spacing;
        // The kernel has taken the bytes, the wire has not carried them yet: the silence starts after them.
        self.quiet_until = (!spacing.is_zero()).then(|| {
            let start = self.quiet_until.map_or(now, |until| until.max(now));
            start + self.char_time * u32::try_from(queued.frame.len()).unwrap_or(u32::MAX) + spacing
        });
        Some(queued)
    }

    /// The line is gone: the frame of which a part may have been written can't be finished.
    pub(crate) fn abandon(&mut self) -> Option<Queued> {
        self.quiet_until = None;
        self.writing.take().map(|(queued, _)| queued)
    }

    /// Takes out the next frame that will never be sent, when the gateway stops.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        self.queue.pop_front()
    }

    /// Whether a frame is half on the line.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// How many frames wait, with the one being written.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + usize::from(self.writing.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn queued(text: &str, entry: usize, expires: Instant) -> Queued {
        Queued {
            topic: Topic::parse("a").unwrap(),
            frame: text.as_bytes().to_vec(),
            entry,
            expires,
            ticket: 0,
        }
    }

    fn outbox(queue: usize, drop_oldest: bool, spacing: Duration) -> Outbox {
        Outbox::new(
            vec![
                Policy {
                    queue,
                    drop_oldest,
                    spacing,
                    wake: Duration::ZERO,
                };
                2
            ],
            MS,
        )
    }

    #[test]
    fn a_full_queue_follows_the_policy_of_its_entry() {
        let now = Instant::now();
        let mut newest = outbox(1, false, Duration::ZERO);
        assert_eq!(newest.push(queued("a", 0, now)), Ok(()));
        assert_eq!(newest.push(queued("b", 0, now)).unwrap_err().frame, b"b");
        assert_eq!(
            newest.push(queued("c", 1, now)),
            Ok(()),
            "another entry has room of its own"
        );

        let mut oldest = outbox(1, true, Duration::ZERO);
        assert_eq!(oldest.push(queued("a", 0, now)), Ok(()));
        assert_eq!(oldest.push(queued("b", 0, now)).unwrap_err().frame, b"a");
        assert_eq!(oldest.next(now), Next::Write(b"b", Duration::ZERO));
    }

    #[test]
    fn spacing_counts_from_the_end_of_the_frame_on_the_wire() {
        let start = Instant::now();
        let later = start + Duration::from_secs(9);
        let mut outbox = outbox(8, false, 10 * MS);
        outbox.push(queued("abcde", 0, later)).unwrap();
        outbox.push(queued("f", 0, later)).unwrap();
        assert_eq!(outbox.next(start), Next::Write(b"abcde", Duration::ZERO));
        assert_eq!(outbox.wrote(3, start), None);
        assert_eq!(outbox.next(start), Next::Write(b"de", Duration::ZERO));
        assert_eq!(outbox.wrote(2, start).unwrap().frame, b"abcde");
        assert_eq!(outbox.next(start), Next::Wait(start + 15 * MS));
        assert_eq!(outbox.next(start + 15 * MS), Next::Write(b"f", Duration::ZERO));
    }

    #[test]
    fn a_frame_that_the_line_never_took_expires_too() {
        let now = Instant::now();
        let mut outbox = outbox(8, false, Duration::ZERO);
        outbox.push(queued("held back", 0, now + 5 * MS)).unwrap();
        assert_eq!(outbox.next(now), Next::Write(b"held back", Duration::ZERO));
        assert_eq!(outbox.expiry(), Some(now + 5 * MS));
        assert_eq!(outbox.expired(now + 5 * MS).unwrap().frame, b"held back");
        assert_eq!(outbox.next(now), Next::Idle);
    }

    #[test]
    fn old_frames_expire_and_a_half_written_one_is_abandoned() {
        let now = Instant::now();
        let mut outbox = outbox(8, false, Duration::ZERO);
        outbox.push(queued("half", 0, now + 9 * MS)).unwrap();
        outbox.push(queued("late", 0, now + 5 * MS)).unwrap();
        outbox.next(now);
        outbox.wrote(1, now);
        assert!(outbox.is_writing());
        assert_eq!(outbox.expiry(), Some(now + 5 * MS));
        assert_eq!(outbox.expired(now), None);
        assert_eq!(outbox.expired(now + 5 * MS).unwrap().frame, b"late");
        assert_eq!(outbox.abandon().unwrap().frame, b"half");
        assert_eq!(outbox.next(now), Next::Idle);
    }
}
