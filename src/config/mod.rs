//! The configuration file: the rooms' own settings put together, read so that every fault is told at once.
//!
//! [`load`] reads any type; [`Config`] is the one of mqttyd, and `across.rs` what its parts must have in common.

mod access;
mod across;
mod bus;
pub mod device;
mod error;
mod fault;
mod file;
mod hints;
mod issue;
mod lines;
mod load;
mod phantom;
mod reader;
mod reference;
mod session;
mod suggest;
mod syntax;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Faults};
pub use issue::Issue;
use load::load_with;
pub use load::{Loaded, load};
pub use reference::reference;
pub use suggest::nearest;

use crate::{broker, gateway, journal, port};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The configuration of mqttyd: one file says how serial ports and MQTT topics are joined.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(title = "mqttyd")]
pub struct Config {
    /// The log: what is told, and where to.
    pub log: journal::Config,
    /// The gateway itself: where it tells of its state.
    pub gateway: gateway::Config,
    /// The MQTT broker inside: where it listens, and who may connect.
    pub broker: broker::Config,
    /// The serial ports: one `[[port]]` for each. None is needed: the broker runs without.
    pub port: Vec<port::Config>,
}

/// A configuration that was read, and what is doubtful in it.
#[derive(Debug, Clone)]
pub struct Read {
    /// What the file says.
    pub config: Config,
    /// What is probably not meant so. Nothing has to be done about it.
    pub warnings: Faults,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Read, Faults> {
        Config::parse(&file::read(path)?, &path.display().to_string())
    }

    /// Reads a file, and warns of what is doubtful on this machine, too: files that it names and that can't be
    /// read here.
    pub fn read_and_look(path: &Path) -> Result<Read, Faults> {
        let whole = |config: &Config| [config.check(), config.look_around()].concat();
        Config::parse_with(&file::read(path)?, &path.display().to_string(), whole)
    }

    /// Reads a text, which messages call `name`.
    pub fn parse(text: &str, name: &str) -> Result<Read, Faults> {
        Config::parse_with(text, name, Config::check)
    }

    fn parse_with(text: &str, name: &str, check: impl Fn(&Config) -> Vec<Issue>) -> Result<Read, Faults> {
        let mut loaded = load_with::<Config>(text, Some(Config::schema));
        let complete = loaded.complete();
        let beside = Path::new(name)
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let issues = match &mut loaded.value {
            Some(config) if complete => {
                match config.describe(beside) {
                    none if none.is_empty() => check(config),
                    // What fields there are is not known then.
                    issues => issues,
                }
            }
            _ => Vec::new(),
        };
        let place = |issue: &Issue| issue.fault(&loaded, text);
        let (warnings, worse): (Vec<_>, Vec<_>) = issues.iter().partition(|issue| issue.is_warning());
        let mut faults = loaded.faults.clone();
        faults.extend(worse.into_iter().filter_map(place));
        let warnings = Faults::new(name, text, warnings.into_iter().filter_map(place).collect(), true);
        match loaded.value {
            Some(config) if faults.is_empty() => Ok(Read { config, warnings }),
            _ => Err(Faults::new(name, text, faults, false)),
        }
    }

    /// Reads the profiles that ports name. Gives what is wrong with that.
    fn describe(&mut self, beside: Option<&Path>) -> Vec<Issue> {
        let mut issues = Vec::new();
        for (i, port) in self.port.iter_mut().enumerate() {
            if let Some(port::config::Device::Members(members)) = &mut port.device {
                for (n, member) in members.iter_mut().enumerate() {
                    let port::config::Described::Named(name) = &member.profile else {
                        continue;
                    };
                    match profile(name, beside, format!("port[{i}].device[{n}].profile")) {
                        Ok(config) => member.described = Some(Box::new(config)),
                        Err(issue) => issues.push(*issue),
                    }
                }
            }
            let Some(port::config::Device::Named(names)) = &port.device else {
                continue;
            };
            for (n, name) in names.iter().enumerate() {
                let path = match names.len() {
                    1 => format!("port[{i}].device"),
                    _ => format!("port[{i}].device[{n}]"),
                };
                match profile(name, beside, path) {
                    Ok(config) => port.described.push(config),
                    Err(issue) => issues.push(*issue),
                }
            }
        }
        issues
    }

    /// The JSON Schema of the file, for editors that complete and explain.
    pub fn schema() -> Value {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = generator.into_root_schema_for::<Config>().to_value();
        name_parts(&mut schema);
        schema
    }
}

/// Reads the profile of this name, which stands at this path of the configuration.
fn profile(name: &str, beside: Option<&Path>, path: String) -> Result<crate::profile::Config, Box<Issue>> {
    let Some(file) = device::find(name, beside) else {
        let known = device::names(beside);
        let label = match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "no file of this name".to_owned(),
        };
        let folders = device::FOLDERS.join(" and ");
        let issue = Issue::at(path, format!("there is no device profile `{name}`"), label);
        return Err(Box::new(issue.help(format!(
            "profiles are looked for in `devices` beside the configuration, and in {folders}"
        ))));
    };
    device::read(&file).map(|read| read.config).map_err(|faults| {
        let issue = Issue::at(
            path,
            format!("the device profile `{name}` is wrong"),
            format!("{} has {} faults", file.display(), faults.len()),
        );
        Box::new(issue.help(format!("`mqttyd check {}` shows them", file.display())))
    })
}

/// Each part has a type `Config`, which the schema numbers. Names them after the keys that they are for.
fn name_parts(schema: &mut Value) {
    let mut names = BTreeMap::new();
    let mut todo = vec![&*schema];
    while let Some(value) = todo.pop() {
        for (key, property) in value["properties"].as_object().into_iter().flatten() {
            let forms = property["anyOf"].as_array().into_iter().flatten();
            let mut refs = forms
                .chain([property, &property["items"]])
                .filter_map(|form| form["$ref"].as_str());
            if let Some(old) = refs.find(|old| old.starts_with("#/$defs/Config")) {
                let name = key[..1].to_uppercase() + &key[1..];
                names.insert(old.trim_start_matches("#/$defs/").to_string(), name);
            }
        }
        match value {
            Value::Object(entries) => todo.extend(entries.values()),
            Value::Array(elements) => todo.extend(elements),
            _ => {}
        }
    }
    let mut todo = vec![&mut *schema];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(entries) => {
                if let Some(Value::String(path)) = entries.get_mut("$ref")
                    && let Some(new) = path.strip_prefix("#/$defs/").and_then(|old| names.get(old))
                {
                    *path = format!("#/$defs/{new}");
                }
                todo.extend(entries.values_mut());
            }
            Value::Array(elements) => todo.extend(elements),
            _ => {}
        }
    }
    if let Some(parts) = schema["$defs"].as_object_mut() {
        for (old, new) in names {
            if let Some(part) = parts.remove(&old) {
                parts.insert(new, part);
            }
        }
    }
}
