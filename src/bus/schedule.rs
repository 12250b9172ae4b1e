//! Who is next on the line: commands before reads that somebody waits for, before polls, which never starve.

use std::time::{Duration, Instant};

/// So many commands may go in a row while a poll is due; then one poll has its turn.
pub(crate) const ROW: u32 = 4;

/// A poll of a device, by its intervals.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) device: usize,
    pub(crate) poll: usize,
    every: Duration,
    phase: Duration,
    due: Instant,
    first: bool,
    /// Not asked any more: the device has no such thing.
    off: bool,
}

/// When which poll is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    slots: Vec<Slot>,
    start: Instant,
    /// Intervals that passed without their poll, because the line or the device had no time.
    pub(crate) skipped: u64,
    /// Commands since the last poll.
    row: u32,
}

impl Schedule {
    /// Polls of these devices and intervals: all are due at `start`, one after the other, and spread evenly over
    /// their intervals from then on.
    pub(crate) fn new(polls: impl IntoIterator<Item = (usize, usize, Duration)>, start: Instant) -> Schedule {
        let mut slots: Vec<Slot> = polls
            .into_iter()
            .map(|(device, poll, every)| Slot {
                device,
                poll,
                every: every.max(Duration::from_millis(1)),
                phase: Duration::ZERO,
                due: start,
                first: true,
                off: false,
            })
            .collect();
        let count = u32::try_from(slots.len()).unwrap_or(u32::MAX).max(1);
        for (n, slot) in slots.iter_mut().enumerate() {
            slot.phase = slot.every / count * u32::try_from(n).unwrap_or(0);
        }
        Schedule {
            slots,
            start,
            skipped: 0,
            row: 0,
        }
    }

    /// All polls are due again: the port was opened.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.start = now;
        for slot in &mut self.slots {
            slot.due = now;
            slot.first = true;
            slot.off = false;
        }
    }

    /// The poll whose turn it is, of the devices that may be asked.
    pub(crate) fn due(&self, now: Instant, may: impl Fn(usize) -> bool) -> Option<usize> {
        let ready = self.slots.iter().enumerate();
        ready
            .filter(|(_, slot)| !slot.off && slot.due <= now && may(slot.device))
            .min_by_key(|(_, slot)| slot.due)
            .map(|(n, _)| n)
    }

    /// Whether a command may go before the poll that is due.
    pub(crate) fn command_first(&self) -> bool {
        self.row < ROW
    }

    /// A command went.
    pub(crate) fn commanded(&mut self) {
        self.row = self.row.saturating_add(1);
    }

    /// A poll has its turn.
    pub(crate) fn turn(&mut self) {
        self.row = 0;
    }

    /// The poll is asked for now: when it is due again.
    pub(crate) fn asked(&mut self, n: usize, now: Instant) {
        let start = self.start;
        let Some(slot) = self.slots.get_mut(n) else {
            return;
        };
        let after = if slot.first {
            slot.due + slot.every / 2
        } else {
            slot.due
        };
        let skipped = slot.next_after(start, after, now, !slot.first);
        slot.first = false;
        self.skipped += skipped;
    }

    /// All polls of a device are due: it is back.
    pub(crate) fn hurry(&mut self, device: usize, now: Instant) {
        for slot in self.slots.iter_mut().filter(|slot| slot.device == device) {
            slot.due = slot.due.min(now);
            slot.first = true;
        }
    }

    /// This poll is asked for no more.
    pub(crate) fn drop(&mut self, device: usize, poll: usize) {
        if let Some(slot) = self.slot(device, poll) {
            slot.off = true;
        }
    }

    /// When the next poll is due, of the devices that may be asked.
    pub(crate) fn next(&self, may: impl Fn(usize) -> bool) -> Option<Instant> {
        let on = self.slots.iter().filter(|slot| !slot.off && may(slot.device));
        on.map(|slot| slot.due).min()
    }

    pub(crate) fn at(&self, n: usize) -> Option<&Slot> {
        self.slots.get(n)
    }

    fn slot(&mut self, device: usize, poll: usize) -> Option<&mut Slot> {
        self.slots
            .iter_mut()
            .find(|slot| slot.device == device && slot.poll == poll)
    }
}

impl Slot {
    /// The next place on the slot's own grid behind `after` and not long before `now`. Gives how many places were
    /// left out.
    fn next_after(&mut self, start: Instant, after: Instant, now: Instant, counted: bool) -> u64 {
        let grid = start + self.phase;
        let every = self.every.as_nanos();
        // A place that has just passed is still to be kept: what came late once is not late for ever.
        let least = after.max(now.checked_sub(self.every).unwrap_or(after));
        let passed = least.saturating_duration_since(grid).as_nanos() / every;
        let mut places = u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1);
        if least < grid {
            places = 0;
        }
        let nanos = (self.every.as_nanos()).saturating_mul(u128::from(places));
        let ahead = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let due = grid.checked_add(ahead).unwrap_or(grid);
        let between = due.saturating_duration_since(self.due).as_nanos() / every;
        self.due = due;
        if counted {
            u64::try_from(between).unwrap_or(u64::MAX).saturating_sub(1)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn intervals_that_the_line_has_no_time_for_are_left_out_and_counted() {
        let start = Instant::now();
        let mut schedule = Schedule::new([(0, 0, 10 * MS)], start);
        schedule.asked(0, start);
        let late = start + 95 * MS;
        assert_eq!(schedule.due(late, |_| true), Some(0));
        schedule.asked(0, late);
        assert!(schedule.skipped >= 7, "{}", schedule.skipped);
        assert!(
            schedule.next(|_| true).unwrap() > late - 10 * MS,
            "nothing queues up"
        );
    }

    proptest! {
        /// On a line that is never busy, a poll comes at its places on the grid, however late it is served each time.
        #[test]
        fn intervals_do_not_drift(every in 10u32..2000, delays in prop::collection::vec(0u32..9, 2..60)) {
            let start = Instant::now();
            let mut schedule = Schedule::new([(0, 0, every * MS), (1, 0, every * MS)], start);
            for n in 0..2 {
                schedule.asked(n, start);
            }
            for delay in delays {
                let due = schedule.at(1).unwrap().due;
                let offset = (due - start).as_nanos() % (u128::from(every) * 1_000_000);
                prop_assert_eq!(offset, u128::from(every) * 500_000);
                schedule.asked(1, due + delay * MS);
                prop_assert_eq!(schedule.at(1).unwrap().due, due + every * MS);
            }
            prop_assert_eq!(schedule.skipped, 0);
        }

        /// Over a long time a poll is served or counted as skipped once for each of its intervals.
        #[test]
        fn nothing_is_lost_without_being_counted(every in 5u32..50, gaps in prop::collection::vec(1u32..200, 1..100)) {
            let start = Instant::now();
            let mut schedule = Schedule::new([(0, 0, every * MS)], start);
            schedule.asked(0, start);
            let (mut now, mut asked) = (start, 0u64);
            for gap in gaps {
                now += gap * MS;
                while schedule.due(now, |_| true).is_some() {
                    schedule.asked(0, now);
                    asked += 1;
                }
            }
            let intervals = (now - start).as_millis() as u64 / u64::from(every);
            let told = asked + schedule.skipped;
            prop_assert!(told.abs_diff(intervals) <= 2, "{told} of {intervals}");
        }
    }
}
