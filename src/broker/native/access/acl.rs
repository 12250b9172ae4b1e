//! Rules by topic: which are for a client, and what they allow it. No I/O.

use super::files::{Line, Whom};
use crate::broker::{Access, Rule};
use crate::topic::{self, Filter};
use std::sync::Arc;

/// All rules, in the order in which they are asked: the first that speaks of the topic and of what is wanted decides.
#[derive(Debug)]
pub(crate) struct Rules {
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
    pub(crate) fn new(rules: &[Rule], lines: Vec<Line>) -> Rules {
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
    pub(crate) fn for_client(&self, user: Option<&str>, client: &str) -> Grants {
        let first = self.denied.iter().chain(&self.own);
        // mosquitto lets no pattern allow anything to a name with a wildcard, for it would reach beyond its own topics.
        let wild = |name: &str| name.contains(['+', '#']);
        let barred = !self.patterns.is_empty() && (wild(client) || user.is_some_and(wild));
        let later = self.patterns.iter().chain(&self.allowed).filter(|_| !barred);
        let clauses = first
            .chain(later)
            .filter_map(|known| known.clause_for(user, client));
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
        Clause {
            access,
            filter,
            plain,
        }
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

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::*;
    use proptest::prelude::*;

    fn filed(text: &str) -> Rules {
        Rules::new(&[], files::rules(text.as_bytes()).lines)
    }

    fn configured(text: &str) -> Rules {
        #[derive(serde::Deserialize)]
        struct Held {
            acl: Vec<Rule>,
        }
        Rules::new(&toml::from_str::<Held>(text).unwrap().acl, Vec::new())
    }

    /// Whether a client may do both, as mosquitto's `09-acl-access-variants` asks.
    fn passes(rules: &Rules, user: Option<&str>, topic: &str) -> bool {
        let grants = rules.for_client(user, "acl-check");
        assert_eq!(grants.may_publish(topic), grants.may_receive(topic));
        assert!(grants.may_subscribe(topic), "mosquitto grants every subscription");
        grants.may_publish(topic)
    }

    #[test]
    fn the_variants_of_mosquittos_test() {
        let global = "topic readwrite topic/global/#\ntopic deny      topic/global/except\n";
        let user = "user username\ntopic readwrite topic/username/#\ntopic deny      topic/username/except\n";
        let pattern = "pattern readwrite pattern/%u/#\npattern deny      pattern/%u/except\n";
        for (g, u, p) in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1)] {
            let parts = [(g, global), (u, user), (p, pattern)];
            let text: String = parts
                .iter()
                .filter(|(on, _)| *on == 1)
                .map(|(_, text)| *text)
                .collect();
            let rules = filed(&text);
            for (user, topic, on) in [
                (None, "topic/global", g == 1),
                (Some("username"), "topic/global", false),
                (None, "topic/global/except", false),
                (None, "topic/username", false),
                (Some("username"), "topic/username", u == 1),
                (Some("username"), "topic/username/except", false),
                (None, "pattern/username", false),
                (Some("username"), "pattern/username", p == 1),
                (Some("username"), "pattern/username/except", false),
                (Some("username"), "pattern/username/other", p == 1),
            ] {
                assert_eq!(passes(&rules, user, topic), on, "{user:?} {topic} in\n{text}");
            }
        }
    }

    #[test]
    fn without_rules_all_is_allowed_and_with_an_empty_file_nothing() {
        assert!(Grants::all().may_publish("a") && Grants::default().may_receive("$SYS/a"));
        assert!(Grants::all().may_subscribe("#"));
        assert!(!passes(&filed("#comment\n\n"), None, "test/topic"));
    }

    #[test]
    fn what_a_user_is_allowed_comes_before_what_a_pattern_denies() {
        let rules = filed("user air\ntopic a/air/x\npattern deny a/%u/x\npattern a/%u/#\n");
        assert!(passes(&rules, Some("air"), "a/air/x"));
        assert!(!passes(&rules, Some("sun"), "a/sun/x") && passes(&rules, Some("sun"), "a/sun"));
    }

    #[test]
    fn system_topics_are_for_those_who_name_them() {
        let rules = filed("topic #\ntopic +/b\n");
        assert!(!passes(&rules, None, "$SYS/b") && passes(&rules, None, "a/b"));
        assert!(passes(&filed("topic $SYS/#\n"), None, "$SYS/b"));
        assert!(passes(&filed("topic $SYS/#\n"), None, "$SYS"));
    }

    #[test]
    fn a_name_cannot_widen_a_pattern() {
        let rules = filed("pattern a/%u/b\npattern c/%c\npattern x\n");
        for name in ["+", "#", "a+", "a/#"] {
            for topic in ["a/z/b", "c/z", "x"] {
                assert!(
                    !rules.for_client(Some(name), "id").may_receive(topic),
                    "{name} {topic}"
                );
                assert!(
                    !rules.for_client(Some("u"), name).may_receive(topic),
                    "{name} {topic}"
                );
            }
        }
        let slash = rules.for_client(Some("z/b"), "y/z");
        assert!(!slash.may_publish("a/z/b/b") && !slash.may_publish("c/y/z") && slash.may_publish("x"));
        let system = filed("pattern %c/#\npattern p/%c\n").for_client(None, "$SYS");
        assert!(!system.may_receive("$SYS/a") && system.may_receive("p/$SYS"));
        assert!(!filed("pattern a/%u\n").for_client(None, "c").may_receive("a/%u"));
    }

