//! A systemd-journald of the test's own, in a mount namespace. The tests beside the code have this file, too.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a command under a new journald; prints then what is in the journal.
const SCRIPT: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
if ! [ -s /etc/machine-id ]; then
    systemd-id128 new > /run/id
    [ -e /etc/machine-id ] || : > /etc/machine-id
    mount --bind /run/id /etc/machine-id
fi
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' > /run/systemd/journald.conf.d/test.conf
/usr/lib/systemd/systemd-journald 2> /run/complaint & journald=$!
trap 'kill $journald' EXIT
for _ in $(seq 250); do [ -S /run/systemd/journal/socket ] && break; sleep 0.02; done
"$@"
journalctl --sync 2> /dev/null || sleep 1
journalctl -o json -t mqttyd
"#;

/// Set in the child.
const CHILD: &str = "MQTTYD_TEST_JOURNAL";

/// Whether this process has a journald of its own.
pub(crate) fn is_here() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the test of this name again, alone, with a journald of its own: how that ended, and what it and then the journal
/// said. `None`, with a word about it, where that can't be.
pub(crate) fn again(test: &str) -> Option<Output> {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/lib/systemd/systemd-journald").exists() {
        println!("skipped: needs root and systemd-journald");
        return None;
    }
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            SCRIPT,
            "bash",
        ])
        .arg(std::env::current_exe().expect("the test's own program"))
        .args(["--exact", "--nocapture", test])
        .env(CHILD, "1")
        .output();
    match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("Operation not permitted") => {
            Some(output)
        }
        refused => {
            println!("skipped: no mount namespace to be had: {refused:?}");
            None
        }
    }
}
