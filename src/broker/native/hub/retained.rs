//! The retained messages: one for each topic, until it is replaced, cleared or too old.

use super::super::message::Kept;
use super::filter;
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

/// What a search has come to.
pub(super) enum Search<'a> {
    Found(&'a Kept),
    /// Nothing up to this topic: it is to go on behind it.
    Behind(&'a ByteString),
    /// There are no more.
    Nothing,
}

/// All of them, in the order of their topics.
#[derive(Debug, Default)]
pub(super) struct Retained {
    kept: BTreeMap<ByteString, Kept>,
}

impl Retained {
    /// Keeps a message, unless it is one too many. Says whether it was kept.
    pub(super) fn set(&mut self, kept: Kept, most: usize) -> bool {
        if most != 0 && self.kept.len() >= most && !self.kept.contains_key(&kept.message.topic) {
            return false;
        }
        self.kept.insert(kept.message.topic.clone(), kept);
        true
    }

    pub(super) fn clear(&mut self, topic: &str) -> bool {
        self.kept.remove(topic).is_some()
    }

    pub(super) fn get(&self, topic: &str, now: Instant) -> Option<&Kept> {
        self.kept.get(topic).filter(|kept| is_young(kept, now))
    }

    /// The first that matches behind `after` in the order of topics. It looks at no more than `left` of them, and takes
    /// those off it.
    pub(super) fn next(
        &self,
        pattern: &str,
        after: Option<&ByteString>,
        now: Instant,
        left: &mut usize,
    ) -> Search<'_> {
        *left = left.saturating_sub(1);
        let found = |kept| Search::Found(kept);
        if !filter::is_wild(pattern) {
            let kept = self.get(pattern, now).filter(|_| after.is_none());
            return kept.map_or(Search::Nothing, found);
        }
        let prefix = filter::prefix(pattern);
        let start = match after {
            Some(after) => Bound::Excluded(&**after),
            None => Bound::Included(prefix),
        };
        let those = self.kept.range::<str, _>((start, Bound::Unbounded));
        for (topic, kept) in those.take_while(|(topic, _)| topic.starts_with(prefix)) {
            if filter::matches(pattern, topic) && is_young(kept, now) {
                return Search::Found(kept);
            }
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Search::Behind(topic);
            }
        }
        Search::Nothing
    }

    /// Forgets those that are too old.
    pub(super) fn expire(&mut self, now: Instant, mut forgotten: impl FnMut(&ByteString)) {
        self.kept.retain(|topic, kept| {
            let young = is_young(kept, now);
            if !young {
                forgotten(topic);
            }
            young
        });
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.values()
    }
}

fn is_young(kept: &Kept, now: Instant) -> bool {
    kept.message.expires.is_none_or(|expires| expires > now)
}

#[cfg(test)]
mod tests {
    use super::super::super::message::Message;
    use super::*;
    use crate::broker::Qos;
    use bytes::Bytes;
    use std::sync::Arc;
    use std::time::Duration;

    fn kept(topic: &str, expires: Option<Instant>) -> Kept {
        let message = Message {
            topic: topic.into(),
            payload: Bytes::from_static(b"1"),
            qos: Qos::AtMostOnce,
            retain: true,
            expires,
            properties: None,
        };
        Kept {
            message: Arc::new(message),
            source: None,
        }
    }

    fn topics(retained: &Retained, pattern: &str, now: Instant) -> Vec<String> {
        // One at a time, and all at once.
        let [found, same] = [1, usize::MAX].map(|most| {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                match retained.next(pattern, after.as_ref(), now, &mut most.clone()) {
                    Search::Found(kept) => {
                        found.push(kept.message.topic.to_string());
                        after = Some(kept.message.topic.clone());
                    }
                    Search::Behind(topic) => after = Some(topic.clone()),
                    Search::Nothing => return found,
                }
            }
        });
        assert_eq!(found, same);
        found
    }

    #[test]
    fn those_that_match_come_in_order_and_old_ones_never() {
        let now = Instant::now();
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/c/d", "a-b", "b", "$SYS/x"] {
            assert!(retained.set(kept(topic, None), 7));
        }
        assert!(retained.set(kept("a/old", Some(now)), 7));
        assert!(!retained.set(kept("more", None), 7));
        assert!(retained.set(kept("b", None), 7), "it replaces its own");
        assert_eq!(topics(&retained, "a/#", now), ["a", "a/b", "a/c/d"]);
        assert_eq!(topics(&retained, "#", now), ["a", "a-b", "a/b", "a/c/d", "b"]);
        assert_eq!(topics(&retained, "+", now), ["a", "a-b", "b"]);
        assert_eq!(topics(&retained, "a/+", now), ["a/b"]);
        assert_eq!(
            topics(&retained, "a/old", now - Duration::from_secs(1)),
            ["a/old"]
        );
        let mut gone = 0;
        retained.expire(now, |_| gone += 1);
        assert_eq!((gone, retained.len()), (1, 6));
        assert!(retained.clear("a") && !retained.clear("a"));
    }
}
