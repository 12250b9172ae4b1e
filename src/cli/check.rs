//! `mqttyd check`: says everything that is wrong with a configuration or a device profile, and opens no port and
//! no socket. A profile's examples are tried.

use crate::config::{Config, device};
use crate::counted::counted;
use std::io::{self, Write};
use std::path::Path;

/// Reads the file and writes what is wrong with it. Gives the number of faults; warnings are none.
pub fn check(path: &Path, colour: bool, mut out: impl Write) -> io::Result<usize> {
    if device::is_profile(path) {
        return check_device(path, colour, out);
    }
    match Config::read_and_look(path) {
        Ok(read) => {
            out.write_all(read.warnings.render(colour).as_bytes())?;
            let (ports, publish, command) = read.config.port.iter().fold((0, 0, 0), |(n, up, down), port| {
                let (own, orders) = port.members().fold((0, 0), |(up, down), member| {
                    (up + member.publish.len(), down + member.command.len())
                });
                (
                    n + 1,
                    up + port.publish.len() + own,
                    down + port.command.len() + orders,
                )
            });
            writeln!(
                out,
                "{} is good: {}, {}, {}, {}",
                path.display(),
                counted(read.config.broker.listeners().len(), "listener"),
                counted(ports, "port"),
                counted(publish, "topic template"),
                counted(command, "command filter"),
            )?;
            for port in &read.config.port {
                if let Some(plan) = port.plan() {
                    writeln!(out, "the line of the port `{}`:", port.name)?;
                    for row in plan.lines() {
                        writeln!(out, "  {row}")?;
                    }
                }
            }
            Ok(0)
        }
        Err(faults) => {
            out.write_all(faults.render(colour).as_bytes())?;
            let n = faults.len();
            writeln!(out, "{}: {}", path.display(), counted(n, "fault"))?;
            Ok(n)
        }
    }
}

/// Reads a device profile and tries its examples. Gives the number of faults and of examples that fail.
fn check_device(path: &Path, colour: bool, mut out: impl Write) -> io::Result<usize> {
    let device = match device::read_and_look(path) {
        Ok(device) => device,
        Err(faults) => {
            out.write_all(faults.render(colour).as_bytes())?;
            let n = faults.len();
            writeln!(out, "{}: {}", path.display(), counted(n, "fault"))?;
            return Ok(n);
        }
    };
    let mut wrong = 0;
    for (number, example) in device.config.example.iter().enumerate() {
        if let Err(failures) = device.profile.try_example(example) {
            wrong += 1;
            writeln!(
                out,
                "example {} \"{}\" fails:",
                number + 1,
                example.name.escape_debug()
            )?;
            writeln!(out, "{}", device.profile.explain_example(example, &failures))?;
        }
    }
    let examples = device.config.example.len();
    match wrong {
        0 => writeln!(
            out,
            "{} is good: {} of frame, {}, {}",
            path.display(),
            counted(device.profile.kinds().count(), "kind"),
            counted(device.profile.commands().len(), "command"),
            counted(examples, "example"),
        )?,
        n => writeln!(
            out,
            "{}: {n} of {} fail",
            path.display(),
            counted(examples, "example")
        )?,
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_whose_example_fails_says_which_field_and_shows_the_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scale.toml");
        let text = "frame = { fixed = { length = 2 } }\n\
            fields = [{ name = \"weight\", type = \"u16\", unit = \"g\" }]\n\
            [[example]]\nname = \"sheet\"\nwire = \"0102\"\nvalues = { weight = 257 }\n";
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        assert_eq!(check(&path, false, &mut out).unwrap(), 1);
        let out = String::from_utf8(out).unwrap();
        for part in [
            "example 1 \"sheet\" fails",
            "weight: expected 257, got 258",
            "0102   weight",
            "1 of 1 example fail",
        ] {
            assert!(out.contains(part), "{part}:\n{out}");
        }
        std::fs::write(&path, text.replace("257", "258")).unwrap();
        assert_eq!(check(&path, false, Vec::new()).unwrap(), 0);
        std::fs::write(&path, text.replace("u16", "u0")).unwrap();
        assert_eq!(check(&path, false, Vec::new()).unwrap(), 1);
    }
}
