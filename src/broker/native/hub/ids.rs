//! Packet ids in use (MQTT 5 section 2.2.1): given in their order, and free again in about the same.

use std::collections::VecDeque;

/// How many words of 64 bits all ids are.
const WORDS: u16 = 1024;
/// How many words an idle session keeps.
const FEW: usize = 4;

/// A bit for each id, of as many as lie between the oldest in use and the newest: some bytes, and never more than 8 KiB.
#[derive(Debug, Default)]
pub(super) struct Ids {
    words: VecDeque<u64>,
    /// The place of the first word among all.
    first: u16,
    count: usize,
}

impl Ids {
    /// Takes an id; false if it was in use.
    pub(super) fn insert(&mut self, id: u16) -> bool {
        if self.words.is_empty() {
            self.first = id / 64;
        }
        let mut at = self.place(id);
        if at >= self.words.len() {
            // Before the first or behind the last, whichever is nearer.
            let before = usize::from(WORDS) - at;
            if before <= at - self.words.len() {
                (0..before).for_each(|_| self.words.push_front(0));
                self.first = id / 64;
                at = 0;
            } else {
                self.words.resize(at + 1, 0);
            }
        }
        let bit = 1 << (id % 64);
        let new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.count += usize::from(new);
        new
    }

    /// An id is free.
    pub(super) fn remove(&mut self, id: u16) {
        let at = self.place(id);
        let bit = 1 << (id % 64);
        let Some(word) = self.words.get_mut(at).filter(|word| **word & bit != 0) else {
            return;
        };
        *word &= !bit;
        self.count -= 1;
        while self.words.front() == Some(&0) {
            self.words.pop_front();
            self.first = (self.first + 1) % WORDS;
        }
        if self.words.is_empty() && self.words.capacity() > FEW {
            self.words.shrink_to(FEW);
        }
    }

    /// How many are in use.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Those in use.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        let words = self.words.iter().zip(self.first..);
        words.flat_map(|(word, place)| {
            let bits = (0..64).filter(move |bit| word & 1 << bit != 0);
            bits.map(move |bit| place % WORDS * 64 + bit)
        })
    }

    /// The place of an id's word, whether it is there or not.
    fn place(&self, id: u16) -> usize {
        (id / 64).wrapping_sub(self.first).rem_euclid(WORDS).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(start in any::<u16>(), steps in prop::collection::vec((any::<bool>(), -200_i32..200), 0..400)) {
            let (mut ids, mut set) = (Ids::default(), BTreeSet::new());
            let mut last = start;
            for (adds, step) in steps {
                // About where the last one was, and over the end of all ids.
                last = last.wrapping_add_signed(step as i16);
                if adds {
                    prop_assert_eq!(ids.insert(last), set.insert(last));
                } else {
                    ids.remove(last);
                    set.remove(&last);
                }
                prop_assert_eq!(ids.len(), set.len());
            }
            prop_assert_eq!(ids.iter().collect::<BTreeSet<u16>>(), set);
        }
    }

    #[test]
    fn it_takes_no_more_room_than_what_is_in_use() {
        let mut ids = Ids::default();
        for id in 1..=u16::MAX {
            assert!(ids.insert(id));
            ids.remove(id.saturating_sub(20));
            assert!(ids.words.len() <= 2);
        }
        let mut all = Ids::default();
        for id in 0..=u16::MAX {
            assert!(all.insert(id));
        }
        assert_eq!((all.len(), all.words.len()), (65_536, 1024));
        for id in 0..=u16::MAX {
            all.remove(id);
        }
        assert_eq!(all.len(), 0);
        assert!(all.words.capacity() <= 2 * FEW, "given back");
    }
}
