//! What the service manager is told (`sd_notify(3)`): ready, alive, stopping. Without one nothing is sent.

use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use std::time::Duration;

/// The broker accepts connections: units that wait for mqttyd may start.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The configuration is being read again: [`ready`] ends it.
pub fn reloading() {
    // Not sd-notify's own `monotonic_usec_now`: on machines of 32 bits it overflows 35 minutes after the start of the machine.
    let now = clock_gettime(ClockId::Monotonic);
    let now = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    send(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)]);
}

/// The daemon is going down by itself or because it was asked to.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    // A line of its own would be another message to the service manager.
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    send(&[NotifyState::Status(&line)]);
}

/// The daemon is alive. Say it only when it has been looked at.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often to call [`watchdog`]: half the time after which systemd takes the daemon for dead. `None` when it
/// doesn't watch.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .filter(|limit| !limit.is_zero())
        .map(|limit| limit / 2)
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(error = %error, "the service manager can't be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// Runs one of these tests in a process of its own, where the environment may be set.
    fn child(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", &format!("notify::tests::{test}")])
            .env("MQTTYD_TEST_NOTIFY", "1");
        command
    }

    fn is_child() -> bool {
        std::env::var_os("MQTTYD_TEST_NOTIFY").is_some()
    }

    #[test]
    fn the_manager_hears_the_story() {
        if is_child() {
            ready();
            status("3 ports\nMAINPID=1");
            watchdog();
            return stopping();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(
            child("the_manager_hears_the_story")
                .env("NOTIFY_SOCKET", &path)
                .status()
                .unwrap()
                .success()
        );
        for expected in [
            "READY=1\n",
            "STATUS=3 ports MAINPID=1\n",
            "WATCHDOG=1\n",
            "STOPPING=1\n",
        ] {
            let mut buffer = [0; 256];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(std::str::from_utf8(&buffer[..len]).unwrap(), expected);
        }
    }

    #[test]
    fn a_manager_that_is_gone_does_no_harm() {
        if is_child() {
            return ready();
        }
        let mut command = child("a_manager_that_is_gone_does_no_harm");
        assert!(
            command
                .env("NOTIFY_SOCKET", "/nonexistent/notify")
                .status()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn the_watchdog_is_fed_twice_per_limit_if_it_watches_us() {
        if is_child() {
            let expected = std::env::var("MQTTYD_TEST_NOTIFY_MS").unwrap().parse().ok();
            return assert_eq!(watchdog_interval(), expected.map(Duration::from_millis));
        }
        for (limit, pid, expected) in [
            ("20000000", None, "10000"),
            ("20000000", Some("1"), "none"),
            ("0", None, "none"),
        ] {
            let mut command = child("the_watchdog_is_fed_twice_per_limit_if_it_watches_us");
            command
                .env("WATCHDOG_USEC", limit)
                .env("MQTTYD_TEST_NOTIFY_MS", expected)
                .env_remove("WATCHDOG_PID");
            command.envs(pid.map(|pid| ("WATCHDOG_PID", pid)));
            assert!(command.status().unwrap().success(), "{limit} {pid:?}");
        }
    }
}
