//! The binary for commands that end, and any process that is killed when its test is over.

use super::{Lines, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process whose output is collected.
pub(crate) struct Program {
    child: Child,
    name: String,
    /// What it says on stdout.
    pub(crate) out: Lines,
    /// What it says on stderr.
    pub(crate) err: Lines,
}

impl Program {
    /// Starts `command` with its output collected, and without what a service manager around the tests has set.
    pub(crate) fn start(command: &mut Command) -> Program {
        let name = command.get_program().to_string_lossy().into_owned();
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"] {
            if !command.get_envs().any(|(key, _)| key == variable) {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {name}: {error}"));
        let out = Lines::of(child.stdout.take().expect("a pipe"));
        let err = Lines::of(child.stderr.take().expect("a pipe"));
        Program {
            child,
            name,
            out,
            err,
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its stdin, if it was asked for.
    pub(crate) fn stdin(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().expect("a pipe")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(id, signal).expect("the signal sent");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(
            self.err.wait_end(PATIENCE) && self.out.wait_end(PATIENCE),
            "{} did not end; it said\n{}\n{}",
            self.name,
            self.out.text(),
            self.err.text()
        );
        self.child.wait().expect("the exit status")
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Ends it without a chance to say good-bye.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "libtest shows it with the test that failed")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.err.wait_end(PATIENCE);
            eprintln!("--- {} said on stderr:\n{}\n---", self.name, self.err.text());
        }
    }
}

/// The binary under test, with plain output: the one that was built with the tests, or what `MQTTYD_TEST_PROGRAM` says, such
/// as an emulator, its options and the program for another machine.
pub(crate) fn mqttyd() -> Command {
    let other = std::env::var("MQTTYD_TEST_PROGRAM").unwrap_or_default();
    let mut words = other.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(env!("CARGO_BIN_EXE_mqttyd")));
    command
        .args(words)
        .env("NO_COLOR", "1")
        .env_remove("MQTTYD_LOG")
        .env_remove("MQTTYD_CONFIG")
        .stdin(Stdio::null());
    command
}

/// Where `program` is on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
