//! The commands, one file each. A command's file has its `Args`, which clap reads, and their `run`.

mod completions;
mod man;
pub mod ports;
pub mod watch;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

/// Where the configuration is if nobody says otherwise.
pub const CONFIG: &str = "/etc/mqttyd/mqttyd.toml";

const ABOUT: &str = "Joins serial ports (UART, RS-485) to MQTT topics, with the broker inside";

const LONG_ABOUT: &str = "\
Joins serial ports (UART, RS-485) to MQTT topics, with the broker inside.

What a device says on its serial line is cut into frames, checked, and published as MQTT messages; messages \
for the device are framed and written to its line. The MQTT broker is part of the daemon: there is nothing \
else to install.";

const MORE: &str = "\
Examples:
  mqttyd demo                    simulated devices: see it work without any hardware
  mqttyd ports                   which serial ports does this machine have?
  mqttyd check my.toml           is this configuration right?
  mqttyd run --config my.toml    run the gateway
  mqttyd watch --port scale      what passes on this port right now?

Environment:
  MQTTYD_CONFIG   the configuration file, where --config doesn't say (default /etc/mqttyd/mqttyd.toml)
  MQTTYD_LOG      log levels instead of the configured ones, such as \"info,mqttyd::port=debug\"
  NO_COLOR        no colours, please

Exit status:
  0 all went well   1 failed while running   2 wrong usage   78 wrong configuration";

/// The command line.
#[derive(Parser, Debug)]
#[command(name = "mqttyd", version, about = ABOUT, long_about = LONG_ABOUT, after_help = MORE)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = false
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

/// `--config`, for the commands that read it.
#[derive(clap::Args, Debug)]
pub(crate) struct ConfigFile {
    /// The configuration file [default: $MQTTYD_CONFIG, or else /etc/mqttyd/mqttyd.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The file that was asked for, by argument, by the environment, or by saying nothing.
    pub(crate) fn path(&self) -> PathBuf {
        path_or_default(self.config.as_deref())
    }
}

/// The configuration file: the one that is named, or the one of the environment, or the installed one.
pub(crate) fn path_or_default(named: Option<&Path>) -> PathBuf {
    let environment = || std::env::var_os("MQTTYD_CONFIG").filter(|path| !path.is_empty());
    named
        .map(Path::to_owned)
        .unwrap_or_else(|| environment().map_or_else(|| CONFIG.into(), PathBuf::from))
}

/// Writes a whole text to stdout; a reader that has gone away is an error like any other.
pub(crate) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .context("failed to write to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let name = command.get_name();
            assert!(
                after.contains(&format!("mqttyd {name}")),
                "`mqttyd {name} --help` shows no example"
            );
            assert!(
                command
                    .get_about()
                    .is_some_and(|about| !about.to_string().is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_named_file_comes_first() {
        assert_eq!(path_or_default(Some(Path::new("my.toml"))), Path::new("my.toml"));
    }
}
