//! Pseudo-terminals: a serial port without a device, for the demonstration and for tests.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The device's end of a pseudo-terminal; at its path the other end is opened like a serial port. When it is
/// dropped, the other end sees a hang-up, as if the device were unplugged.
#[derive(Debug)]
pub struct Pty {
    end: OwnedFd,
    path: PathBuf,
}

impl Pty {
    /// A new pseudo-terminal. Reads and writes of its end never block.
    pub fn new() -> io::Result<Pty> {
        // Linux takes every open flag here (posix_openpt is an open of /dev/ptmx), but rustix names only two.
        let nonblocking = OpenptFlags::from_bits_retain(rustix::fs::OFlags::NONBLOCK.bits());
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC | nonblocking)?;
        grantpt(&end)?;
        // Raw from the start: what is written before the other end is opened would else be echoed and changed.
        let mut termios = tcgetattr(&end)?;
        termios.make_raw();
        tcsetattr(&end, OptionalActions::Now, &termios)?;
        unlockpt(&end)?;
        let path = OsString::from_vec(ptsname(&end, Vec::new())?.into_bytes());
        Ok(Pty {
            end,
            path: path.into(),
        })
    }

    /// Where the other end is, such as `/dev/pts/7`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl From<Pty> for OwnedFd {
    fn from(pty: Pty) -> OwnedFd {
        pty.end
    }
}
