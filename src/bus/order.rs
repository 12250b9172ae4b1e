//! Commands that wait for the line: bounded, in order, none lost without a word.

use super::device::{Reply, Step};
use super::job::{Aim, Job};
use crate::topic::Topic;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A command for a device of the bus.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// By which its life is told.
    pub(crate) ticket: u64,
    /// Which command entry it is of.
    pub(crate) entry: usize,
    pub(crate) device: usize,
    pub(crate) topic: Topic,
    pub(crate) what: What,
    pub(crate) retries: u8,
    pub(crate) expires: Instant,
    pub(crate) verify: Option<Verify>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// This frame is sent.
    Frame {
        bytes: Arc<[u8]>,
        reply: Reply,
        timeout: Option<Duration>,
    },
    /// This poll is asked for now.
    Read(usize),
}

/// What is read back.
#[derive(Debug, Clone)]
pub(crate) struct Verify {
    pub(crate) poll: usize,
    /// What the values must be then, by their fields.
    pub(crate) wanted: Vec<(String, serde_json::Value)>,
}

/// What a command entry asks of the queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    pub(crate) queue: usize,
    /// Whether a full queue drops its oldest, or refuses the new one.
    pub(crate) drop_oldest: bool,
    /// Whether a command takes the place of one of the same topic.
    pub(crate) replace: bool,
    /// Silence on the line after one of this entry.
    pub(crate) spacing: Duration,
    /// The break before one of this entry; zero for none.
    pub(crate) wake: Duration,
}

/// The queue of a bus.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    policies: Vec<Policy>,
    queue: VecDeque<Order>,
}

/// Why one left the queue without being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    /// The queue was full.
    Full,
    /// A later one took its place.
    Replaced,
}

impl Orders {
    pub(crate) fn new(policies: Vec<Policy>) -> Orders {
        Orders {
            policies,
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn policy(&self, entry: usize) -> Policy {
        self.policies.get(entry).copied().unwrap_or(Policy {
            queue: 1,
            ..Policy::default()
        })
    }

    /// The steps of a job, with the break that its command entry wants.
    pub(super) fn with_break(&self, job: &Job, (steps, retries): (Arc<[Step]>, u8)) -> (Arc<[Step]>, u8) {
        let wake = match &job.aim {
            Aim::Command(order) => self.policy(order.entry).wake,
            Aim::Poll { .. } => Duration::ZERO,
        };
        if wake.is_zero() {
            return (steps, retries);
        }
        let mut steps = steps.to_vec();
        if let Some(first) = steps.first_mut() {
            first.wake = wake;
        }
        (steps.into(), retries)
    }

    /// Takes a command. Gives the one that had to go for it, which may be itself.
    pub(crate) fn push(&mut self, order: Order) -> Option<(Order, Out)> {
        let policy = self.policy(order.entry);
        if policy.replace
            && let Some(at) = self.queue.iter().position(|other| {
                other.entry == order.entry && other.device == order.device && other.topic == order.topic
            })
            && let Some(old) = self.queue.remove(at)
        {
            self.queue.push_back(order);
            return Some((old, Out::Replaced));
        }
        let waiting = self
            .queue
            .iter()
            .filter(|other| other.entry == order.entry)
            .count();
        if waiting < policy.queue {
            self.queue.push_back(order);
            return None;
        }
        let oldest = self.queue.iter().position(|other| other.entry == order.entry);
        match oldest
            .filter(|_| policy.drop_oldest)
            .and_then(|at| self.queue.remove(at))
        {
            Some(oldest) => {
                self.queue.push_back(order);
                Some((oldest, Out::Full))
            }
            None => Some((order, Out::Full)),
        }
    }

    /// The first whose device may be asked.
    pub(crate) fn pop(&mut self, may: impl Fn(usize) -> bool) -> Option<Order> {
        let at = self.queue.iter().position(|order| may(order.device))?;
        self.queue.remove(at)
    }

    /// Whether one waits whose device may be asked.
    pub(crate) fn ready(&self, may: impl Fn(usize) -> bool) -> bool {
        self.queue.iter().any(|order| may(order.device))
    }

    /// The devices that commands wait for.
    pub(crate) fn devices(&self) -> impl Iterator<Item = usize> {
        self.queue.iter().map(|order| order.device)
    }

    /// One that is too old to be sent.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Order> {
        let at = self.queue.iter().position(|order| order.expires <= now)?;
        self.queue.remove(at)
    }

    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.queue.iter().map(|order| order.expires).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
