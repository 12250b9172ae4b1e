//! One frame's way onto the line: the driver on, a break, the first byte with its ninth bit, the rest, and when the last
//! bit has left, the driver off.
//!
//! A state machine without clock or line of its own: it is given a line that knows the time, and says what it waits for. So
//! nothing blocks, and what the line is told, in which order and when, is tested with a double.

use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

/// The line is not looked at more often.
const LOOK: Duration = Duration::from_micros(50);
/// Where the driver can't tell when an adapter is empty, it is given so much more time than the characters take: a USB
/// adapter gets what it is to send with the next frame of 1 ms (USB 2.0, 5.3.3), and confirms it with another one.
const ADAPTER: Duration = Duration::from_millis(2);

/// A transmitter that is not empty so long after all has left by the line's speed never says that it is: the kernel, too,
/// then waits no longer (`uart_wait_until_sent`).
const STUCK: Duration = Duration::from_millis(250);

/// What is to be done around frames on this line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The driver is turned on before a frame and off behind it.
    pub(super) drives: bool,
    pub(super) before: Duration,
    pub(super) after: Duration,
    /// The first byte of a frame has the ninth bit set.
    pub(super) ninth: bool,
}

/// What the line is told, and asked.
pub(super) trait Wire {
    /// Turns the driver on or off.
    fn drive(&mut self, on: bool) -> io::Result<()>;
    /// Holds the line at 0, or lets it go.
    fn hold(&mut self, held: bool) -> io::Result<()>;
    /// Sets the ninth bit of what is written from here on, or clears it.
    fn mark(&mut self, set: bool) -> io::Result<()>;
    /// Writes what there is room for; `Pending` wakes the task when there is some again.
    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// What has not left yet.
    fn left(&mut self) -> io::Result<Left>;
    /// What time it is: looked at anew behind each call, for a driver may take some.
    fn now(&self) -> Instant;
}

/// What has not left yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: the transmitter is empty.
    Nothing,
    /// So many bytes that the kernel holds, and what the transmitter may have beside them.
    Bytes(usize),
    /// Nothing that the kernel holds; what the adapter has it can't tell.
    Untold,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// The line has taken so many bytes.
    Wrote(usize),
    /// The line has no room.
    Full,
    /// Nothing can be done before that.
    Wait(Instant),
    /// There is nothing left to do.
    Rest,
}

/// Where the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Rest,
    /// The driver is on, and is given time.
    Driven {
        until: Instant,
    },
    /// A break is to begin: what was written before must have left.
    Clear,
    Held {
        until: Instant,
    },
    /// The break is over, and the line is at 1 before the first byte.
    Free {
        until: Instant,
    },
    /// The first byte may go.
    Ready,
    /// The byte with the ninth bit is leaving.
    Marked,
    /// The bytes go.
    Body,
    /// The last bytes are leaving.
    Leaving,
    /// The driver stays on for a while.
    Over {
        until: Instant,
    },
}

/// The way of one frame after the other.
#[derive(Debug)]
pub(super) struct Turn {
    plan: Plan,
    char_time: Duration,
    state: State,
    driven: bool,
    marked: bool,
    held: bool,
    /// By when all that was written has left, as far as its time tells: at the soonest, and by the line's speed.
    busy: Option<(Instant, Instant)>,
}

impl Turn {
    /// Of a line whose character takes so long.
    pub(super) fn new(plan: Plan, char_time: Duration) -> Turn {
        Turn {
            plan,
            char_time,
            state: State::Rest,
            driven: false,
            marked: false,
            held: false,
            busy: None,
        }
    }

    /// The line has another speed from here on.
    pub(super) fn paced(&mut self, char_time: Duration) {
        self.char_time = char_time;
    }

    /// Whether a frame is on its way.
    pub(super) fn is_sending(&self) -> bool {
        self.state != State::Rest
    }

