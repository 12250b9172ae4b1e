//! The commands, one file each. A command's file has the arguments that clap reads, and what they do.

pub mod check;
mod completions;
pub mod demo;
pub mod explain;
mod man;
mod passwd;
pub mod ports;
mod reload;
mod replay;
mod run;
pub mod schema;
pub mod watch;

use crate::config::Config;
use crate::gateway;
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::io::Write as _;
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
  mqttyd watch --port scale      what passes on the port `scale` right now?

Environment:
  MQTTYD_CONFIG   the configuration file, where no argument names it
  MQTTYD_LOG      log levels instead of the configured ones: \"info,mqttyd::port=debug\"
  NO_COLOR        no colours, please

Exit status:
  0 all went well   1 failed while running   2 wrong usage   78 wrong configuration";

/// The command line.
#[derive(Parser, Debug)]
#[command(name = "mqttyd", version, about = ABOUT, long_about = LONG_ABOUT, after_help = MORE)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::Args),
    Check(CheckArgs),
    Explain(ExplainArgs),
    Ports(PortsArgs),
    Watch(WatchArgs),
    Reload(ReloadArgs),
    Replay(replay::Args),
    Demo(demo::Options),
    Passwd(passwd::Args),
    Schema(SchemaArgs),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Ports(args) => args.run(),
            Command::Watch(args) => args.run(),
            Command::Reload(args) => args.run(),
            Command::Replay(args) => args.run(),
            Command::Demo(options) => demo::run(&options),
            Command::Passwd(args) => args.run(),
            Command::Schema(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

const CHECK: &str = "\
Examples:
  mqttyd check               /etc/mqttyd/mqttyd.toml
  mqttyd check my.toml       another file
  mqttyd check scale.toml    a device profile: its examples are tried

Nothing is opened: no port, no socket. The exit status is 78 if anything is wrong, and 0 otherwise.";

/// Say everything that is wrong with a configuration, and where
#[derive(clap::Args, Debug)]
#[command(after_help = CHECK)]
struct CheckArgs {
    /// The same as --config FILE
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigFile,
}

impl CheckArgs {
    fn run(self) -> anyhow::Result<()> {
        let stdout = std::io::stdout().lock();
        let colour = colourful(&stdout);
        let path = self.file.unwrap_or_else(|| self.config.path());
        match check::check(&path, colour, stdout).context(STDOUT)? {
            0 => Ok(()),
            _ => Err(Wrong.into()),
        }
    }
}

const EXPLAIN: &str = "\
Examples:
  mqttyd explain plantower-pms5003 \"424d001c 0000 0008 ...\"    a profile by name
  mqttyd explain my/scale.toml --text 'S S     100.00 g'     a text frame, CR LF is added
  mqttyd explain eastron-sdm120 01040443663334 1b38 --request 01040000000271cb
  mqttyd explain                                            which profiles are there?";

/// Lay a frame out field by field, as a device profile reads it
#[derive(clap::Args, Debug)]
#[command(after_help = EXPLAIN)]
struct ExplainArgs {
    /// The profile: its name, or a file
    profile: Option<String>,

    /// The bytes from the line, in hexadecimal digits; blanks are ignored
    hex: Vec<String>,

    /// The frame is this text; `\r`, `\n`, `\t` and `\x02` stand for such bytes, and CR LF is added if there is no \n
    #[arg(long, conflicts_with = "hex", allow_hyphen_values = true)]
    text: Option<String>,

    /// The bytes of the request to which it is the reply
    #[arg(long, value_name = "HEX")]
    request: Option<String>,

    #[command(flatten)]
    config: ConfigFile,
}

impl ExplainArgs {
    fn run(self) -> anyhow::Result<()> {
        let config = self.config.path();
        let beside = config.parent();
        let Some(name) = self.profile else {
            return print(explain::list(beside));
        };
        let wire = match &self.text {
            Some(text) => explain::text(text),
            None => explain::bytes(&self.hex.concat())?,
        };
        let request = self.request.as_deref().map(explain::bytes).transpose()?;
        print(explain::explain(&name, beside, &wire, request.as_deref())?)
    }
}

/// A configuration is wrong, and it has been said what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong")]
pub struct Wrong;

const SCHEMA: &str = "\
Examples:
  mqttyd schema > mqttyd.schema.json
  mqttyd schema --reference > reference.md

Editors that know TOML complete and explain the configuration with it.";

/// Print the JSON Schema of the configuration
#[derive(clap::Args, Debug)]
#[command(after_help = SCHEMA)]
struct SchemaArgs {
    /// Print the reference of every key instead, as Markdown
    #[arg(long)]
    reference: bool,
}

impl SchemaArgs {
    fn run(self) -> anyhow::Result<()> {
        let stdout = std::io::stdout().lock();
        if self.reference {
            schema::page(stdout)
        } else {
            schema::schema(stdout)
        }
        .context(STDOUT)
    }
}

const PORTS: &str = "\
Examples:
  mqttyd ports                     what is there, and what is it called?
  mqttyd ports --config my.toml    which of them does my configuration mean?";

/// List the serial ports of this machine: their names, who holds them, which are configured
#[derive(clap::Args, Debug)]
#[command(after_help = PORTS)]
struct PortsArgs {
    #[command(flatten)]
    config: ConfigFile,
}

impl PortsArgs {
    fn run(self) -> anyhow::Result<()> {
        let read = self.config.read_if_there()?;
        let unread = read.is_none();
        let config = read.unwrap_or_default();
        let named = config
            .port
            .iter()
            .map(|port| (port.name.as_str().to_owned(), port.serial()));
        ports::run(&named.collect::<Vec<_>>()).context("failed to list the serial ports")?;
        let path = self.config.path();
        if unread && path.exists() {
            print(format!(
                "\nWhich are configured is not known: {} can't be read by this user (try sudo), or is wrong (`mqttyd check` tells).\n",
                path.display()
            ))?;
        }
        Ok(())
    }
}

const WATCH: &str = "\
Examples:
  mqttyd watch                  everything that passes on the gateway's ports
  mqttyd watch -p scale --down  what is sent to the device on the port `scale`
  mqttyd watch --bad            only what goes wrong
  mqttyd watch --json > day     a recording, one JSON object per line";

/// Show what passes on the ports of the running gateway, live
#[derive(clap::Args, Debug)]
#[command(after_help = WATCH)]
struct WatchArgs {
    #[command(flatten)]
    options: watch::Options,

    #[command(flatten)]
    gateway: RunningGateway,
}

impl WatchArgs {
    fn run(self) -> anyhow::Result<()> {
        let socket = self.gateway.socket()?;
        let mut stdout = std::io::stdout().lock();
        let colour = colourful(&stdout);
        watch::run(&socket, &self.options, &mut stdout, colour)
    }
}

const RELOAD: &str = "\
Examples:
  mqttyd reload                      after an edit of /etc/mqttyd/mqttyd.toml
  mqttyd reload --config my.toml     of a gateway that was started with another file

A wrong file is refused as a whole: its faults are said, and the gateway goes on as it was (exit status 78). Of a
right one only what has changed is touched: other ports lose no byte, and clients of other listeners stay connected.";

/// Have the running gateway read its configuration again, and say what has changed
#[derive(clap::Args, Debug)]
#[command(after_help = RELOAD)]
struct ReloadArgs {
    #[command(flatten)]
    gateway: RunningGateway,
}

impl ReloadArgs {
    fn run(self) -> anyhow::Result<()> {
        reload::run(&self.gateway.socket()?)
    }
}

/// Which running gateway is meant.
#[derive(clap::Args, Debug)]
struct RunningGateway {
    #[command(flatten)]
    config: ConfigFile,

    /// The gateway's control socket [default: the one that the configuration names]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl RunningGateway {
    /// Where its control socket is.
    fn socket(self) -> anyhow::Result<PathBuf> {
        if let Some(socket) = self.socket {
            return Ok(socket);
        }
        let config = self.config.read_if_there()?;
        let places = config
            .map_or_else(gateway::Config::default, |config| config.gateway)
            .sockets();
        let there = places.iter().find(|place| place.exists()).or(places.last());
        Ok(there.cloned().unwrap_or_default())
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

    /// The configuration, for commands that can do without: one that was asked for has to be there and right,
    /// the installed one need not be readable for everybody.
    fn read_if_there(&self) -> anyhow::Result<Option<Config>> {
        match Config::read(&self.path()) {
            Ok(read) => Ok(Some(read.config)),
            Err(_) if self.path() == Path::new(CONFIG) => Ok(None),
            Err(faults) => Err(faults.into()),
        }
    }
}

/// The configuration file: the one that is named, or the one of the environment, or the installed one.
pub(crate) fn path_or_default(named: Option<&Path>) -> PathBuf {
    let environment = || std::env::var_os("MQTTYD_CONFIG").filter(|path| !path.is_empty());
    named
        .map(Path::to_owned)
        .unwrap_or_else(|| environment().map_or_else(|| CONFIG.into(), PathBuf::from))
}

/// Whether it is for a person who wants colours.
fn colourful(out: &impl std::io::IsTerminal) -> bool {
    out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|wish| wish.is_empty())
}

const STDOUT: &str = "failed to write to stdout";

/// Writes a whole text to stdout; a reader that has gone away is an error like any other.
pub(crate) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .context(STDOUT)
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
    fn every_command_says_what_it_does_with_an_example() {
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
    fn a_file_may_be_named_in_both_ways_but_not_twice() {
        for command in ["run", "check"] {
            let parse = |rest: &[&str]| Cli::try_parse_from([&["mqttyd", command], rest].concat());
            assert!(
                parse(&["my.toml"]).is_ok() && parse(&["-c", "my.toml"]).is_ok(),
                "{command}"
            );
            assert!(parse(&["my.toml", "-c", "my.toml"]).is_err(), "{command}");
        }
        assert!(Cli::try_parse_from(["mqttyd", "demo", "--address", "localhost:2999"]).is_ok());
    }

    #[test]
    fn a_text_may_begin_with_a_minus() {
        let parsed = Cli::try_parse_from(["mqttyd", "explain", "scale.toml", "--text", "-12.3"]);
        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn a_named_file_comes_first() {
        assert_eq!(path_or_default(Some(Path::new("my.toml"))), Path::new("my.toml"));
    }
}
