//! What comes back by itself of what was sent, on lines that have one pair of wires for both ways.

use crate::profile::asked;
use std::borrow::Cow;
use std::time::Instant;

/// So many replies without an echo say that there is none.
const WITHOUT: u8 = 2;

/// Compares what comes with what was sent, and takes it off.
#[derive(Debug)]
pub(crate) struct Echo {
    /// Whether it is to be found out.
    auto: bool,
    /// Whether the line has an echo; `None`: not known yet.
    known: Option<bool>,
    /// Replies that came without an echo before them.
    without: u8,
    sent: Vec<u8>,
    /// How much of it has come back.
    at: usize,
    differs: bool,
    /// When all of it had come back, as far as nothing has come since.
    whole: Option<Instant>,
}

/// What is left of bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left<'a> {
    /// These are no echo.
    Bytes(Cow<'a, [u8]>),
    /// Something else came back than what was sent: somebody else was sending.
    Collision,
}

impl Echo {
    pub(crate) fn new(mode: asked::Echo) -> Echo {
        Echo {
            auto: mode == asked::Echo::Auto,
            without: 0,
            known: match mode {
                asked::Echo::Auto => None,
                asked::Echo::Yes => Some(true),
                asked::Echo::No => Some(false),
            },
            sent: Vec::new(),
            at: 0,
            differs: false,
            whole: None,
        }
    }

    /// This is being sent now.
    pub(crate) fn sends(&mut self, frame: &[u8]) {
        self.sent.clear();
        if self.known != Some(false) || self.auto {
            self.sent.extend_from_slice(frame);
        }
        self.at = 0;
        self.differs = false;
        self.whole = None;
    }

