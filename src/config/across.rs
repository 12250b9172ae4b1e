//! What only shows when the parts of a configuration are looked at together.

use super::lines::{of_bytes, of_serial, of_serve};
use super::suggest::{listed, nearest};
use super::{Config, Issue};
use crate::broker;
use crate::broker::Engine;
use crate::port::config::{self as port, Command, Known, Publish};
use crate::publish::{self, Payload};
use crate::template::Values;
use crate::topic::Filter;
use std::collections::HashMap;
use std::path::Path;

impl Config {
    /// Everything that does not fit together.
    pub fn check(&self) -> Vec<Issue> {
        let broker = self.broker.validate();
        let mut issues: Vec<Issue> = broker.iter().map(|fault| self.of_broker(fault)).collect();
        let doubts = self.broker.doubts();
        issues.extend(doubts.iter().map(|doubt| self.of_broker(doubt).warning()));
        issues.extend(self.check_files());
        issues.extend(self.check_rules());
        issues.extend(self.check_gateway());
        issues.extend(self.same_ports());
        for (i, port) in self.port.iter().enumerate() {
            issues.extend(of_serial(i, port));
            issues.extend(of_bytes(i, port));
            let reach: Vec<Option<Filter>> =
                port.publish.iter().map(|publish| reach(port, publish)).collect();
            let known = port.values();
            for (j, publish) in port.publish.iter().enumerate() {
                let path = format!("port[{i}].publish[{j}]");
                issues.extend(self.check_publish(i, &path, &known, publish, reach[j].as_ref()));
            }
            issues.extend(said_twice(&format!("port[{i}]"), &port.publish));
            if !port.is_bus() {
                issues.extend(sent_twice(i, &port.command));
            }
            for (j, command) in port.command.iter().enumerate() {
                issues.extend(self.check_command(i, &format!("port[{i}].command[{j}]"), command, &reach));
            }
            issues.extend(self.check_bus(i, &reach));
            issues.extend(of_serve(i, port));
            let silent = |member: &port::Member| member.publish.is_empty() && member.command.is_empty();
            let says_nothing = port.publish.is_empty() && port.command.is_empty() && port.serve.is_none();
            if says_nothing && port.members().all(silent) {
                let title = format!("the port `{}` does nothing", port.name);
                issues.push(
                    Issue::at(
                        format!("port[{i}]"),
                        title,
                        "it has no `publish` and no `command`",
                    )
                    .help("add `[[port.publish]]` with a `topic` below it")
                    .warning(),
                );
            }
        }
        issues
    }

    fn of_broker(&self, fault: &broker::Fault) -> Issue {
        let mut path = String::from("broker");
        for step in &fault.path {
            match step.parse::<usize>() {
                Ok(index) => path.push_str(&format!("[{index}]")),
                Err(_) => path.push_str(&format!(".{step}")),
            }
        }
        if let (Some(key), Some((_, bounds))) = (fault.path.last(), fault.what.split_once("out of bounds: "))
        {
            return Issue::at(
                path,
                format!("wrong value for `{key}`"),
                format!("expected {bounds}"),
            );
        }
        let (title, label) = fault.what.rsplit_once(": ").unwrap_or((fault.what.as_str(), ""));
        let index = fault
            .path
            .get(1)
            .and_then(|index| index.parse::<usize>().ok())
            .unwrap_or(0);
        let parts: Vec<&str> = fault.path.iter().map(String::as_str).collect();
        match parts[..] {
            ["user", _, "name"] if fault.what.contains("twice") => {
                let name = self.broker.user.get(index).map(|user| &user.name);
                let first = self
                    .broker
                    .user
                    .iter()
                    .position(|user| Some(&user.name) == name)
                    .unwrap_or(0);
                Issue::at(path, title, "again here").also(format!("broker.user[{first}].name"), "first here")
            }
            ["listener", _, "address"] if fault.what.contains("is taken") => {
                let port = self
                    .broker
                    .listener
                    .get(index)
                    .map(|listener| listener.address.tcp().map(|address| address.port()));
                let same = |listener: &broker::Listener| {
                    Some(listener.address.tcp().map(|address| address.port())) == port
                };
                let first = self.broker.listener.iter().position(same).unwrap_or(0);
                Issue::at(path, title, label).also(format!("broker.listener[{first}].address"), "first here")
            }
            ["listener", _, "address"] if fault.what.starts_with("nothing says") => Issue::at(
                path, title, label,
            )
            .help("list who may: `[[broker.user]]` with a `name` and a `password`, or a `password-file`")
            .help("or let everybody in: `allow-anonymous = true` below this `[[broker.listener]]`"),
            [.., "allow-anonymous"] if fault.what.starts_with("nobody") => Issue::at(path, title, label)
                .help(
                    "list somebody: `[[broker.user]]` with a `name` and a `password`, or a `password-file`",
                ),
            _ => Issue::at(path, title, label),
        }
    }

