//! What only shows when the parts of a configuration are looked at together.

use super::suggest::{listed, nearest};
use super::{Config, Issue};
use crate::check;
use crate::port::config::{self as port, Publish};
use crate::serial;
use crate::topic::Filter;

impl Config {
    /// Everything that does not fit together.
    pub fn check(&self) -> Vec<Issue> {
        let mut issues: Vec<Issue> = self.broker.validate().iter().map(of_broker).collect();
        issues.extend(self.check_gateway());
        for (i, port) in self.port.iter().enumerate() {
            issues.extend(self.same_port(i, port));
            issues.extend(of_serial(i, port));
            issues.extend(of_bytes(i, port));
            for (j, publish) in port.publish.iter().enumerate() {
                issues.extend(self.check_publish(&format!("port[{i}].publish[{j}]"), port, publish));
                issues.extend(said_twice(i, j, &port.publish));
            }
            for (j, command) in port.command.iter().enumerate() {
                issues.extend(self.check_command(i, j, port, command));
            }
            if port.publish.is_empty() && port.command.is_empty() {
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

    fn check_gateway(&self) -> Option<Issue> {
        let control = &self.gateway.control;
        (!control.as_os_str().is_empty() && control.is_relative()).then(|| {
            let label = "this depends on where mqttyd is started";
            Issue::at("gateway.control", "the control socket's path is relative", label)
                .help("write it from the root, such as \"/run/mqttyd/control.sock\"")
        })
    }

    /// Another port before this one that has its name or its device.
    fn same_port(&self, i: usize, port: &port::Config) -> Vec<Issue> {
        let before = || self.port[..i].iter().enumerate();
        let mut issues = Vec::new();
        if let Some((j, _)) = before().find(|(_, other)| other.name == port.name) {
            let title = format!("two ports have the name `{}`", port.name);
            issues.push(
                Issue::at(format!("port[{i}].name"), title, "again here")
                    .also(format!("port[{j}].name"), "first here")
                    .help("topics and the journal tell ports apart by their names: give each its own"),
            );
        }
        let path = before().find(|(_, other)| other.path.is_some() && other.path == port.path);
        let usb = before().find(|(_, other)| other.usb.is_some() && other.usb == port.usb);
        for (other, key) in [(path, "path"), (usb, "usb")] {
            if let Some((j, other)) = other {
                let title = format!("the ports `{}` and `{}` are one device", other.name, port.name);
                issues.push(
                    Issue::at(format!("port[{i}].{key}"), title, "the same here")
                        .also(format!("port[{j}].{key}"), "first here")
                        .help("a device is opened once: put both into one `[[port]]`"),
                );
            }
        }
        issues
    }

    fn check_publish(&self, path: &str, port: &port::Config, publish: &Publish) -> Vec<Issue> {
        let topic = format!("{path}.topic");
        let known = publish.names();
        let mut issues = Vec::new();
        for name in publish.topic.names().filter(|name| !known.contains(name)) {
            let label = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{{{meant}}}`?"),
                None => "nothing of this name is known here".to_string(),
            };
            issues.push(
                Issue::at(&topic, format!("unknown placeholder `{{{name}}}`"), label)
                    .part(format!("{{{name}}}"))
                    .help(format!("known here: {}", listed(known.iter().copied(), "and")))
                    .help(format!(
                        "a value from the frame: `when = {{ regex = '(?<{name}>...)' }}`"
                    ))
                    .help(format!("for the braces themselves write `{{{{{name}}}}}`")),
            );
        }
        let Some(filter) = reach(port, publish) else {
            return issues;
        };
        let root = self.gateway.topic.as_str();
        let below = Filter::parse(&format!("{root}/#"));
        if below.is_ok_and(|below| below.overlaps(&filter)) && !filter.as_str().starts_with('+') {
            let label = format!("`{root}/...` is where the gateway speaks of itself");
            let issue = Issue::at(topic, "this topic lies among the gateway's own", label)
                .help("take another topic, or move the gateway's own with `[gateway] topic = ...`");
            issues.push(if filter.wildcards() > 0 {
                issue.warning()
            } else {
                issue
            });
        }
        issues
    }

    fn check_command(&self, i: usize, j: usize, port: &port::Config, command: &port::Command) -> Vec<Issue> {
        let path = format!("port[{i}].command[{j}]");
        let mut issues = Vec::new();
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
        let own = |(k, publish): (usize, &Publish)| {
            let filter = reach(port, publish)?;
            filter
                .overlaps(&command.topic)
                .then_some((k, filter.wildcards() > 0))
        };
        if let Some((k, perhaps)) = port.publish.iter().enumerate().find_map(own) {
            let title = format!("the port `{}` would be sent what it publishes itself", port.name);
            let issue = Issue::at(format!("{path}.topic"), title, "takes what is published there")
                .also(format!("port[{i}].publish[{k}].topic"), "published here")
                .help("give commands a topic of their own, such as \"home/air/set\"");
            issues.push(if perhaps { issue.warning() } else { issue });
            return issues;
        }
        let root = self.gateway.topic.as_str();
        let state = Filter::parse(&format!("{root}/#"));
        if state.is_ok_and(|state| state.overlaps(&command.topic)) {
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

/// The topics that an entry may publish to: the port's name put in, `+` for what the device says.
fn reach(port: &port::Config, publish: &Publish) -> Option<Filter> {
    // No topic that a person writes has this private character, and none of it is changed in a topic.
    const UNKNOWN: &str = "v\u{f8ff}";
    let value = |name: &str| match name {
        "port" => Some(port.name.as_str().as_bytes()),
        _ => Some(UNKNOWN.as_bytes()),
    };
    let topic = publish.topic.render(value).ok()?;
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

fn said_twice(i: usize, j: usize, entries: &[Publish]) -> Option<Issue> {
    let k = entries[..j].iter().position(|other| *other == entries[j])?;
    let title = "each frame would be published twice on one topic";
    let issue = Issue::at(format!("port[{i}].publish[{j}]"), title, "says the same again")
        .also(format!("port[{i}].publish[{k}]"), "first here");
    Some(issue.warning())
}

fn of_broker(fault: &crate::broker::Fault) -> Issue {
    let mut path = String::from("broker");
    for step in &fault.path {
        match step.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) => path.push_str(&format!(".{step}")),
        }
    }
    let (title, label) = fault.what.rsplit_once(": ").unwrap_or((fault.what.as_str(), ""));
    Issue::at(path, title, label)
}

fn of_serial(i: usize, port: &port::Config) -> Option<Issue> {
    use serial::Fault;
    let at = |key: &str, title: &str, label: &str| Issue::at(format!("port[{i}]{key}"), title, label);
    Some(match port.serial().validate().err()? {
        Fault::Nameless => {
            let title = format!("which device is the port `{}`?", port.name);
            at("", &title, "this has neither `path` nor `usb`")
                .help("add `path = \"/dev/serial/by-id/...\"`; `mqttyd ports` lists what is there")
        }
        Fault::NamedTwice => at(
            ".usb",
            "`path` and `usb` both name the device",
            "keep one of them",
        )
        .also(format!("port[{i}].path"), "the other one"),
        Fault::Relative(path) => {
            let help = format!("write it from the root: `path = \"/dev/{}\"`", path.display());
            at(
                ".path",
                "the device's path is relative",
                "this depends on where mqttyd is started",
            )
            .help(help)
        }
        Fault::AnyUsb => at(
            ".usb",
            "`usb` names nothing",
            "expected `vid`, `pid`, `serial` or `interface`",
        )
        .help("`mqttyd ports` lists what is there"),
        Fault::TwoMastersOfRts => at(".rts", "two masters of RTS", "this sets RTS once and for all")
            .also(format!("port[{i}].flow-control"), "this moves it with the data")
            .help("remove one of them"),
    })
}

/// What the framing and the check say when they are built.
fn of_bytes(i: usize, port: &port::Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Err(error) = port.frame.build(port.serial().char_time()) {
        issues.push(in_two(format!("port[{i}].frame"), &error.to_string()));
    }
    if let Some(Err(error)) = port.check.as_ref().map(check::Config::build) {
        let key = match &error {
            check::Error::Width { .. } => "encoding",
            check::Error::Beyond { .. } | check::Error::Tail { .. } => "at",
            check::Error::NoPrefix => "optional",
            check::Error::Nothing { .. } => "covers",
        };
        issues.push(in_two(format!("port[{i}].check.{key}"), &error.to_string()));
    }
    issues
}

/// `what: why` as title and label, what would be right after a `;` as help.
fn in_two(path: String, words: &str) -> Issue {
    let (words, help) = match words.split_once("; ") {
        Some((words, help)) => (words, Some(help)),
        None => (words, None),
    };
    let (title, label) = words.split_once(": ").unwrap_or((words, ""));
    let issue = Issue::at(path, title, label);
    match help {
        Some(help) => issue.help(help),
        None => issue,
    }
}
