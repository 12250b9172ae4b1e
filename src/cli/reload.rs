//! `mqttyd reload`: the running gateway reads its configuration again; waits, and says what came of it.

use super::{Wrong, print, watch};
use crate::control::wire::{Line, Request};
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

/// Asks the gateway that serves `socket`.
///
/// # Errors
/// When no gateway is there, or it may not be asked; [`Wrong`] when it refuses the file, which has been said then.
pub(super) fn run(socket: &Path) -> anyhow::Result<()> {
    let request = Request {
        reload: true,
        ..Request::default()
    };
    let stream = watch::connect(socket, &request)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .with_context(|| format!("failed to hear from the gateway at {}", socket.display()))?;
    match Line::parse(&answer) {
        Some(Line::Reloaded { reloaded }) => print(format!("{reloaded}\n")),
        Some(Line::Error { error }) => {
            // Who has piped it away need not hear it.
            let _ = writeln!(std::io::stderr(), "the configuration stays as it was:\n{error}");
            Err(Wrong.into())
        }
        _ => bail!(
            "the gateway at {} has ended over it: see its log (journalctl -u mqttyd)",
            socket.display()
        ),
    }
}
