//! Who has subscribed to what: a table for filters without wildcards, a tree by levels for those with.

use super::super::message::Options;
use super::Key;
use super::filter;
use bytestring::ByteString;
use std::collections::HashMap;
use std::num::NonZeroU16;

/// One session's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sub {
    pub(super) key: Key,
    pub(super) options: Options,
    /// Whether messages come for it alone, though other subscriptions of the session match.
    pub(super) apart: bool,
    /// How long the mount point is behind which its filter begins with a wildcard.
    pub(super) mount: Option<NonZeroU16>,
}

impl Sub {
    /// Whether its client may know of a topic that its filter matches: for the client the topic begins behind the mount point,
    /// and no wildcard matches a `$` that it begins with (MQTT-4.7.2-1).
    pub(super) fn sees(&self, topic: &str) -> bool {
        let first = |mount: NonZeroU16| topic.as_bytes().get(usize::from(mount.get()));
        self.mount.and_then(first) != Some(&b'$')
    }
}

/// The subscribers that share one filter under one name: each message goes to one of them.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: ByteString,
    /// Groups of one name with other filters are others.
    pub(super) filter: ByteString,
    pub(super) members: Vec<Sub>,
    /// Whose turn it is.
    pub(super) next: usize,
}

/// What is found for a topic.
pub(super) enum Found<'a> {
    One(&'a Sub),
    Group(&'a mut Group),
}

/// Those of one filter.
#[derive(Debug, Default)]
struct Subs {
    each: Vec<Sub>,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Node {
    /// Those whose filter ends here.
    here: Subs,
    /// Those whose filter ends in `#` below here.
    all: Subs,
    plus: Option<Box<Node>>,
    below: HashMap<Box<str>, Node>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Tree {
    exact: HashMap<ByteString, Subs>,
    wild: Node,
    count: usize,
}

impl Subs {
    fn insert(&mut self, group: Option<&ByteString>, filter: &ByteString, sub: Sub) -> bool {
        let subs = match group {
            None => &mut self.each,
            Some(name) => {
                let at = self.groups.iter().position(|group| group.name == *name);
                let at = at.unwrap_or_else(|| {
                    self.groups.push(Group {
                        name: name.clone(),
                        filter: filter.clone(),
                        members: Vec::new(),
                        next: 0,
                    });
                    self.groups.len() - 1
                });
                &mut self.groups[at].members
            }
        };
        match subs.iter_mut().find(|other| other.key == sub.key) {
            Some(other) => {
                *other = sub;
                false
            }
            None => {
                subs.push(sub);
                true
            }
        }
    }

    fn remove(&mut self, group: Option<&ByteString>, key: Key) -> bool {
        let subs = match group {
            None => &mut self.each,
            Some(name) => match self.groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => &mut group.members,
                None => return false,
            },
        };
        let Some(at) = subs.iter().position(|sub| sub.key == key) else {
            return false;
        };
        subs.swap_remove(at);
        if subs.len() < subs.capacity() / 4 {
            subs.shrink_to_fit();
        }
        self.groups.retain(|group| !group.members.is_empty());
        true
    }

    fn is_empty(&self) -> bool {
        self.each.is_empty() && self.groups.is_empty()
    }

    fn found(&mut self, found: &mut impl FnMut(Found<'_>)) {
        for sub in &self.each {
            found(Found::One(sub));
        }
        for group in &mut self.groups {
            found(Found::Group(group));
        }
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.all.is_empty() && self.plus.is_none() && self.below.is_empty()
    }

    /// The place of a filter, made where it is not there. At most `MOST_LEVELS` deep.
    fn place(&mut self, filter: &str) -> &mut Subs {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.all,
                "+" => node.plus.get_or_insert_default(),
                _ => node.below.entry(level.into()).or_default(),
            };
        }
        &mut node.here
    }

    fn remove(&mut self, levels: &[&str], group: Option<&ByteString>, key: Key) -> bool {
        let Some((level, rest)) = levels.split_first() else {
            return self.here.remove(group, key);
        };
        match *level {
            "#" => self.all.remove(group, key),
            "+" => {
                let Some(node) = &mut self.plus else {
                    return false;
                };
                let removed = node.remove(rest, group, key);
                if node.is_empty() {
                    self.plus = None;
                }
                removed
            }
            level => {
                let Some(node) = self.below.get_mut(level) else {
                    return false;
                };
                let removed = node.remove(rest, group, key);
                if node.is_empty() {
                    self.below.remove(level);
                    shrink(&mut self.below);
                }
                removed
            }
        }
    }

    /// `None` is behind the last level.
    fn matches(&mut self, topic: Option<&str>, dollar: bool, found: &mut impl FnMut(Found<'_>)) {
        // MQTT-4.7.2-1: no wildcard at the beginning stands for what begins with `$`.
        if !dollar {
            self.all.found(found);
        }
        let Some(topic) = topic else {
            self.here.found(found);
            return;
        };
        let (level, rest) = match topic.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (topic, None),
        };
        if let Some(node) = self.plus.as_mut().filter(|_| !dollar) {
            node.matches(rest, false, found);
        }
        if let Some(node) = self.below.get_mut(level) {
            node.matches(rest, false, found);
        }
    }
}

fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>) {
    if map.len() < map.capacity() / 4 {
        map.shrink_to_fit();
    }
}

