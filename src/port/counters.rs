//! What a port has counted since the start, published as JSON when it has changed.

use crate::bus::Counts;
use serde::Serialize;
use std::collections::BTreeMap;

/// Counts of one port since the gateway started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counters {
    /// Bytes read from the line.
    pub(crate) bytes_in: u64,
    /// Bytes written to the line.
    pub(crate) bytes_out: u64,
    /// Breaks on the line, where they are counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) breaks: u64,
    /// Frames that were whole and passed the check.
    pub(crate) frames: u64,
    /// Damaged frames by what was wrong with them.
    pub(crate) damaged: BTreeMap<&'static str, u64>,
    /// Good frames that are not what the device's description says; nothing of them is published.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) refused: u64,
    /// Good frames of no kind that the device's description knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) unknown: u64,
    /// Frames in which the device says no.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) errors: u64,
    /// Values that were not published because they lie outside the plausible range.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) out_of_range: u64,
    /// Values that were not in their frames, or that stand for none: they are not published.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) absent: u64,
    /// Messages handed to the broker.
    pub(crate) published: u64,
    /// Times that reading was held back because the broker was behind.
    pub(crate) held_back: u64,
    /// Messages that could not be made or that the broker refused (not text, an unfit topic).
    pub(crate) unpublished: u64,
    /// Commands received.
    pub(crate) commands: u64,
    /// Command frames written to the line.
    pub(crate) sent: u64,
    /// Commands that never reached the line, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// Commands by how they ended.
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// Times that the port was opened.
    pub(crate) opened: u64,
    /// Messages not yet taken by the broker, now.
    pub(crate) broker_depth: usize,
    /// Commands waiting for the line, now.
    pub(crate) command_depth: usize,
    /// The line as a bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bus: Option<OfBus>,
}

/// What a port whose devices speak only when asked has counted, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OfBus {
    /// Requests, replies, and what came instead.
    pub(crate) counts: Counts,
    /// The share of the line's time that the polls need, in percent.
    pub(crate) planned: f64,
    /// The share that was used, lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busy: Option<f64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counters {
    pub(crate) fn damage(&mut self, why: &'static str) {
        *self.damaged.entry(why).or_default() += 1;
    }

    /// The counts as a JSON object.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("counters are numbers under text keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_that_the_reference_gives() {
        let mut counters = Counters {
            frames: 3,
            ..Counters::default()
        };
        counters.damage("check");
        counters.damage("check");
        counters.dropped.insert("queue-full", 1);
        let json: serde_json::Value = serde_json::from_slice(&counters.json()).unwrap();
        assert_eq!(json["frames"], 3);
        assert_eq!(json["damaged"]["check"], 2);
        assert_eq!(json["dropped"]["queue-full"], 1);
        assert_eq!(json["broker-depth"], 0);
    }
}
