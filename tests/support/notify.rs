//! systemd's side of NOTIFY_SOCKET.

use super::PATIENCE;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What the service manager hears. It hears all, as systemd does: a full socket would hold up who speaks.
pub(crate) struct Notify(Receiver<(Instant, String)>);

impl Notify {
    /// Listens at `path`.
    pub(crate) fn bind(path: &Path) -> Notify {
        let socket = UnixDatagram::bind(path).expect("a socket for the notices");
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                if tell.send((Instant::now(), text)).is_err() {
                    break;
                }
            }
        });
        Notify(heard)
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
        while let Ok((time, text)) = self
            .0
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if text.lines().any(|line| line == what) {
                return Ok(time);
            }
            heard.push(text);
        }
        Err(heard)
    }
}