    /// Takes the echo off what came now.
    pub(crate) fn take<'a>(&mut self, bytes: &'a [u8], now: Instant) -> Left<'a> {
        self.whole = None;
        if self.known == Some(false) || self.at == self.sent.len() && !self.differs {
            // It is looked at all the same: see `timed_out`.
            let rest = &self.sent[self.at..];
            self.at += rest
                .iter()
                .zip(bytes)
                .take_while(|(sent, came)| sent == came)
                .count();
            return Left::Bytes(bytes.into());
        }
        if self.differs {
            // Until the request is sent again nothing that comes can be trusted.
            return match self.known {
                Some(true) => Left::Bytes(Cow::Borrowed(&[])),
                _ => Left::Bytes(bytes.into()),
            };
        }
        let rest = &self.sent[self.at..];
        let same = rest
            .iter()
            .zip(bytes)
            .take_while(|(sent, came)| sent == came)
            .count();
        if same == rest.len() || same == bytes.len() {
            self.at += same;
            self.whole = (self.at == self.sent.len() && same == bytes.len()).then_some(now);
            return Left::Bytes(bytes[same..].into());
        }
        self.differs = true;
        if self.known == Some(true) {
            if self.auto {
                // Or there is none after all, and what looked like one was chance.
                self.known = None;
                self.without = 0;
            }
            return Left::Collision;
        }
        // No echo after all: what was taken for one is the beginning of something else.
        let mut all = self.sent[..self.at].to_vec();
        all.extend_from_slice(bytes);
        Left::Bytes(all.into())
    }

    /// A reply was recognised: whether there was an echo before it tells whether the line has one. If nothing else
    /// came, that is clear.
    pub(crate) fn replied(&mut self, clear: bool) {
        if self.known.is_some() || self.sent.is_empty() {
            return;
        }
        if self.at == self.sent.len() {
            self.known = Some(true);
        } else if clear {
            // An echo that was disturbed looks like none.
            self.without += 1;
            if self.without >= WITHOUT {
                self.known = Some(false);
            }
        }
    }

    /// No reply came, but perhaps an echo where none was thought to be: that is found out again.
    pub(crate) fn timed_out(&mut self) {
        if self.auto && self.known == Some(false) && !self.sent.is_empty() && self.at == self.sent.len() {
            self.known = None;
            self.without = 0;
        }
    }

    /// Whether the line is known to have an echo, or to have none.
    #[cfg(test)]
    pub(crate) fn known(&self) -> Option<bool> {
        self.known
    }

    /// Where it isn't known: what looked like an echo, and may be the reply itself; and since when it is all of it.
    /// Not if something has come behind it.
    pub(crate) fn doubtful(&self) -> Option<(&[u8], Option<Instant>)> {
        let all = self.at == self.sent.len();
        let held = self.known.is_none() && self.at > 0 && !self.differs && (!all || self.whole.is_some());
        held.then(|| (&self.sent[..self.at], self.whole))
    }

    /// What looked like an echo is taken for the reply; whether the line has one is as little known as before.
    pub(crate) fn was_reply(&mut self) {
        self.sent.clear();
        self.at = 0;
    }

    /// Where an echo has begun and broken off.
    pub(crate) fn is_cut(&self) -> bool {
        self.known == Some(true) && self.at < self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn left(echo: &mut Echo, bytes: &[u8]) -> Vec<u8> {
        match echo.take(bytes, Instant::now()) {
            Left::Bytes(bytes) => bytes.into_owned(),
            Left::Collision => panic!("a collision"),
        }
    }

    #[test]
    fn a_difference_is_a_collision_only_where_an_echo_is_known() {
        let mut echo = Echo::new(asked::Echo::Yes);
        echo.sends(b"ask");
        assert_eq!(left(&mut echo, b"a"), b"");
        assert_eq!(echo.take(b"x", Instant::now()), Left::Collision);
        assert_eq!(left(&mut echo, b"reply"), b"", "nothing after it can be trusted");
        let mut echo = Echo::new(asked::Echo::Auto);
        echo.sends(b"ask");
        assert_eq!(left(&mut echo, b"a"), b"");
        assert_eq!(left(&mut echo, b"nswer"), b"answer");
        echo.replied(true);
        assert_eq!(echo.known(), None, "once may be chance");
        echo.sends(b"ask");
        assert_eq!(left(&mut echo, b"answer"), b"answer");
        echo.replied(true);
        assert_eq!(echo.known(), Some(false));
        // Whatever was known, an echo without a reply makes it doubtful again.
        echo.sends(b"ask");
        assert_eq!(left(&mut echo, b"ask"), b"ask");
        echo.timed_out();
        assert_eq!(echo.known(), None);
    }

    proptest! {
        #[test]
        fn where_the_reads_are_cut_does_not_matter(
            ask in prop::collection::vec(any::<u8>(), 1..12),
            reply in prop::collection::vec(any::<u8>(), 1..12),
            cuts in prop::collection::vec(1usize..5, 0..24),
            auto: bool,
        ) {
            let mut echo = Echo::new(if auto { asked::Echo::Auto } else { asked::Echo::Yes });
            echo.sends(&ask);
            let wire: Vec<u8> = ask.iter().chain(&reply).copied().collect();
            let (mut at, mut got) = (0, Vec::new());
            for cut in cuts.iter().chain(std::iter::repeat(&7)) {
                if at >= wire.len() { break; }
                let end = (at + cut).min(wire.len());
                got.extend(left(&mut echo, &wire[at..end]));
                at = end;
            }
            prop_assert_eq!(got, reply);
            echo.replied(true);
            prop_assert_eq!(echo.known(), Some(true));
        }

        #[test]
        fn without_an_echo_nothing_is_lost(
            ask in prop::collection::vec(0u8..4, 1..6),
            reply in prop::collection::vec(0u8..4, 1..12),
            cut in 1usize..5,
        ) {
            prop_assume!(!reply.starts_with(&ask));
            let mut echo = Echo::new(asked::Echo::Auto);
            echo.sends(&ask);
            let mut got = Vec::new();
            for piece in reply.chunks(cut) {
                got.extend(left(&mut echo, piece));
            }
            // What may still become an echo is held back.
            if ask.starts_with(&reply) {
                prop_assert!(got.is_empty());
            } else {
                prop_assert_eq!(got, reply);
            }
        }
    }
}
