//! What does not fit together in how a port's line is set, asked and cut.

use super::Issue;
use super::suggest::{listed, nearest};
use super::words::apart;
use crate::check;
use crate::port::config as port;
use crate::serial;

pub(super) fn of_serial(i: usize, port: &port::Config) -> Option<Issue> {
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
        Fault::DirectionAndFlow => at(
            ".rs485.direction",
            "two masters of RTS",
            "this moves RTS with each frame",
        )
        .also(format!("port[{i}].flow-control"), "this moves it with the data")
        .help("an RS-485 line has no flow control by wire: remove `flow-control`"),
        Fault::DirectionAndRts => at(
            ".rs485.direction",
            "two masters of RTS",
            "this moves RTS with each frame",
        )
        .also(format!("port[{i}].rts"), "this sets it once and for all")
        .help("remove one of them"),
        Fault::NoRtsOnSend => at(
            ".rs485.rts-on-send",
            "RTS doesn't turn this line",
            "says nothing with this `direction`",
        )
        .help("take `direction = \"kernel\"` or \"rts\"; a GPIO line has `active-low`"),
        Fault::NothingDelayed(key) => at(
            &format!(".rs485.{key}"),
            "nothing turns this line",
            "delays nothing",
        )
        .help("say who does: `direction = \"kernel\"`, \"rts\" or { gpio = { line = 17 } }"),
        Fault::LongDelay(key) => at(
            &format!(".rs485.{key}"),
            "a delay that no transceiver needs",
            "at most 1 s is taken",
        ),
        Fault::TwoNinthBits => at(
            ".ninth-bit",
            "`parity` and `ninth-bit` are the same bit",
            "this makes the parity bit 0 or 1 at will",
        )
        .also(format!("port[{i}].parity"), "this computes it")
        .help("remove one of them"),
        Fault::BreakOrAddress => at(
            ".on-break",
            "a break can't be told from an address of 0",
            "with `ninth-bit` the kernel writes the same for both",
        )
        .help("remove `on-break`"),
    })
}

/// What the framing and the check say when they are built.
/// A port that is a device itself.
pub(super) fn of_serve(i: usize, port: &port::Config) -> Vec<Issue> {
    let Some(serve) = &port.serve else {
        return Vec::new();
    };
    let mistakes = serve.mistakes();
    let root = format!("port[{i}].serve");
    let mut issues: Vec<Issue> = mistakes
        .iter()
        .map(|mistake| super::device::issue(mistake, &root))
        .collect();
    let others = [
        ("device", port.device.is_some(), "a port asks a device or is one"),
        (
            "command",
            !port.command.is_empty(),
            "a device that is asked says nothing by itself",
        ),
    ];
    for (key, there, why) in others {
        if there {
            let title = format!("the port `{}` has `serve` and `{key}`", port.name);
            issues.push(Issue::at(format!("port[{i}].{key}"), title, why));
        }
    }
    issues
}

pub(super) fn of_bytes(i: usize, port: &port::Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut issue = |path: String, what: &str, words: String| {
        let title = format!("{what} of the port `{}` cannot be so", port.name);
        let (label, help) = apart(&words);
        let issue = Issue::at(path, title, label).needs(format!("port[{i}].name"));
        issues.push(help.into_iter().fold(issue, Issue::help));
    };
    let frame = port.frame.clone().unwrap_or_default();
    if let Err(error) = frame.build(port.serial().char_time()) {
        issue(format!("port[{i}].frame"), "the framing", error.to_string());
    }
    if let Some(Err(error)) = port.check.as_ref().map(check::Config::build) {
        let key = match &error {
            check::Error::Width { .. } => "encoding",
            check::Error::Beyond { .. } | check::Error::Tail { .. } => "at",
            check::Error::NoPrefix => "optional",
            check::Error::Nothing { .. } => "covers",
            check::Error::Group => "each",
        };
        let words = error.to_string();
        let words = match words.split_once(": ") {
            Some((said, why)) if said.starts_with("at = ") => why.to_string(),
            _ => words,
        };
        issue(format!("port[{i}].check.{key}"), "the check", words);
    }
    if issues.is_empty()
        && port.members().next().is_none()
        && let Err(port::Wrong::Device(mistakes)) = port.reading()
    {
        let root = format!("port[{i}].device");
        let within = matches!(port.device, Some(port::Device::Inline(_)));
        issues.extend(mistakes.iter().map(|mistake| match within {
            true => super::device::issue(mistake, &root),
            false => Issue::at(
                &root,
                "the device's profile does not fit this port",
                mistake.what.clone(),
            ),
        }));
    }
    let commands = port.command.iter().enumerate().filter(|_| !port.is_bus());
    for (j, name) in commands.filter_map(|(j, command)| Some((j, command.command.as_ref()?))) {
        let profiles: Vec<_> = port
            .profiles()
            .into_iter()
            .map(crate::profile::expanded)
            .collect();
        let known: Vec<&str> = profiles
            .iter()
            .flat_map(|profile| profile.command.iter().map(|command| command.name.as_str()))
            .collect();
        if !known.contains(&name.as_str()) {
            let label = match (nearest(name, known.iter().copied()), known.is_empty()) {
                (Some(meant), _) => format!("did you mean `{meant}`?"),
                (None, true) => "the port has no `device` with commands".to_owned(),
                (None, false) => "the device's profile has no such command".to_owned(),
            };
            let path = format!("port[{i}].command[{j}].command");
            let mut found = Issue::at(path, format!("unknown command `{name}`"), label).part(name.clone());
            if !known.is_empty() {
                found = found.help(format!("known: {}", listed(known.iter().copied(), "and")));
            }
            issues.push(found);
        }
    }
    issues
}
