//! On the way out: what entries have made is given to the broker, and counted.

use super::asking::Master;
use super::traffic::{Offered, offer};
use super::up::{Unpublished, Uplink};
use super::{Counters, Parts, Port, now};
use crate::broker::Message;
use crate::control::Verdict;
use crate::fold::Run;
use std::collections::VecDeque;
use std::sync::Arc;
use tracing::{info, warn};

/// What a port has to do with when it publishes, and what has come of it.
pub(super) struct Outward<'a> {
    name: &'a Arc<str>,
    parts: &'a mut Parts,
    held: &'a mut VecDeque<Message>,
    counters: &'a mut Counters,
    unpublished: &'a mut [Run],
    any: bool,
    fault: Option<String>,
}

impl Port {
    /// Who makes messages of frames, and the way that these take.
    pub(super) fn outward(&mut self) -> (Option<&mut Master>, &mut Uplink, Outward<'_>) {
        let out = Outward::new(
            &self.name,
            &mut self.parts,
            &mut self.held,
            &mut self.counters,
            &mut self.unpublished,
        );
        (self.master.as_deref_mut(), &mut self.uplink, out)
    }
}

impl<'a> Outward<'a> {
    pub(super) fn new(
        name: &'a Arc<str>,
        parts: &'a mut Parts,
        held: &'a mut VecDeque<Message>,
        counters: &'a mut Counters,
        unpublished: &'a mut [Run],
    ) -> Outward<'a> {
        Outward {
            name,
            parts,
            held,
            counters,
            unpublished,
            any: false,
            fault: None,
        }
    }

    /// Gives the broker what an entry has made, and counts it; or counts that it has made nothing, and says why.
    pub(super) fn publish(&mut self, made: Result<Message, Unpublished>, entry: usize) {
        let fault = match made {
            Ok(message) => match offer(&mut self.parts.publisher, self.held, message) {
                Offered::Refused(why) => why,
                taken => {
                    self.any = true;
                    self.counters.published += 1;
                    self.counters.held_back += u64::from(matches!(taken, Offered::Held));
                    if let Some(count) = self.unpublished.get_mut(entry).and_then(Run::good) {
                        info!(event = "published-again", port = %self.name, count, "frames are published again");
                    }
                    return;
                }
            },
            Err(error) => error.to_string(),
        };
        self.counters.unpublished += 1;
        let run = self.unpublished.get_mut(entry);
        if let Some(count) = run.and_then(|run| run.fault(now())) {
            warn!(event = "unpublished", port = %self.name, count, "a frame could not be published: {fault}");
        }
        self.fault = Some(fault);
    }

    /// What has come of it.
    pub(super) fn verdict(self) -> Verdict {
        match self.fault {
            Some(why) => Verdict::Refused(why),
            None if self.any => Verdict::Published,
            None => Verdict::Skipped,
        }
    }
}
