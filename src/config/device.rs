//! Device profiles: files of their own, found by name, read like the configuration itself.

use super::load::load_with;
use super::{Faults, Issue, file};
use crate::bus;
use crate::field::Mistake;
use crate::profile::{Config, Profile};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where profiles are looked for, behind the folder `devices` beside the configuration: own ones come first.
pub const FOLDERS: [&str; 2] = ["/etc/mqttyd/devices", "/usr/share/mqttyd/devices"];

/// A profile that was read: as it is written, and compiled for a line of 9600 baud.
#[derive(Debug, Clone)]
pub struct Device {
    /// What the file says.
    pub config: Config,
    /// What it means.
    pub profile: Profile,
}

/// The file of a profile, beside the configuration or in the usual folders.
pub fn find(name: &str, beside: Option<&Path>) -> Option<PathBuf> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(sound) {
        return None;
    }
    let own = beside.map(|folder| folder.join("devices"));
    let folders = own.into_iter().chain(FOLDERS.map(PathBuf::from));
    folders
        .map(|folder| folder.join(format!("{name}.toml")))
        .find(|path| path.is_file())
}

/// Every profile that there is, by name, beside the configuration and in the usual folders.
pub fn names(beside: Option<&Path>) -> Vec<String> {
    let own = beside.map(|folder| folder.join("devices"));
    let folders = own.into_iter().chain(FOLDERS.map(PathBuf::from));
    let mut names: Vec<String> = folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".toml").map(str::to_owned)
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether a file is a device profile and not a configuration: by the tables that it has.
pub fn is_profile(path: &Path) -> bool {
    let Ok(text) = file::read(path) else { return false };
    let heads = |keys: &[&str]| {
        text.lines().any(|line| {
            let line = line.trim_start_matches('[').trim_start();
            let key = line.split(['=', ']', '.', ' ']).next().unwrap_or_default();
            keys.contains(&key) && !line.starts_with('#')
        })
    };
    !heads(&["port", "broker", "gateway", "log"])
        && heads(&["kind", "fields", "frame", "check", "example", "serial"])
}

/// Reads a profile's file.
pub fn read(path: &Path) -> Result<Device, Faults> {
    parse(&file::read(path)?, &path.display().to_string())
}

/// Reads a profile's file, and builds all that it sends, so that what can't be sent is told before a port needs it.
pub fn read_and_look(path: &Path) -> Result<Device, Faults> {
    parse_and_look(&file::read(path)?, &path.display().to_string())
}

/// Reads a profile's text, which messages call `name`.
pub fn parse(text: &str, name: &str) -> Result<Device, Faults> {
    made(text, name, false)
}

/// Reads a profile's text, and builds all that it sends.
pub fn parse_and_look(text: &str, name: &str) -> Result<Device, Faults> {
    made(text, name, true)
}

fn made(text: &str, name: &str, look: bool) -> Result<Device, Faults> {
    let loaded = load_with::<Config>(text, Some(schema));
    let mut faults = loaded.faults.clone();
    let mut profile = None;
    if let Some(config) = loaded.value.as_ref().filter(|_| loaded.complete()) {
        // 9600 baud, 10 bits to a character.
        let char_time = Duration::from_micros(1042);
        match Profile::new(config, char_time) {
            Ok(made) => {
                if look {
                    let mistakes = bus::unsendable(config, &made, char_time);
                    let unsent =
                        |mistake: Mistake| Issue::at(mistake.path, "this can't be sent", mistake.what);
                    let placed = mistakes.into_iter().map(unsent);
                    faults.extend(placed.filter_map(|issue| issue.fault(&loaded, text)));
                }
                profile = Some(made);
            }
            Err(mistakes) => {
                let placed = mistakes.iter().map(|mistake| issue(mistake, ""));
                faults.extend(placed.filter_map(|issue| issue.fault(&loaded, text)));
            }
        }
    }
    match (loaded.value, profile) {
        (Some(config), Some(profile)) if faults.is_empty() => Ok(Device { config, profile }),
        _ => Err(Faults::new(name, text, faults, false)),
    }
}

/// A mistake as an issue of the file; `root` is the path of the table that was compiled.
pub(super) fn issue(mistake: &Mistake, root: &str) -> Issue {
    let path = format!("{root}.{}", mistake.path);
    let path = path.trim_start_matches('.');
    let key = path
        .rsplit(['.', ']'])
        .next()
        .filter(|key| !key.is_empty() && !key.contains('['));
    let title = match key {
        Some(key) => format!("wrong value for `{key}`"),
        None => "this field can't be read".to_owned(),
    };
    Issue::at(path, title, mistake.what.clone())
}

/// The JSON Schema of a profile's file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<Config>().to_value()
}
