//! What only shows when the devices of a bus are looked at together.

use super::across::{reach, said_twice};
use super::suggest::{listed, nearest};
use super::{Config, Issue, device};
use crate::bus::Plan;
use crate::port::config::{self as port, Command, Described, Device, Known};
use crate::profile::asked::Address;
use crate::profile::{Profile, expanded};
use crate::topic::Filter;
use std::collections::HashMap;

impl Config {
    /// Everything about the bus of a port that does not fit together.
    pub(super) fn check_bus(&self, i: usize, reaches: &[Option<Filter>]) -> Vec<Issue> {
        let port = &self.port[i];
        let mut issues = not_asked(i, port);
        if !port.is_bus() {
            return issues;
        }
        issues.extend(same_devices(i, port));
        let mut reaches = reaches.to_vec();
        for (n, member) in port.members().enumerate() {
            let path = format!("port[{i}].device[{n}]");
            issues.extend(unknown_polls(&path, member));
            let Some(config) = member.config() else { continue };
            // What is wrong with the profile is told below.
            let Ok(profile) = Profile::new(config, port.serial().char_time()) else {
                continue;
            };
            let known = Known::of(&profile);
            for (j, publish) in member.publish.iter().enumerate() {
                let filter = reach(port, publish);
                let entry = format!("{path}.publish[{j}]");
                issues.extend(self.check_publish(i, &entry, &known, publish, filter.as_ref()));
                reaches.push(filter);
            }
            issues.extend(said_twice(&path, &member.publish));
            for (j, command) in member.command.iter().enumerate() {
                // The places of what is published are those of the port's own entries.
                let own = &reaches[..port.publish.len().min(reaches.len())];
                issues.extend(self.check_command(i, &format!("{path}.command[{j}]"), command, own));
            }
        }
        issues.extend(of_commands(i, port));
        issues.extend(of_listening(i, port));
        match port.bus_devices() {
            Err((path, mistakes)) => issues.extend(mistakes.iter().map(|mistake| {
                let root = format!("port[{i}].{path}");
                let member = port.members().nth(index(&path).unwrap_or(usize::MAX));
                let within = matches!(member.map(|member| &member.profile), Some(Described::Inline(_)));
                match (within, &port.device) {
                    (true, _) => device::issue(mistake, &format!("{root}.profile")),
                    (false, Some(Device::Inline(_))) => device::issue(mistake, &root),
                    _ => Issue::at(
                        root,
                        "the device can't be asked so",
                        format!("{}: {}", mistake.path, mistake.what),
                    ),
                }
            })),
            Ok(devices) => {
                let plan = Plan::new(&devices, port.serial().char_time());
                issues.extend(too_much(i, port, &plan).filter(|_| !port.bus.listen));
            }
        }
        issues
    }
}

/// `1` of `device[1]`.
fn index(path: &str) -> Option<usize> {
    path.strip_prefix("device[")?.strip_suffix(']')?.parse().ok()
}

/// What does not go with only listening.
fn of_listening(i: usize, port: &port::Config) -> Vec<Issue> {
    if !port.bus.listen {
        return Vec::new();
    }
    let path = format!("port[{i}].bus.listen");
    let mut issues = Vec::new();
    if !port.addressed().is_empty() {
        issues.push(Issue::at(
            &path,
            format!("the port `{}` has commands, and only listens", port.name),
            "nothing is sent then",
        ));
    }
    for asked in port.asked() {
        if !expanded(asked.profile)
            .kind
            .iter()
            .any(|kind| kind.modbus.is_some())
        {
            let title = format!("`{}` is no Modbus device with registers", asked.name);
            let issue = Issue::at(&path, title, "only of those are requests and replies paired");
            issues.push(
                issue.help("a port without `[[port.device]]` listens to devices that speak by themselves"),
            );
        } else if !matches!(asked.address, Some(Address::Number(1..=255))) {
            let title = format!("`{}` has no address", asked.name);
            issues.push(Issue::at(&path, title, "replies are told apart by it"));
        }
    }
    issues
}

/// More polls than the line has time for.
fn too_much(i: usize, port: &port::Config, plan: &Plan) -> Option<Issue> {
    if plan.fits() {
        return None;
    }
    let percent = plan.utilisation() * 100.0;
    let title = format!(
        "the line of the port `{}` has no time for all that it is asked for",
        port.name
    );
    let label = format!("the polls need {percent:.0}% of its time");
    let issue = Issue::at(format!("port[{i}].device"), title, label).help(format!(
        "ask less often (every interval {:.1} times as long would do), or raise `baud`",
        plan.stretch()
    ));
    let rows = plan.to_string();
    Some(rows.lines().fold(issue, |issue, row| issue.help(row.to_owned())))
}

