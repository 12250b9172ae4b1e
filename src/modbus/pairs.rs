//! Listening to a bus between others: which frame is a request, and which the reply to it.

use super::{Answer, BROADCAST, Request};
use std::time::{Duration, Instant};

/// So long a request waits for its reply. Masters wait for a second at most, as a rule.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A request; its reply may follow.
    Request,
    /// The reply to this request.
    Reply(Vec<u8>),
    /// A reply to nothing that was heard.
    Unpaired,
}

/// The request that is open.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    open: Option<(Vec<u8>, Instant)>,
    unanswered: u64,
}

impl Pairs {
    /// Takes a frame that came at this time. A master asks again what was not answered, so the same bytes are a
    /// request, unless they can only be the answer: a write of one value is answered by itself.
    pub(crate) fn hear(&mut self, frame: &[u8], now: Instant) -> Heard {
        if let Some((request, at)) = self.open.take() {
            let in_time = now.saturating_duration_since(at) < PATIENCE;
            if in_time && Answer::of(&request, frame).is_some() {
                return Heard::Reply(request);
            }
            self.unanswered += 1;
        }
        let Some((&address, pdu)) = frame.split_first() else {
            return Heard::Unpaired;
        };
        let known = match Request::parse(pdu) {
            Ok(_) => true,
            // Functions of the maker's own: whatever comes first is the request.
            Err(_) => pdu
                .first()
                .is_some_and(|function| *function < 0x80 && !is_known(*function)),
        };
        if !known {
            return Heard::Unpaired;
        }
        if address != BROADCAST {
            self.open = Some((frame.to_vec(), now));
        }
        Heard::Request
    }

    /// Bytes came that were no frame: what they were, nobody knows.
    pub(crate) fn forget(&mut self) {
        self.open = None;
    }

    /// How many requests have had no reply, as far as that is known.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered
    }
}

fn is_known(function: u8) -> bool {
    matches!(function, 1..=6 | 15 | 16 | 22 | 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: &[u8] = &[1, 4, 0, 0, 0, 2];
    const REPLY: &[u8] = &[1, 4, 4, 0x43, 0x66, 0x33, 0x34];
    const WRITE: &[u8] = &[1, 6, 0, 1, 0, 3];

    #[test]
    fn requests_and_replies_are_paired() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        assert_eq!(pairs.hear(REPLY, now), Heard::Unpaired);
        assert_eq!(pairs.hear(ASK, now), Heard::Request);
        assert_eq!(pairs.hear(REPLY, now), Heard::Reply(ASK.to_vec()));
        assert_eq!(pairs.hear(REPLY, now), Heard::Unpaired);
        // Asked again without a reply.
        assert_eq!(pairs.hear(ASK, now), Heard::Request);
        assert_eq!(pairs.hear(ASK, now), Heard::Request);
        assert_eq!(pairs.hear(&[1, 0x84, 2], now), Heard::Reply(ASK.to_vec()));
        assert_eq!(pairs.unanswered(), 1);
        // A write is answered by itself.
        assert_eq!(pairs.hear(WRITE, now), Heard::Request);
        assert_eq!(pairs.hear(WRITE, now), Heard::Reply(WRITE.to_vec()));
        assert_eq!(pairs.hear(WRITE, now), Heard::Request);
    }

    #[test]
    fn what_is_late_or_for_all_has_no_pair() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        assert_eq!(pairs.hear(ASK, now), Heard::Request);
        assert_eq!(pairs.hear(REPLY, now + PATIENCE), Heard::Unpaired);
        assert_eq!(pairs.hear(&[0, 6, 0, 1, 0, 3], now), Heard::Request);
        assert_eq!(pairs.hear(WRITE, now), Heard::Request);
        pairs.forget();
        assert_eq!(pairs.hear(WRITE, now), Heard::Request);
        assert_eq!(pairs.unanswered(), 1);
        assert_eq!(pairs.hear(&[], now), Heard::Unpaired);
        assert_eq!(pairs.hear(&[9, 0x42], now), Heard::Request);
        assert_eq!(pairs.hear(&[9, 0x42], now), Heard::Reply(vec![9, 0x42]));
    }
}
