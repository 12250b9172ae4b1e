//! `mqttyd run`: the gateway, until it is told to stop or can't go on.

use super::ConfigFile;
use crate::config::{Config, Faults, Read};
use crate::journal::{self, Levels};
use crate::{broker, gateway};
use anyhow::Context as _;
use std::future::poll_fn;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// What is still being opened when the gateway has stopped gets so long, and is left to the kernel.
const LEFTOVERS: Duration = Duration::from_millis(100);

const EXAMPLE: &str = "\
Examples:
  mqttyd run                                       as the service does
  mqttyd run --config my.toml                      with a configuration of one's own
  mqttyd run --log debug                           with each change of state, for whoever looks for a fault
  mqttyd run --log warn,mqttyd::port=debug         the same of the ports, and else only warnings

Good frames are never logged: `mqttyd watch` shows them, live.

Ctrl-C or SIGTERM: the frame in hand is finished, `offline` published, the ports closed.";

/// Run the gateway: serial ports, MQTT topics and the broker
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,

    /// The same as --config FILE
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,

    /// What is logged, instead of what the configuration or $MQTTYD_LOG says: off, error, warn, info, debug, trace
    #[arg(short, long, value_name = "LEVEL")]
    log: Option<Levels>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let path = self.file.unwrap_or_else(|| self.config.path());
        let Read { config, warnings } = Config::read(&path)?;
        let levels = self
            .log
            .map_or_else(Levels::of_environment, |levels| Ok(Some(levels)))?;
        journal::start(&config.log, levels, Some(Box::new(broker::report())))?;
        journal::log_panics();
        info!(event = "started", version = env!("CARGO_PKG_VERSION"), config = %path.display(), "mqttyd starts");
        tell(&path, &warnings);
        let runtime = runtime().context("failed to start the runtime")?;
        let ended = runtime.block_on(serve(config, path));
        runtime.shutdown_timeout(LEFTOVERS);
        ended
    }
}

/// Says what is doubtful in the configuration.
fn tell(path: &Path, warnings: &Faults) {
    for doubt in warnings.iter() {
        warn!(event = "config-doubtful", config = %path.display(), "{}; `mqttyd check` shows where", doubt.title);
    }
}

async fn serve(config: Config, path: PathBuf) -> anyhow::Result<()> {
    // A terminal that is closed takes with it what runs in it; a service is told to read its files again.
    let terminal = std::io::stderr().is_terminal();
    let hangup = || signal(SignalKind::hangup());
    let mut ends = vec![signal(SignalKind::terminate()), signal(SignalKind::interrupt())];
    ends.extend(terminal.then(hangup));
    let mut ends: Vec<_> = ends
        .into_iter()
        .collect::<Result<_, _>>()
        .context("failed to listen for signals")?;
    let mut reloads = (!terminal)
        .then(hangup)
        .transpose()
        .context("failed to listen for signals")?;
    let stop = poll_fn(|context| {
        let came = ends.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { Poll::Ready(()) } else { Poll::Pending }
    });
    let hangup = async || match &mut reloads {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    };
    let file = path.clone();
    let read = move || {
        let Read { config, warnings } = Config::read(&path)?;
        tell(&path, &warnings);
        Ok(config)
    };
    gateway::run(config, &file, stop, hangup, read).await?;
    Ok(())
}

/// One thread for ports and clients: fewer wake-ups between a line and a socket than with several, in less memory.
/// The broker's router has a thread of its own, and what a driver may take its time for goes to the blocking pool.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
