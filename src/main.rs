//! The daemon's entry: reads the command line, does what it asks, and says how it went.

use clap::Parser as _;
use mqttyd::broker::StartError;
use mqttyd::cli::{Cli, Wrong};
use mqttyd::config::Faults;
use mqttyd::journal::{self, WrongLevel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, IsTerminal as _};
use std::process::ExitCode;

/// `EX_CONFIG` of sysexits.h. The systemd unit doesn't start the daemon again after it.
const WRONG_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            if is_configuration(&error) {
                ExitCode::from(WRONG_CONFIGURATION)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Says what went wrong, in the log if there is one by now.
fn tell(error: &anyhow::Error) {
    if error.is::<Wrong>() {
        // It has been said on stdout.
    } else if let Some(faults) = error.downcast_ref::<Faults>() {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|wish| !wish.is_empty());
        journal::complain(&faults.render(std::io::stderr().is_terminal() && !plain));
    } else if tracing::dispatcher::has_been_set() {
        tracing::error!(event = "failed", "mqttyd ends: {error:#}{}", advice(error));
    } else {
        journal::complain(&format!("mqttyd: {error:#}{}", advice(error)));
    }
}

/// What to do about it, where that is plain.
fn advice(error: &anyhow::Error) -> &'static str {
    let taken = error.chain().any(|cause| match cause.downcast_ref() {
        Some(StartError::Bind { source, .. }) => source.kind() == ErrorKind::AddrInUse,
        _ => false,
    });
    if taken {
        "; is another broker (mosquitto?) running? `ss -ltnp` lists them; or set another address under \
         [[broker.listener]]"
    } else {
        ""
    }
}

fn is_configuration(error: &anyhow::Error) -> bool {
    let access = |cause: &StartError| matches!(cause, StartError::Access(_));
    error.chain().any(|cause| {
        cause.is::<Faults>()
            || cause.is::<Wrong>()
            || cause.is::<WrongLevel>()
            || cause.downcast_ref().is_some_and(access)
    })
}

/// Whether it failed because stdout's reader has had enough, as in `mqttyd watch | head`.
fn nobody_reads(error: &anyhow::Error) -> bool {
    let pipe = |cause: &std::io::Error| cause.kind() == ErrorKind::BrokenPipe;
    let broken = error.chain().any(|cause| cause.downcast_ref().is_some_and(pipe));
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    broken && poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}
