//! `mqttyd check`: says everything that is wrong with a configuration, and opens no port and no socket.

use crate::config::Config;
use std::io::{self, Write};
use std::path::Path;

/// Reads the file and writes what is wrong with it. Gives the number of faults; warnings are none.
pub fn check(path: &Path, colour: bool, mut out: impl Write) -> io::Result<usize> {
    match Config::read_and_look(path) {
        Ok(read) => {
            out.write_all(read.warnings.render(colour).as_bytes())?;
            let (ports, publish, command) = read.config.port.iter().fold((0, 0, 0), |(n, up, down), port| {
                (n + 1, up + port.publish.len(), down + port.command.len())
            });
            let count =
                |n: usize, one: &str, several: &str| format!("{n} {}", if n == 1 { one } else { several });
            writeln!(
                out,
                "{} is good: {}, {}, {}, {}",
                path.display(),
                count(read.config.broker.listener.len(), "listener", "listeners"),
                count(ports, "port", "ports"),
                count(publish, "topic template", "topic templates"),
                count(command, "command filter", "command filters"),
            )?;
            Ok(0)
        }
        Err(faults) => {
            out.write_all(faults.render(colour).as_bytes())?;
            let n = faults.len();
            writeln!(
                out,
                "{}: {n} {}",
                path.display(),
                if n == 1 { "fault" } else { "faults" }
            )?;
            Ok(n)
        }
    }
}