    /// Sends what is left of a frame, behind a break of this length if it has just begun.
    pub(super) fn send(&mut self, wire: &mut impl Wire, rest: &[u8], wake: Duration) -> io::Result<Did> {
        loop {
            let now = wire.now();
            match self.state {
                State::Rest if !self.is_special() && wake.is_zero() => {
                    return self.write(wire, rest);
                }
                State::Rest => {
                    let mut delay = Duration::ZERO;
                    if self.plan.drives {
                        wire.drive(true)?;
                        self.driven = true;
                        delay = self.plan.before;
                    }
                    let until = wire.now() + delay;
                    self.state = State::Driven { until };
                }
                State::Driven { until } | State::Held { until } | State::Free { until } if until > now => {
                    return Ok(Did::Wait(until));
                }
                State::Driven { .. } if wake.is_zero() => self.state = State::Ready,
                State::Driven { .. } => self.state = State::Clear,
                State::Clear => {
                    if let Some(again) = self.leaves(wire)? {
                        return Ok(Did::Wait(again));
                    }
                    wire.hold(true)?;
                    self.held = true;
                    let until = wire.now() + wake;
                    self.state = State::Held { until };
                }
                State::Held { .. } => {
                    self.let_go(wire)?;
                    // What follows must be known from the break by its first start bit (LIN 2.1, 2.3.1.1: at least one
                    // bit; ANSI E1.11: 12 us).
                    let until = wire.now() + self.char_time;
                    self.state = State::Free { until };
                }
                State::Free { .. } => self.state = State::Ready,
                State::Ready if rest.is_empty() => {
                    self.state = State::Leaving;
                    return Ok(Did::Wrote(0));
                }
                State::Ready if self.plan.ninth => {
                    if !self.marked {
                        wire.mark(true)?;
                        self.marked = true;
                    }
                    let did = self.write(wire, &rest[..1])?;
                    if let Did::Wrote(1..) = did {
                        self.state = match rest.len() {
                            1 => State::Leaving,
                            _ => State::Marked,
                        };
                    }
                    return Ok(did);
                }
                State::Ready => self.state = State::Body,
                State::Marked => {
                    if let Some(again) = self.leaves(wire)? {
                        return Ok(Did::Wait(again));
                    }
                    self.unmark(wire)?;
                    self.state = State::Body;
                }
                State::Body => {
                    let did = self.write(wire, rest)?;
                    if did == Did::Wrote(rest.len()) {
                        self.state = match self.is_special() {
                            true => State::Leaving,
                            false => State::Rest,
                        };
                    }
                    return Ok(did);
                }
                State::Leaving | State::Over { .. } => match self.settle(wire)? {
                    Did::Rest => {}
                    did => return Ok(did),
                },
            }
        }
    }

    /// No frame is in hand: ends what is still to be ended, `Rest` when it is.
    pub(super) fn settle(&mut self, wire: &mut impl Wire) -> io::Result<Did> {
        loop {
            let now = wire.now();
            match self.state {
                State::Rest => return Ok(Did::Rest),
                State::Leaving => {
                    if let Some(again) = self.leaves(wire)? {
                        return Ok(Did::Wait(again));
                    }
                    self.unmark(wire)?;
                    let until = match self.driven {
                        true => now + self.plan.after,
                        false => now,
                    };
                    self.state = State::Over { until };
                }
                State::Over { until } if until > now => return Ok(Did::Wait(until)),
                State::Over { .. } => {
                    self.state = State::Rest;
                    self.receive(wire)?;
                }
                // A frame that was given up before its first byte.
                State::Driven { .. } | State::Clear | State::Held { .. } | State::Free { .. } => {
                    self.let_go(wire)?;
                    self.state = State::Leaving;
                }
                State::Ready | State::Marked | State::Body => self.state = State::Leaving,
            }
        }
    }

    /// Leaves the line as one that receives, whatever is on its way: the port is being closed.
    pub(super) fn end(&mut self, wire: &mut impl Wire) {
        // It may be gone.
        let _ = self.let_go(wire);
        let _ = self.unmark(wire);
        let _ = self.receive(wire);
        self.state = State::Rest;
    }

    fn is_special(&self) -> bool {
        self.plan.drives || self.plan.ninth
    }

    fn write(&mut self, wire: &mut impl Wire, bytes: &[u8]) -> io::Result<Did> {
        match wire.write(bytes) {
            Poll::Pending => Ok(Did::Full),
            Poll::Ready(result) => {
                let (count, now) = (result?, wire.now());
                let (soonest, busy) = self.busy.unwrap_or((now, now));
                let time = self.characters(count);
                self.busy = Some((soonest.max(now) + time * 97 / 100, busy.max(now) + time));
                Ok(Did::Wrote(count))
            }
        }
    }

    /// When to look again for what was written to have left; `None`: it has.
    fn leaves(&mut self, wire: &mut impl Wire) -> io::Result<Option<Instant>> {
        let (left, now) = (wire.left()?, wire.now());
        let (soonest, busy) = self.busy.unwrap_or((now, now));
        let again = match left {
            // There are drivers that always say so, without a look. Real speeds are up to 2% off.
            Left::Nothing => Some(soonest).filter(|soonest| *soonest > now),
            // The transmitter is being emptied. Half of what it needs by the speed, again and again: the speed may be a
            // little off, and the end must not be missed by more than half a character.
            Left::Bytes(0) if now >= busy + STUCK => None,
            Left::Bytes(0) => {
                let guess = busy.saturating_duration_since(now);
                Some(now + (guess.max(self.char_time) / 2).max(LOOK))
            }
            Left::Bytes(count) => Some(now + self.characters(count).max(LOOK)),
            Left::Untold if self.busy.is_none() => None,
            Left::Untold => Some(busy + ADAPTER).filter(|gone| *gone > now),
        };
        if again.is_none() {
            self.busy = None;
        }
        Ok(again)
    }

    fn characters(&self, count: usize) -> Duration {
        self.char_time
            .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn let_go(&mut self, wire: &mut impl Wire) -> io::Result<()> {
        if std::mem::take(&mut self.held) {
            wire.hold(false)?;
        }
        Ok(())
    }

    fn unmark(&mut self, wire: &mut impl Wire) -> io::Result<()> {
        if std::mem::take(&mut self.marked) {
            wire.mark(false)?;
        }
        Ok(())
    }

    fn receive(&mut self, wire: &mut impl Wire) -> io::Result<()> {
        if std::mem::take(&mut self.driven) {
            wire.drive(false)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