    #[test]
    fn what_is_denied_stays_denied_to_odd_names() {
        let rules = configured("[[acl]]\ntopic = \"#\"\n[[acl]]\ntopic = \"secret/%c\"\naccess = \"deny\"\n");
        assert!(!rules.for_client(None, "z").may_receive("secret/z"));
        assert!(rules.for_client(None, "y").may_receive("secret/z"));
        assert!(!rules.for_client(None, "+").may_receive("secret/z"));
    }

    #[test]
    fn placeholders_may_be_part_of_a_level() {
        let rules = filed("pattern dev-%u-%c/%%/%u/x\n");
        assert!(rules.for_client(Some("u"), "%u").may_receive("dev-u-%u/%%/u/x"));
        assert!(filed("topic a/%u\n").for_client(None, "c").may_receive("a/%u"));
    }

    #[test]
    fn rules_of_the_configuration() {
        let rules = configured(
            r#"
            acl = [
                { topic = "home/+/set", user = "panel", access = "write" },
                { topic = "home/#", access = "read" },
                { topic = "home/alarm/#", access = "deny" },
                { topic = "all/#", client = "boss" },
                { topic = "later/#", access = "subscribe" },
            ]
            "#,
        );
        let panel = rules.for_client(Some("panel"), "p1");
        assert!(panel.may_publish("home/a/set") && !panel.may_publish("home/a"));
        assert!(panel.may_receive("home/a") && !panel.may_receive("home/alarm/set"));
        assert!(!panel.may_publish("home/alarm/set"));
        assert!(!rules.for_client(None, "p1").may_publish("home/a/set"));
        assert!(rules.for_client(None, "boss").may_publish("all/x") && !panel.may_publish("all/x"));
        assert!(panel.may_subscribe("later/x") && !panel.may_receive("later/x"));
        for (filter, may) in [
            ("#", true),
            ("+/a", true),
            ("home/+", true),
            ("home/alarm/#", false),
            ("home/alarm", false),
            ("home/alarm/+/x", false),
            ("home/+/x", true),
            ("all/#", false),
            ("other", false),
            ("$SYS/#", false),
        ] {
            assert_eq!(panel.may_subscribe(filter), may, "{filter}");
        }
    }

    #[test]
    fn a_file_that_speaks_of_subscriptions_has_them_refused() {
        let grants = filed("topic subscribe a\ntopic read b\n").for_client(None, "c");
        assert!(grants.may_subscribe("a") && grants.may_subscribe("b") && !grants.may_subscribe("c"));
    }

    proptest! {
        /// Levels of one letter make it likely that something matches.
        #[test]
        fn who_may_receive_may_subscribe(
            rules in prop::collection::vec(("[ab+](/[ab+]){0,2}(/#)?", 0usize..5), 0..6),
            topic in "[ab](/[ab]){0,2}",
            filter in "[ab+](/[ab+]){0,2}(/#)?",
        ) {
            let kinds = [Access::Read, Access::Write, Access::Readwrite, Access::Subscribe, Access::Deny];
            let rules: Vec<Rule> = rules.into_iter().map(|(topic, kind)| Rule {
                user: None,
                client: None,
                topic: Filter::parse(&topic).unwrap(),
                access: kinds[kind],
            }).collect();
            let matching = |wanted: &[Access]| rules.iter().any(|rule| {
                wanted.contains(&rule.access) && topic::matches(rule.topic.as_str(), &topic)
            });
            let grants = Rules::new(&rules, Vec::new()).for_client(Some("u"), "c");
            let denied = matching(&[Access::Deny]);
            let grants = if rules.is_empty() { Grants::all() } else { grants };
            let open = rules.is_empty();
            prop_assert_eq!(grants.may_receive(&topic), open || !denied && matching(&[Access::Read, Access::Readwrite]));
            prop_assert_eq!(grants.may_publish(&topic), open || !denied && matching(&[Access::Write, Access::Readwrite]));
            if topic::matches(&filter, &topic) && grants.may_receive(&topic) {
                prop_assert!(grants.may_subscribe(&filter));
                prop_assert!(grants.may_subscribe(&topic));
            }
        }

        #[test]
        fn a_name_stays_in_its_level(user in "\\PC{0,6}", client in "[a/+#$%u]{0,6}") {
            let rules = filed("pattern x/%u/%c\n");
            let grants = rules.for_client(Some(&user), &client);
            for topic in ["x", "x/a", "x/a/a/a", "x/a/a/a/a", "y"] {
                prop_assert!(!grants.may_receive(topic));
            }
            let own = format!("x/{user}/{client}");
            let plain = |name: &str| !name.is_empty() && !name.contains(['/', '+', '#']);
            prop_assert_eq!(grants.may_receive(&own), plain(&user) && plain(&client));
        }
    }
}