    /// The files of the listeners' TLS, by the paths of their keys.
    fn tls_files(&self) -> impl Iterator<Item = (String, &'static str, &Path)> {
        let listeners = self.broker.listener.iter().enumerate();
        listeners.flat_map(|(i, listener)| {
            let files = listener.tls.iter().flat_map(broker::Tls::files);
            files.map(move |(key, what, path)| (format!("broker.listener[{i}].tls.{key}"), what, path))
        })
    }

    /// All files that the broker reads.
    fn files(&self) -> impl Iterator<Item = (String, &'static str, &Path)> {
        self.tls_files().chain(self.access_files())
    }

    fn check_files(&self) -> Vec<Issue> {
        let relative = self.files().filter(|(_, _, path)| path.is_relative());
        let issue = |(at, what, path): (String, &str, &Path)| {
            let name = path.file_name().unwrap_or_default().display();
            let title = format!("the {what}'s path is relative");
            Issue::at(at, title, "this depends on where mqttyd is started")
                .help(format!("write it from the root, such as \"/etc/mqttyd/{name}\""))
        };
        relative.map(issue).collect()
    }

    /// What is doubtful on this machine, which need not be the one that the file is for.
    pub(super) fn look_around(&self) -> Vec<Issue> {
        let unread = self.files().filter_map(|(at, what, path)| {
            let error = std::fs::File::open(path).err()?;
            let title = format!("the {what} cannot be read here");
            let issue = Issue::at(at, title, super::file::reason(&error));
            Some(
                issue
                    .help("the user `mqttyd` must be able to read it where the gateway runs")
                    .warning(),
            )
        });
        unread.chain(self.look_into_access_files()).collect()
    }

    fn check_gateway(&self) -> Vec<Issue> {
        let topic = undeliverable(self.broker.engine, self.gateway.topic.as_str())
            .map(|why| Issue::at("gateway.topic", "the gateway's topics would reach nobody", why));
        self.check_control().into_iter().chain(topic).collect()
    }

    fn check_control(&self) -> Option<Issue> {
        let control = self.gateway.control.as_ref()?;
        (!control.as_os_str().is_empty() && control.is_relative()).then(|| {
            let label = "this depends on where mqttyd is started";
            Issue::at("gateway.control", "the control socket's path is relative", label)
                .help("write it from the root, such as \"/run/mqttyd/control.sock\"")
        })
    }

    /// Ports that have the name or the device of one before them.
    fn same_ports(&self) -> Vec<Issue> {
        let mut issues = Vec::new();
        let mut before: HashMap<(&str, String), usize> = HashMap::new();
        for (i, port) in self.port.iter().enumerate() {
            if let Some(j) = first(&mut before, ("name", port.name.to_string()), i) {
                let title = format!("two ports have the name `{}`", port.name);
                issues.push(
                    Issue::at(format!("port[{i}].name"), title, "again here")
                        .also(format!("port[{j}].name"), "first here")
                        .help("topics and the journal tell ports apart by their names: give each its own"),
                );
            }
            let path = port
                .path
                .as_ref()
                .map(|path| ("path", path.display().to_string()));
            let usb = port.usb.as_ref().map(|usb| ("usb", usb.to_string()));
            for device in [path, usb].into_iter().flatten() {
                let key = device.0;
                if let Some(j) = first(&mut before, device, i) {
                    issues.push(
                        Issue::at(
                            format!("port[{i}].{key}"),
                            "two ports are one device",
                            "the same here",
                        )
                        .also(format!("port[{j}].{key}"), "first here")
                        .help("a device is opened once: put both into one `[[port]]`"),
                    );
                }
            }
        }
        issues
    }

