//! Rules by topic: which are for a client, and what they allow it. No I/O.

use super::files::{Line, Whom};
use crate::broker::{Access, Rule};
use crate::topic::{self, Filter};
use std::sync::Arc;

/// All rules, in the order in which they are asked: the first that speaks of the topic and of what is wanted decides.
#[derive(Debug)]
pub(super) struct Rules {
    /// What the configuration denies.
    denied: Vec<Known>,
    /// What the ACL file says of single users, denials first.
    own: Vec<Known>,
    /// What the ACL file says of everybody, denials first.
    patterns: Vec<Known>,
    /// What the configuration allows.
    allowed: Vec<Known>,
    /// Whether a subscription that could bring nothing is refused.
    refuses: bool,
}

/// A rule, and whom it is for.
#[derive(Debug)]
struct Known {
    whom: Whom,
    client: Option<String>,
    /// Whether `%u` and `%c` are put in.
    pattern: bool,
    clause: Clause,
}

/// What is said of some topics.
#[derive(Debug, Clone)]
struct Clause {
    access: Access,
    filter: Arc<str>,
    /// How many bytes of the filter stand before its first wildcard.
    plain: usize,
}

impl Rules {
    /// Puts the rules of the configuration and the lines of an ACL file in order. mosquitto grants every subscription
    /// and looks at each message instead; so do we, as long as all that is said is said in its words.
    pub(super) fn new(rules: &[Rule], lines: Vec<Line>) -> Rules {
        let refuses = !rules.is_empty() || lines.iter().any(|line| line.access == Access::Subscribe);
        let (denied, allowed) = rules
            .iter()
            .map(Known::configured)
            .partition(|known| known.clause.access == Access::Deny);
        let (mut patterns, mut own): (Vec<Known>, Vec<Known>) = lines
            .into_iter()
            .map(Known::filed)
            .partition(|known| known.pattern);
        for list in [&mut own, &mut patterns] {
            list.sort_by_key(|known| known.clause.access != Access::Deny);
        }
        Rules {
            denied,
            own,
            patterns,
            allowed,
            refuses,
        }
    }

    /// What these rules say for one client.
    pub(super) fn for_client(&self, user: Option<&str>, client: &str) -> Grants {
        let first = self.denied.iter().chain(&self.own);
        // mosquitto lets no pattern allow anything to a name with a wildcard, for it would reach beyond its own topics.
        let wild = |name: &str| name.contains(['+', '#']);
        let barred = !self.patterns.is_empty() && (wild(client) || user.is_some_and(wild));
        let later = self.patterns.iter().chain(&self.allowed).filter(|_| !barred);
        let clauses = first.chain(later).filter_map(|known| known.clause_for(user, client));
        Grants(Some(Arc::new(Granted {
            clauses: clauses.collect(),
            refuses: self.refuses,
        })))
    }
}

impl Known {
    fn configured(rule: &Rule) -> Known {
        Known {
            whom: rule.user.clone().map_or(Whom::Everybody, Whom::User),
            client: rule.client.clone(),
            pattern: true,
            clause: Clause::new(rule.access, rule.topic.as_str().into()),
        }
    }

    fn filed(line: Line) -> Known {
        Known {
            pattern: line.whom == Whom::Everybody,
            whom: line.whom,
            client: None,
            clause: Clause::new(line.access, line.topic.as_str().into()),
        }
    }

    /// The clause for this client, if it is meant.
    fn clause_for(&self, user: Option<&str>, client: &str) -> Option<Clause> {
        let meant = match &self.whom {
            Whom::Nameless => user.is_none(),
            Whom::User(name) => user == Some(name),
            Whom::Everybody => true,
        };
        if !meant || self.client.as_deref().is_some_and(|id| id != client) {
            return None;
        }
        let filter = &self.clause.filter;
        if !self.pattern || !(filter.contains("%u") || filter.contains("%c")) {
            return Some(self.clause.clone());
        }
        let filter = put_in(filter, user, client, self.clause.access == Access::Deny)?;
        Some(Clause::new(self.clause.access, filter.into()))
    }
}

/// The filter with the names put in. None: the client has no such name, or one that would make another filter of it.
fn put_in(pattern: &str, user: Option<&str>, client: &str, deny: bool) -> Option<String> {
    let mut levels = Vec::new();
    for level in pattern.split('/') {
        let (mut out, mut rest) = (String::new(), level);
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let name = match rest.as_bytes().get(at + 1) {
                Some(b'u') => user?,
                Some(b'c') => client,
                _ => {
                    out.push('%');
                    rest = &rest[at + 1..];
                    continue;
                }
            };
            out.push_str(name);
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        if out == level {
            levels.push(out);
            continue;
        }
        // `$` would lead out of the topics that a pattern without it is about.
        let system = levels.is_empty() && out.starts_with('$') && !level.starts_with('$');
        let fits = !out.is_empty() && !out.contains(['+', '#', '/', '\0']) && !system;
        match (fits, deny) {
            (true, _) => levels.push(out),
            (false, false) => return None,
            // What is denied stays denied, and rather more of it than less.
            (false, true) => levels.push("+".into()),
        }
    }
    let filter = levels.join("/");
    Filter::parse(&filter).is_ok().then_some(filter)
}

impl Clause {
    fn new(access: Access, filter: Arc<str>) -> Clause {
        let plain = filter.find(['+', '#']).unwrap_or(filter.len());
        Clause { access, filter, plain }
    }

    fn matches(&self, topic: &str) -> bool {
        if self.plain == self.filter.len() {
            return *self.filter == *topic;
        }
        // "a/#" is for "a", too.
        let plain = &self.filter.as_bytes()[..self.plain];
        let plain = plain.strip_suffix(b"/").unwrap_or(plain);
        topic.as_bytes().starts_with(plain) && topic::matches(&self.filter, topic)
    }
}

/// What one client may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Option<Arc<Granted>>);

#[derive(Debug)]
struct Granted {
    clauses: Vec<Clause>,
    refuses: bool,
}

impl Grants {
    /// Everything is allowed.
    pub(crate) fn all() -> Grants {
        Grants(None)
    }

    /// Whether the client may publish to this topic.
    pub(crate) fn may_publish(&self, topic: &str) -> bool {
        self.may(topic, Access::Write)
    }

    /// Whether a message of this topic may be delivered to the client.
    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        self.may(topic, Access::Read)
    }

    /// Whether the client may subscribe to this filter (without its `$share/group/`): yes if some of its topics
    /// are allowed, for each message is looked at again.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        let Some(granted) = &self.0 else { return true };
        if !granted.refuses {
            return true;
        }
        let mut denied: Vec<&str> = Vec::new();
        for clause in &granted.clauses {
            match clause.access {
                Access::Deny => denied.push(&clause.filter),
                Access::Write => {}
                Access::Read | Access::Subscribe | Access::Readwrite => {
                    let common = topic::intersection(&clause.filter, filter);
                    let open = |common: &str| !denied.iter().any(|denied| topic::covers(denied, common));
                    if common.is_some_and(|common| open(&common)) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn may(&self, topic: &str, wanted: Access) -> bool {
        let Some(granted) = &self.0 else { return true };
        let speaks = |clause: &&Clause| {
            let of_it = clause.access == wanted || matches!(clause.access, Access::Readwrite | Access::Deny);
            of_it && clause.matches(topic)
        };
        let decides = granted.clauses.iter().find(speaks);
        decides.is_some_and(|clause| clause.access != Access::Deny)
    }
}
