//! What is being done on the line: the steps of one poll or command, the session before it and what is read back.

use super::Fault;
use super::device::{Device, Pause, Step};
use super::order::{Order, What};
use crate::field::record::Record;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One poll or command at work.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) device: usize,
    pub(super) aim: Aim,
    pub(super) phase: Phase,
    pub(super) steps: Arc<[Step]>,
    /// The step that is at work.
    pub(super) at: usize,
    /// Tries that came to nothing.
    pub(super) failed: u8,
    pub(super) retries: u8,
    /// How often the step has been asked again because the device was not ready.
    pub(super) repeats: u16,
    /// Whether the session has been opened anew for it.
    pub(super) reopened: bool,
    /// How many requests have had no reply in time: it may still come.
    pub(super) owed: u32,
    /// When the last request was on the wire.
    pub(super) wire: Option<Instant>,
    /// How often its request was sent.
    pub(super) sent: u32,
    /// What was wrong with what came in this try.
    pub(super) wrong: Option<Fault>,
    /// Behind which the pause is over.
    pub(super) pause: Pause,
    /// The last values that came.
    pub(super) record: Option<Record>,
    /// How it ended, while the session is being closed.
    pub(super) ended: Option<Result<(), Fault>>,
}

/// What a job is for.
#[derive(Debug, Clone)]
pub(super) enum Aim {
    /// A poll, or a part of it.
    Poll { poll: usize, part: Option<usize> },
    /// A command.
    Command(Box<Order>),
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Main,
    Verifying,
    Closing,
}

impl Job {
    pub(super) fn poll(device: usize, poll: usize, part: Option<usize>) -> Job {
        Job::new(device, Aim::Poll { poll, part })
    }

    pub(super) fn command(order: Order) -> Job {
        Job::new(order.device, Aim::Command(Box::new(order)))
    }

    fn new(device: usize, aim: Aim) -> Job {
        Job {
            device,
            aim,
            phase: Phase::Main,
            steps: [].into(),
            at: 0,
            failed: 0,
            retries: 0,
            repeats: 0,
            reopened: false,
            owed: 0,
            wire: None,
            sent: 0,
            wrong: None,
            pause: Pause::None,
            record: None,
            ended: None,
        }
    }

    /// The steps of its own, without those of the session, and how often they are tried again.
    pub(super) fn own_steps(&self, device: &Device) -> (Arc<[Step]>, u8) {
        let of_poll = |poll: usize, part: Option<usize>| {
            let poll = device.polls.get(poll)?;
            let poll = match part {
                Some(part) => poll.parts.get(part)?,
                None => poll,
            };
            Some((poll.steps.clone(), poll.retries))
        };
        let none = || ([].into(), 0);
        match &self.aim {
            Aim::Poll { poll, part } => of_poll(*poll, *part).unwrap_or_else(none),
            Aim::Command(order) => match &order.what {
                What::Read(poll) => {
                    let (steps, retries) = of_poll(*poll, None).unwrap_or_else(none);
                    (steps, retries.max(order.retries))
                }
                What::Frame {
                    bytes,
                    reply,
                    timeout,
                } => {
                    let step = Step {
                        send: bytes.clone(),
                        wake: Duration::ZERO,
                        reply: reply.clone(),
                        timeout: timeout.unwrap_or(device.rules.timeout),
                        repeat: 0,
                        pause: Pause::None,
                        shared: false,
                        baud: None,
                    };
                    ([step].into(), order.retries)
                }
            },
        }
    }

    /// The name of the poll that its values are of.
    pub(super) fn poll_name(&self, device: &Device) -> Option<Arc<str>> {
        let (poll, part) = match &self.aim {
            Aim::Poll { poll, part } => (*poll, *part),
            Aim::Command(order) => match (&order.what, &order.verify) {
                (_, Some(verify)) if self.phase == Phase::Verifying => (verify.poll, None),
                (What::Read(poll), _) => (*poll, None),
                _ => return None,
            },
        };
        let poll = device.polls.get(poll)?;
        let part = part.and_then(|part| poll.parts.get(part));
        Some(part.unwrap_or(poll).name.clone())
    }

    pub(super) fn step(&self) -> Option<&Step> {
        self.steps.get(self.at)
    }
}