    pub(super) fn check_publish(
        &self,
        i: usize,
        path: &str,
        known: &Known,
        publish: &Publish,
        reach: Option<&Filter>,
    ) -> Vec<Issue> {
        let topic = format!("{path}.topic");
        let mut issues = unknown_names(path, self.port[i].is_bus(), known, publish);
        issues.extend(of_policies(path, publish));
        if let Some(why) = undeliverable(self.broker.engine, publish.topic.as_str()) {
            issues.push(Issue::at(topic, "this topic would reach nobody", why));
            return issues;
        }
        let Some(filter) = reach else {
            return issues;
        };
        let root = self.gateway.topic.as_str();
        let below = Filter::parse(&format!("{root}/#"));
        if below.is_ok_and(|below| below.overlaps(filter)) && !filter.as_str().starts_with('+') {
            let label = format!("`{root}/...` is where the gateway speaks of itself");
            let issue = Issue::at(topic, "this topic lies among the gateway's own", label)
                .needs(format!("port[{i}].name"))
                .help("take another topic, or move the gateway's own with `[gateway] topic = ...`");
            issues.push(if filter.wildcards() > 0 {
                issue.warning()
            } else {
                issue
            });
        }
        issues
    }

    pub(super) fn check_command(
        &self,
        i: usize,
        path: &str,
        command: &Command,
        reach: &[Option<Filter>],
    ) -> Vec<Issue> {
        let port = &self.port[i];
        let mut issues = Vec::new();
        // What stands for the device can be any level.
        let Some(topic) = port::put_in(&command.topic, "+", "+") else {
            let title = format!("the topic `{}` can't be so", command.topic);
            let label = "only `{{ device }}` and `{{ address }}` can stand in it, each as a level of its own";
            return vec![Issue::at(format!("{path}.topic"), title, label)];
        };
        if let Some(why) = undeliverable(self.broker.engine, command.topic.as_str()) {
            issues.push(Issue::at(
                format!("{path}.topic"),
                "no command would come by this filter",
                why,
            ));
        }
        if let Err(error) = command.payload.check(&command.topic) {
            let title = error.to_string();
            issues.push(
                Issue::at(
                    format!("{path}.payload"),
                    title,
                    "asks for a wildcard that is not there",
                )
                .also(format!("{path}.topic"), "the filter"),
            );
        }
        let own = reach.iter().enumerate().filter_map(|(k, filter)| {
            let filter = filter.as_ref().filter(|filter| filter.overlaps(&topic))?;
            Some((k, filter.wildcards() > 0))
        });
        if let Some((k, perhaps)) = own.min_by_key(|(_, perhaps)| *perhaps) {
            let would = if perhaps { "could" } else { "would" };
            let title = format!(
                "the port `{}` {would} be sent what it publishes itself",
                port.name
            );
            let issue = Issue::at(format!("{path}.topic"), title, "takes what is published there")
                .needs(format!("port[{i}].name"))
                .also(format!("port[{i}].publish[{k}].topic"), "published here")
                .help("give commands a topic of their own, such as \"home/air/set\"");
            issues.push(if perhaps { issue.warning() } else { issue });
            return issues;
        }
        let one = topic.as_str().replace(['+', '#'], "a");
        let result = command.result.as_ref().and_then(|result| result.of(&one));
        let heard = |other: &Command| port::put_in(&other.topic, "+", "+");
        if let Some(result) = result
            && port
                .command
                .iter()
                .filter_map(heard)
                .any(|filter| filter.matches(&result))
        {
            let title = "what becomes of a command would be taken for a command";
            let label = format!("such as on `{result}`, which a command topic of this port matches");
            issues.push(Issue::at(format!("{path}.result"), title, label));
        }
        let root = self.gateway.topic.as_str();
        let state = Filter::parse(&format!("{root}/#"));
        if state.is_ok_and(|state| state.overlaps(&topic)) {
            let label = format!("takes the gateway's own messages below `{root}/` as commands");
            issues.push(
                Issue::at(
                    format!("{path}.topic"),
                    "the device would be sent the gateway's states",
                    label,
                )
                .help("give commands a topic of their own, such as \"home/air/set\""),
            );
        }
        issues
    }
}

