//! A line on which devices speak only when asked: who is asked when, what answers, and what becomes of all else.
//!
//! [`Bus`] is the master of such a line, as a state machine without I/O: bytes and the time come in, bytes to be
//! written and what has happened come out. `plan` computes what the polls need of the line's time, `schedule` says
//! who is next, `echo` takes off what comes back of what was sent, `health` knows which devices answer, and
//! `master` runs one transaction (`transact`) after the other.

mod device;
mod echo;
mod health;
mod hear;
mod job;
mod listen;
mod master;
mod order;
mod plan;
mod schedule;
#[cfg(test)]
mod tests;
mod transact;
mod turns;

pub(crate) use device::{Device, Own, Reply, silence, unsendable};
pub(crate) use health::{Change, State};
pub(crate) use master::{Bus, Counts, Next};
pub(crate) use order::{Order, Policy, Verify, What};
pub(crate) use plan::Plan;

use crate::field::record::Record;
use std::fmt;
use std::sync::Arc;

/// Something that has happened on the bus.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happened {
    /// A frame was written.
    Sent { device: usize, bytes: Arc<[u8]> },
    /// A frame came, or what was none.
    Heard {
        device: usize,
        bytes: Vec<u8>,
        as_: Heard,
    },
    /// Values came, of the poll of this name where one had asked for them.
    Values {
        device: usize,
        poll: Option<Arc<str>>,
        bytes: Vec<u8>,
        record: Record,
    },
    /// All that a poll asks for has been read.
    Read { device: usize, poll: Arc<str> },
    /// What a poll asks for can't be read now.
    Unread {
        device: usize,
        poll: Arc<str>,
        why: Fault,
    },
    /// A device came or went.
    Device {
        device: usize,
        change: Change,
        why: Option<Fault>,
    },
    /// A command's life goes on.
    Command { ticket: u64, life: Life },
}

/// What a frame was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The answer to what was asked.
    Answer,
    /// The device says no.
    Refusal,
    /// Of another device than the one that was asked.
    Foreign,
    /// The answer to something that was asked before.
    Late,
    /// Nobody had asked for it.
    Unasked,
    /// The request of another master.
    Request,
    /// It is not what the profile says.
    Misread(String),
    /// No frame at all, and why.
    Damaged(&'static str),
}

/// Why something could not be read, or a command had no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing came in time.
    Silent,
    /// What came was damaged.
    Garbled(String),
    /// Only another device answered.
    Foreign,
    /// Somebody else was sending.
    Collision,
    /// What came is what was sent: an echo, or a reply that is the same.
    Doubtful,
    /// The device says no.
    Refused(String),
    /// The device has no value.
    NoData,
    /// The device isn't ready, however often it is asked.
    NotReady,
    /// The session can't be opened.
    Session(Box<Fault>),
    /// The port is gone.
    Gone,
}

impl Fault {
    /// Its name, for machines.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Fault::Silent => "no-reply",
            Fault::Garbled(_) => "damaged",
            Fault::Foreign => "foreign",
            Fault::Collision => "collision",
            Fault::Doubtful => "doubtful",
            Fault::Refused(_) => "refused",
            Fault::NoData => "no-data",
            Fault::NotReady => "not-ready",
            Fault::Session(_) => "session",
            Fault::Gone => "port-gone",
        }
    }

    /// Whether the device has said something.
    fn is_answer(&self) -> bool {
        match self {
            Fault::Refused(_) | Fault::NoData | Fault::NotReady => true,
            Fault::Session(fault) => fault.is_answer(),
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Silent => f.write_str("no reply"),
            Fault::Garbled(why) => write!(f, "the reply was damaged ({why})"),
            Fault::Foreign => f.write_str("only another device answered"),
            Fault::Collision => f.write_str("somebody else was sending at the same time"),
            Fault::Doubtful => f.write_str(
                "only the request itself came back, which may be an echo: say `echo = \"no\"` in `[bus]` if there is none",
            ),
            Fault::Refused(why) => write!(f, "the device refuses: {why}"),
            Fault::NoData => f.write_str("the device has no value"),
            Fault::NotReady => f.write_str("the device is not ready"),
            Fault::Session(why) => write!(f, "the session can't be opened: {why}"),
            Fault::Gone => f.write_str("the port is gone"),
        }
    }
}

/// The life of a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    /// Its frame is on the line, for the so manieth time.
    Sent(u32),
    /// The device has answered; what is to be verified still lives on.
    Answered(Option<Record>),
    /// It was sent, and nothing answers such a command: its end.
    Done,
    /// The device says no: its end.
    Refused(String),
    /// No answer came: its end.
    TimedOut(Fault),
    /// It waited too long: its end.
    Expired,
    /// It is not sent, or was cut off: its end.
    Dropped(&'static str),
    /// What was read back is what it asked for: its end.
    Verified(Record),
    /// What was read back is something else, or nothing: its end.
    Unverified(String),
}

impl Life {
    /// Whether this is its end; an answer is, unless it is verified then.
    pub(crate) fn is_end(&self, verified: bool) -> bool {
        match self {
            Life::Sent(_) => false,
            Life::Answered(_) => !verified,
            _ => true,
        }
    }

    /// Its name, for machines.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Life::Sent(_) | Life::Done => "sent",
            Life::Answered(_) => "answered",
            Life::Refused(_) => "refused",
            Life::TimedOut(_) => "timed-out",
            Life::Expired => "expired",
            Life::Dropped(_) => "dropped",
            Life::Verified(_) => "verified",
            Life::Unverified(_) => "unverified",
        }
    }
}
