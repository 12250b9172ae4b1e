//! The bench that the simulated devices lie on: a temporary folder with a pseudo-terminal for each, linked
//! under a name like a serial port's.

use super::devices::Device;
use crate::serial::Pty;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// The folder and the devices in it; both go when it is dropped.
pub(super) struct Bench {
    folder: Folder,
    devices: JoinSet<io::Result<()>>,
}

struct Folder(PathBuf);

impl Bench {
    /// An empty bench, in a folder of its own that only this user may enter.
    pub(super) fn new() -> io::Result<Bench> {
        let name = |n: u32| std::env::temp_dir().join(format!("mqttyd-demo-{}-{n}", std::process::id()));
        // A killed demonstration leaves its folder, and numbers of processes come again.
        let mut tries = (0..100).map(|n| Bench::at(name(n)));
        let taken =
            |made: &io::Result<Bench>| matches!(made, Err(e) if e.kind() == io::ErrorKind::AlreadyExists);
        tries
            .find(|made| !taken(made))
            .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn at(folder: PathBuf) -> io::Result<Bench> {
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Bench {
            folder: Folder(folder),
            devices: JoinSet::new(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Connects a device: it lives in a task of its own, its port is at `link` in the folder.
    pub(super) fn connect(&mut self, link: &str, device: impl Device + 'static) -> io::Result<()> {
        let pty = Pty::new()?;
        let port = raw(pty.path())?;
        symlink(pty.path(), self.folder().join(link))?;
        let end = readable(pty.into())?;
        self.devices.spawn(live(device, end, port));
        Ok(())
    }

    /// Ends with the first device that fails, and else never.
    pub(super) async fn failed(&mut self) -> io::Error {
        match self.devices.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) => io::Error::other("it ended by itself"),
            Some(Err(error)) => io::Error::other(error),
            None => pending().await,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens the port's end and makes it raw, so that what a device says before the gateway is there is not echoed
/// to it. While this end is open, the device sees no hang-up.
fn raw(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let port = rustix::fs::open(path, flags, Mode::empty())?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    Ok(port)
}

fn readable(end: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names one open descriptor from its making to its drop, and AsyncFd owns it.
    Ok(unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }?)
}

/// A device's life.
async fn live(mut device: impl Device, end: AsyncFd<OwnedFd>, _port: OwnedFd) -> io::Result<()> {
    let mut clock = device.every().map(interval);
    if let Some(clock) = &mut clock {
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut heard = [0; 256];
    let mut said = Vec::new();
    // Cancel-safe: a tick is only taken when it comes, bytes only when the other arm was not.
    loop {
        said.clear();
        let ticked = async {
            match &mut clock {
                Some(clock) => _ = clock.tick().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = ticked => device.speak(&mut said),
            n = end.async_io(Interest::READABLE, |end| Ok(rustix::io::read(end, &mut heard)?)) => {
                device.hear(&heard[..n?], &mut said);
            }
        }
        // Like a device on a wire: what nobody takes is lost.
        match rustix::io::write(end.get_ref(), &said) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::devices::{Lamp, Room};
    use super::*;
    use std::time::Duration;

    async fn line(port: &AsyncFd<OwnedFd>) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            let mut byte = [0; 1];
            let read = port.async_io(Interest::READABLE, |port| Ok(rustix::io::read(port, &mut byte)?));
            let n = tokio::time::timeout(Duration::from_secs(5), read)
                .await
                .unwrap()
                .unwrap();
            text.extend_from_slice(&byte[..n]);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn devices_are_reached_by_their_links_and_leave_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let mut bench = Bench::at(parent.path().join("bench")).unwrap();
        assert!(
            Bench::at(parent.path().join("bench")).is_err(),
            "another's folder is not taken"
        );
        bench.connect("ttyROOM", Room::new()).unwrap();
        bench.connect("ttyLAMP", Lamp::new()).unwrap();
        let open = |link: &str| readable(raw(&bench.folder().join(link)).unwrap()).unwrap();
        let (room, lamp) = (open("ttyROOM"), open("ttyLAMP"));
        assert!(line(&room).await.starts_with("T="));
        for (told, answer) in [("LED on\n", "OK LED on\n"), ("?\n", "LED on\n")] {
            rustix::io::write(lamp.get_ref(), told.as_bytes()).unwrap();
            assert_eq!(line(&lamp).await, answer);
        }
        drop(bench);
        assert!(!parent.path().join("bench").exists());
    }
}