/// Names in an entry's templates that stand for nothing.
fn unknown_names(path: &str, bus: bool, fields: &Known, publish: &Publish) -> Vec<Issue> {
    let plan = publish.plan();
    let mut known: Vec<&str> = Vec::new();
    for name in publish.names() {
        known.push(name);
    }
    if bus {
        known.extend(publish::DEVICE);
    }
    match fields {
        Known::None => {}
        Known::Some(names) => {
            let words = publish::words().filter(|word| !Publish::NAMES.contains(word));
            known.extend(words.map(|word| -> &str { word }));
            known.extend(names.iter().map(String::as_str));
        }
        // The frame names fields of its own.
        Known::Open => return Vec::new(),
    }
    if *fields == Known::None && plan.needs_values() {
        let key = if plan.fields.is_some() { "fields" } else { "topic" };
        return vec![
            Issue::at(
                format!("{path}.{key}"),
                "this port has no fields",
                "asks for fields of the frame",
            )
            .help("say what the frame's bytes mean: `device = \"NAME\"`, or the same said in place"),
        ];
    }
    let mut issues = Vec::new();
    for one in plan.fields.iter().flatten() {
        let first = one.name.split('.').next().unwrap_or_default();
        if let Known::Some(names) = fields
            && !names.iter().any(|name| *name == one.name || name == first)
        {
            let meant = nearest(&one.name, names.iter().map(String::as_str));
            let label = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "the port has no field of this name".to_string(),
            };
            issues.push(
                Issue::at(
                    format!("{path}.fields"),
                    format!("unknown field `{}`", one.name),
                    label,
                )
                .part(one.name.clone())
                .help(format!(
                    "fields here: {}",
                    listed(names.iter().map(String::as_str), "and")
                )),
            );
        }
    }
    let payload = match &publish.payload {
        Some(Payload::Template(text)) => text.names(),
        _ => Vec::new(),
    };
    let used = publish.topic.names().map(|name| ("topic", name));
    let used = used.chain(payload.into_iter().map(|name| ("payload", name)));
    for (key, name) in used {
        let first = name.split('.').next().unwrap_or(name);
        if known.contains(&name) || known.contains(&first) {
            continue;
        }
        let meant = nearest(name, known.iter().copied());
        let label = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "nothing of this name is known here".to_string(),
        };
        let issue = Issue::at(format!("{path}.{key}"), format!("unknown name `{name}`"), label)
            .part(name)
            .help(format!("known here: {}", listed(known.iter().copied(), "and")));
        issues.push(match meant {
            Some(_) => issue,
            None => issue.help(format!(
                "a value from the frame: `when = {{ regex = '(?<{name}>...)' }}`"
            )),
        });
    }
    issues
}

/// Rules that do nothing, or that can't be.
fn of_policies(path: &str, publish: &Publish) -> Vec<Issue> {
    let plan = publish.plan();
    let mut issues = Vec::new();
    if publish.window.is_some() && !plan.needs_values() {
        let title = "a window is over values, and this entry publishes bytes";
        issues.push(Issue::at(format!("{path}.window"), title, "gathers nothing"));
    }
    if publish.heartbeat.is_some() && publish.change.is_none() {
        let title = "`heartbeat` does nothing without `change`";
        issues.push(
            Issue::at(
                format!("{path}.heartbeat"),
                title,
                "everything is published anyway",
            )
            .help("add `change = true`")
            .warning(),
        );
    }
    let several = plan.fields.as_ref().is_none_or(|fields| fields.len() > 1);
    let apart = publish.topic.names().any(|name| name == "field");
    if plan.per_value() && several && !apart {
        let title = "several fields would be published on one topic";
        issues.push(
            Issue::at(format!("{path}.topic"), title, "is the same for each of them")
                .help("put `{{ field }}` into the topic, or name one field with `fields = [...]`"),
        );
    }
    issues
}

