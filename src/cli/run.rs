//! `mqttyd run`: the gateway itself.

use super::ConfigFile;
use crate::config::Config;
use crate::journal::{self, Levels};
use crate::{broker, gateway};
use anyhow::Context as _;
use std::io::{IsTerminal as _, Write as _};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// What `mqttyd run` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  mqttyd run                                   with /etc/mqttyd/mqttyd.toml
  mqttyd run --config my.toml --log debug      with a file of your own, telling more")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// What is logged, instead of what the configuration says: error, warn, info, debug, trace, or directives
    /// such as "info,mqttyd::port=debug"
    #[arg(long, value_name = "LEVEL", env = "MQTTYD_LOG")]
    log: Option<Levels>,
}

impl Args {
    /// Runs the gateway until SIGTERM or SIGINT.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let path = self.config.path();
        let read = Config::read(&path)?;
        journal::start(&read.config.log, self.log, vec![broker::losses()])?;
        journal::log_panics();
        for warning in read.warnings.lines() {
            warn!("{warning}");
        }
        info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), "mqttyd starts");
        let runtime = super::runtime()?;
        runtime.block_on(async {
            let stop = stop_signal()?;
            gateway::run(&read.config, stop).await.context("the gateway can't go on")
        })
    }
}

/// Ends with SIGTERM (systemd, `kill`) or SIGINT (Ctrl-C).
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