/// Words of a bus on a port that is none.
fn not_asked(i: usize, port: &port::Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    if port.is_bus() {
        return issues;
    }
    for (j, command) in port.command.iter().enumerate() {
        for (key, there) in [
            ("poll", command.poll.is_some()),
            ("verify", command.verify.is_some()),
        ] {
            if there {
                let path = format!("port[{i}].command[{j}].{key}");
                let title = format!("`{key}` needs a device that speaks only when asked");
                issues.push(
                    Issue::at(path, title, "this port has no polls")
                        .help("a profile with `[[poll]]`, or `[[port.device]]` with one"),
                );
            }
        }
    }
    let several = port.profiles();
    if let (Some(Device::Named(names)), true) = (&port.device, several.len() > 1)
        && let Some(n) = several.iter().position(|profile| !profile.poll.is_empty())
    {
        let title = format!("`{}` speaks only when asked", names[n]);
        issues.push(
            Issue::at(
                format!("port[{i}].device[{n}]"),
                title,
                "among others it would never be asked",
            )
            .help("give each device a `[[port.device]]` with its `profile` and `address`"),
        );
    }
    issues
}

/// Devices that have the name or the address of one before them.
fn same_devices(i: usize, port: &port::Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut addresses: HashMap<String, usize> = HashMap::new();
    for (n, member) in port.members().enumerate().filter(|(_, member)| member.enabled) {
        let at = |n: usize, key: &str| format!("port[{i}].device[{n}].{key}");
        let first = *names.entry(member.title()).or_insert(n);
        if first != n {
            let title = format!("two devices have the name `{}`", member.title());
            issues.push(
                Issue::at(at(n, "name"), title, "again here")
                    .also(at(first, "name"), "first here")
                    .help("topics tell devices apart by their names: give each its own `name`"),
            );
        }
        if let Some(address) = &member.address {
            let first = *addresses.entry(address.to_string()).or_insert(n);
            if first != n {
                let title = format!("two devices have the address {address}");
                issues.push(
                    Issue::at(at(n, "address"), title, "again here")
                        .also(at(first, "address"), "first here")
                        .help("both would answer at once"),
                );
            }
        }
    }
    issues
}

fn unknown_polls(path: &str, member: &port::Member) -> Vec<Issue> {
    let Some(config) = member.config() else {
        return Vec::new();
    };
    let config = expanded(config);
    let known: Vec<&str> = config.poll.iter().map(|poll| poll.name.as_str()).collect();
    let unknown = member.poll.keys().filter(|name| !known.contains(&name.as_str()));
    let issue = |name: &String| unknown_issue(&format!("{path}.poll.{name}"), "poll", name, &known);
    unknown.map(issue).collect()
}

fn unknown_issue(path: &str, what: &str, name: &str, known: &[&str]) -> Issue {
    let label = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the device's profile has no such {what}"),
    };
    let issue = Issue::at(path, format!("unknown {what} `{name}`"), label);
    match known.is_empty() {
        true => issue,
        false => issue.help(format!("known: {}", listed(known.iter().copied(), "and"))),
    }
}

/// What commands name, and topics that carry commands for several devices.
fn of_commands(i: usize, port: &port::Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    let several = port.asked().len() > 1;
    for (j, command) in port.command.iter().enumerate() {
        let path = format!("port[{i}].command[{j}]");
        let apart = |one: &str| port::put_in(&command.topic, one, one).map(|filter| filter.to_string());
        if several && apart("a") == apart("b") {
            let title = "a command for which of the devices?";
            issues.push(
                Issue::at(format!("{path}.topic"), title, "is the same for each of them")
                    .help("put `{{ device }}` into the topic, or move the entry below its `[[port.device]]`"),
            );
        }
    }
    for asked in port.asked() {
        let own = asked.member.map_or(&[][..], |member| &member.command);
        let ports = port
            .command
            .iter()
            .enumerate()
            .map(|(j, command)| (format!("port[{i}].command[{j}]"), command));
        let owns = own
            .iter()
            .enumerate()
            .map(|(j, command)| (format!("port[{i}].{}.command[{j}]", asked.path), command));
        let profile = expanded(asked.profile);
        let commands: Vec<&str> = profile
            .command
            .iter()
            .map(|command| command.name.as_str())
            .collect();
        let polls: Vec<&str> = profile.poll.iter().map(|poll| poll.name.as_str()).collect();
        for (path, command) in ports.chain(owns) {
            for (key, what, name, known) in names(command, &commands, &polls) {
                if !known.contains(&name) {
                    let issue = unknown_issue(&format!("{path}.{key}"), what, name, known);
                    issues.push(issue);
                }
            }
        }
    }
    let addressed = port.addressed();
    for (n, one) in addressed.iter().enumerate() {
        let same = addressed[..n]
            .iter()
            .find(|other| other.topic.overlaps(&one.topic));
        if let Some(other) = same.filter(|_| issues.is_empty()) {
            let title = format!("`{}` and `{}` have topics in common", other.topic, one.topic);
            issues.push(
                Issue::at(
                    format!("port[{i}].device"),
                    title,
                    "a command would be sent twice",
                )
                .help("take topics that have none in common, such as with `{{ device }}` in them"),
            );
        }
    }
    issues
}

type Named<'a> = (&'static str, &'static str, &'a str, &'a [&'a str]);

fn names<'a>(command: &'a Command, commands: &'a [&'a str], polls: &'a [&'a str]) -> Vec<Named<'a>> {
    let named = [
        command
            .command
            .as_deref()
            .map(|name| ("command", "command", name, commands)),
        command.poll.as_deref().map(|name| ("poll", "poll", name, polls)),
        command
            .verify
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(|name| ("verify", "poll", name, polls)),
    ];
    named.into_iter().flatten().collect()
}