/// Why the broker inside can deliver nothing for this topic or filter.
fn undeliverable(engine: Engine, text: &str) -> Option<&'static str> {
    match (engine, text.chars().next()?) {
        (Engine::Rumqttd, '$') => Some("the broker inside delivers nothing whose topic begins with `$`"),
        (Engine::Rumqttd, first) if !first.is_ascii() => {
            Some("the broker inside takes only ASCII as the first character")
        }
        _ => None,
    }
}

/// The topics that an entry may publish to: the port's name put in, `+` for what the device says.
pub(super) fn reach(port: &port::Config, publish: &Publish) -> Option<Filter> {
    // No topic that a person writes has this private character, and none of it is changed in a topic.
    const UNKNOWN: &str = "v\u{f8ff}";
    struct Unknown<'a>(&'a str);
    impl Values for Unknown<'_> {
        fn bytes<'a>(&'a self, name: &str, _: &'a mut String) -> Option<&'a [u8]> {
            Some(if name == "port" { self.0 } else { UNKNOWN }.as_bytes())
        }
        fn value(&self, name: &str) -> Option<minijinja::Value> {
            Some(if name == "port" { self.0 } else { UNKNOWN }.into())
        }
    }
    let topic = match publish.topic.render(&Unknown(port.name.as_str())) {
        Ok(topic) => topic,
        // A formula that needs a number, say: any level that holds one.
        Err(_) => return Some(publish.topic.filter()),
    };
    let level = |level: &str| {
        if level.contains(UNKNOWN) {
            "+".to_string()
        } else {
            level.to_string()
        }
    };
    let levels: Vec<String> = topic.as_str().split('/').map(level).collect();
    Filter::parse(&levels.join("/")).ok()
}

/// Entries that say the same as one before them.
pub(super) fn said_twice(path: &str, entries: &[Publish]) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut before: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, entry) in entries.iter().enumerate() {
        let same_topic = before.entry(entry.topic.as_str()).or_default();
        match same_topic.iter().find(|k| entries[**k] == *entry) {
            Some(k) => issues.push(
                Issue::at(
                    format!("{path}.publish[{j}]"),
                    "each frame would be published twice on one topic",
                    "says the same again",
                )
                .also(format!("{path}.publish[{k}]"), "first here")
                .warning(),
            ),
            None => same_topic.push(j),
        }
    }
    issues
}

/// Filters that overlap with one before them: the broker inside delivers a message once for each filter.
fn sent_twice(i: usize, entries: &[Command]) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (j, entry) in entries.iter().enumerate() {
        let Some(k) = entries[..j]
            .iter()
            .position(|other| other.topic.overlaps(&entry.topic))
        else {
            continue;
        };
        let path = |j: usize| format!("port[{i}].command[{j}].topic");
        let (first, again) = (entries[k].topic.as_str(), entry.topic.as_str());
        let title = match (entries[k].topic.wildcards(), entry.topic.wildcards()) {
            (_, 0) => format!("a message on `{again}` would be sent twice"),
            (0, _) => format!("a message on `{first}` would be sent twice"),
            _ => format!("a message on a topic of both `{first}` and `{again}` would be sent twice"),
        };
        issues.push(
            Issue::at(path(j), title, "and by this one")
                .also(path(k), "once by this filter")
                .help("take filters that have no topic in common, or make one entry of both"),
        );
    }
    issues
}

/// Remembers who is the first of this kind and name, and says who was it.
fn first<'a>(
    before: &mut HashMap<(&'a str, String), usize>,
    what: (&'a str, String),
    i: usize,
) -> Option<usize> {
    let first = *before.entry(what).or_insert(i);
    (first != i).then_some(first)
}
