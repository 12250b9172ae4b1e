//! systemd's side of NOTIFY_SOCKET.

use super::{PATIENCE, left};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

/// The socket that the service manager listens on.
pub(crate) struct Notify(UnixDatagram);

impl Notify {
    /// Listens at `path`.
    pub(crate) fn bind(path: &Path) -> Notify {
        Notify(UnixDatagram::bind(path).expect("a socket for the notices"))
    }

    /// Waits for a notice that holds the line `what`. Gives the time it came.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str) -> Instant {
        self.wait_within(PATIENCE, what)
            .unwrap_or_else(|heard| panic!("no {what}, only {heard:?}"))
    }

    /// Waits for such a notice, or gives what was heard instead.
    pub(crate) fn wait_within(&self, bound: Duration, what: &str) -> Result<Instant, Vec<String>> {
        let deadline = Instant::now() + bound;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(left) = left(deadline) {
            self.0
                .set_read_timeout(Some(left))
                .expect("a time-out that is not zero");
            if let Ok(count) = self.0.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                if text.lines().any(|line| line == what) {
                    return Ok(Instant::now());
                }
                heard.push(text);
            }
        }
        Err(heard)
    }
}