impl Tree {
    /// Adds a subscription, or changes its options; says whether it is new.
    pub(super) fn insert(&mut self, group: Option<&ByteString>, filter: &ByteString, sub: Sub) -> bool {
        let subs = if filter::is_wild(filter) {
            self.wild.place(filter)
        } else {
            self.exact.entry(filter.clone()).or_default()
        };
        let new = subs.insert(group, filter, sub);
        self.count += usize::from(new);
        new
    }

    pub(super) fn remove(&mut self, group: Option<&ByteString>, filter: &str, key: Key) -> bool {
        let removed = if filter::is_wild(filter) {
            let levels: Vec<&str> = filter.split('/').collect();
            self.wild.remove(&levels, group, key)
        } else {
            let Some(subs) = self.exact.get_mut(filter) else {
                return false;
            };
            let removed = subs.remove(group, key);
            if subs.is_empty() {
                self.exact.remove(filter);
                shrink(&mut self.exact);
            }
            removed
        };
        self.count -= usize::from(removed);
        removed
    }

    /// Tells all that are subscribed to a topic.
    pub(super) fn matches(&mut self, topic: &str, mut found: impl FnMut(Found<'_>)) {
        if let Some(subs) = self.exact.get_mut(topic) {
            subs.found(&mut found);
        }
        if !self.wild.is_empty() {
            self.wild.matches(Some(topic), topic.starts_with('$'), &mut found);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sub(key: Key) -> Sub {
        Sub {
            mount: None,
            key,
            options: Options::default(),
            apart: false,
        }
    }

    fn found(tree: &mut Tree, topic: &str) -> Vec<Key> {
        let mut keys = Vec::new();
        tree.matches(topic, |found| match found {
            Found::One(sub) => keys.push(sub.key),
            Found::Group(group) => keys.push(group.members[0].key),
        });
        keys.sort_unstable();
        keys
    }

    proptest! {
        #[test]
        fn finds_what_matches_filter_by_filter(
            filters in prop::collection::vec("(\\$|[ab+]){1}(/[ab+]?){0,3}(/#)?", 1..20),
            topics in prop::collection::vec("(\\$|[ab]){0,1}(/[ab]?){0,4}", 1..20),
        ) {
            let mut tree = Tree::default();
            let filters: Vec<ByteString> = filters.into_iter().map(ByteString::from).collect();
            for (key, filter) in filters.iter().enumerate() {
                tree.insert(None, filter, sub(key));
            }
            for topic in topics.iter().filter(|topic| !topic.is_empty()) {
                let expected: Vec<Key> = (0..filters.len())
                    .filter(|key| filter::matches(&filters[*key], topic))
                    .collect();
                prop_assert_eq!(found(&mut tree, topic), expected, "{}", topic);
            }
            for (key, filter) in filters.iter().enumerate() {
                prop_assert!(tree.remove(None, filter, key));
                prop_assert!(!tree.remove(None, filter, key));
            }
            prop_assert_eq!(tree.len(), 0);
            prop_assert!(tree.wild.is_empty() && tree.exact.is_empty());
        }
    }

    #[test]
    fn groups_are_apart_from_the_others_and_from_each_other() {
        let mut tree = Tree::default();
        let (filter, group) = (ByteString::from("a/+"), ByteString::from("g"));
        assert!(tree.insert(None, &filter, sub(1)));
        assert!(tree.insert(Some(&group), &filter, sub(1)));
        assert!(tree.insert(Some(&group), &filter, sub(2)));
        assert!(!tree.insert(Some(&group), &filter, sub(2)), "it was there");
        assert_eq!(found(&mut tree, "a/b"), [1, 1]);
        assert!(tree.remove(Some(&group), &filter, 1));
        assert_eq!(found(&mut tree, "a/b"), [1, 2]);
        assert!(!tree.remove(Some(&"h".into()), &filter, 2));
    }
}
