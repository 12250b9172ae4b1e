//! A serial device, played by the test: a pty under a link, so that it can be unplugged and come back.

use super::{PATIENCE, left, show};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The device's end of a line. The gateway opens `path()`.
pub(crate) struct Device {
    link: PathBuf,
    line: Option<Line>,
    dir: tempfile::TempDir,
}

struct Line {
    master: OwnedFd,
    /// Kept open so that the pty does not hang up before the gateway has opened it.
    _slave: OwnedFd,
}

impl Line {
    /// A pty that echoes nothing and changes nothing, from the first byte on, and the path of its node.
    fn open() -> (Line, String) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&master).expect("the pty granted");
        unlockpt(&master).expect("the pty unlocked");
        let node = ptsname(&master, Vec::new()).expect("the pty's name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(node.as_c_str(), flags, Mode::empty()).expect("the pty's other end");
        let mut termios = tcgetattr(&slave).expect("the pty's settings");
        termios.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &termios).expect("the pty made raw");
        rustix::io::ioctl_fionbio(&master, true).expect("a master that doesn't block");
        (
            Line {
                master,
                _slave: slave,
            },
            node.into_string().expect("a path in ASCII"),
        )
    }
}

impl Device {
    /// A device that is there.
    pub(crate) fn new() -> Device {
        let mut device = Device::absent();
        device.plug();
        device
    }

    /// A device that is not there yet.
    pub(crate) fn absent() -> Device {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Device {
            link: dir.path().join("tty"),
            line: None,
            dir,
        }
    }

    /// A device that is not there yet, nor the folders that its link will stand in.
    pub(crate) fn absent_under(folders: &str) -> Device {
        let mut device = Device::absent();
        device.link = device.dir.path().join(folders).join("tty");
        device
    }

    /// Where the gateway finds it.
    pub(crate) fn path(&self) -> &Path {
        &self.link
    }

    /// A new pty appears under the link.
    pub(crate) fn plug(&mut self) {
        let (line, node) = Line::open();
        fs::create_dir_all(self.link.parent().expect("a folder")).expect("the link's folder");
        symlink(node, &self.link).expect("a link to the pty");
        self.line = Some(line);
    }

    /// A new pty takes the place of the old one, which hangs up after that.
    pub(crate) fn replace(&mut self) {
        let (line, node) = Line::open();
        let new = self.link.with_extension("new");
        symlink(node, &new).expect("a link to the pty");
        fs::rename(new, &self.link).expect("the link replaced");
        self.line = Some(line);
    }

    /// The device is pulled out: its node goes, and its line hangs up.
    pub(crate) fn unplug(&mut self) {
        // In this order: a link that leads nowhere could soon lead to the pty of another test.
        fs::remove_file(&self.link).expect("the link gone");
        self.line = None;
    }

    /// The folders that the link stood in go, too.
    pub(crate) fn remove_folders(&self) {
        for folder in self
            .link
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.dir.path())
        {
            fs::remove_dir(folder).expect("an empty folder");
        }
    }

    /// Locks the port, as another program that uses it does, until this is dropped.
    pub(crate) fn lock(&self) -> OwnedFd {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let lock = rustix::fs::open(&self.link, flags, Mode::empty()).expect("the port");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("the port locked");
        lock
    }

    /// Sends bytes to the gateway.
    pub(crate) fn send(&self, mut bytes: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            match rustix::io::write(self.master(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN) => assert!(
                    self.ready(PollFlags::OUT, deadline),
                    "nobody reads the line: {} bytes are left to send",
                    bytes.len()
                ),
                Err(error) => panic!("failed to send: {error}"),
            }
        }
    }

    /// Sends bytes, unless nobody reads them any more.
    pub(crate) fn try_send(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match rustix::io::write(self.master(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN)
                    if self.ready(PollFlags::OUT, Instant::now() + Duration::from_millis(50)) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends bytes one at a time, with a pause between them, as a slow line does.
    pub(crate) fn dribble(&self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send(std::slice::from_ref(byte));
            self::pause(pause);
        }
    }

    /// Waits for so many bytes from the gateway.
    #[track_caller]
    pub(crate) fn receive(&self, count: usize) -> Vec<u8> {
        self.receive_timed(count)
            .into_iter()
            .map(|(byte, _)| byte)
            .collect()
    }

    /// Waits for so many bytes from the gateway, and says when each was there.
    #[track_caller]
    pub(crate) fn receive_timed(&self, count: usize) -> Vec<(u8, Instant)> {
        let deadline = Instant::now() + PATIENCE;
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        while received.len() < count {
            let most = buffer.len().min(count - received.len());
            match rustix::io::read(self.master(), &mut buffer[..most]) {
                Ok(read) => {
                    let at = Instant::now();
                    received.extend(buffer[..read].iter().map(|byte| (*byte, at)));
                }
                Err(Errno::AGAIN) if self.ready(PollFlags::IN, deadline) => {}
                Err(Errno::AGAIN) => {
                    let bytes: Vec<u8> = received.into_iter().map(|(byte, _)| byte).collect();
                    panic!("{} of {count} bytes came: {}", bytes.len(), show(&bytes));
                }
                Err(error) => panic!("failed to receive: {error}"),
            }
        }
        received
    }

    /// Waits for just these bytes from the gateway.
    #[track_caller]
    pub(crate) fn expect(&self, bytes: &[u8]) {
        let received = self.receive(bytes.len());
        assert_eq!(show(&received), show(bytes));
    }

    /// What has come from the gateway by now.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let count = rustix::io::read(self.master(), &mut buffer).unwrap_or(0);
        buffer[..count].to_vec()
    }

    /// Waits until one of several has got bytes, or for so long.
    pub(crate) fn wait_any(devices: &[&Device], bound: Duration) {
        let mut fds: Vec<PollFd<'_>> = devices
            .iter()
            .map(|device| PollFd::new(device.master(), PollFlags::IN))
            .collect();
        let bound = bound.try_into().expect("seconds");
        let _ = poll(&mut fds, Some(&bound));
    }

    /// Whether nothing more has come from the gateway by now.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.ready(PollFlags::IN, Instant::now())
    }

    fn ready(&self, what: PollFlags, deadline: Instant) -> bool {
        let mut fds = [PollFd::new(self.master(), what)];
        let left = left(deadline).unwrap_or_default().try_into().expect("seconds");
        match poll(&mut fds, Some(&left)) {
            Ok(count) => count > 0,
            Err(Errno::INTR) => true,
            Err(error) => panic!("failed to wait for the pty: {error}"),
        }
    }

    fn master(&self) -> &OwnedFd {
        &self.line.as_ref().expect("a device that is plugged in").master
    }
}

/// Lets real time pass: for what a device does, never to wait for the gateway.
pub(crate) fn pause(time: Duration) {
    let (_open, silent) = std::sync::mpsc::channel::<()>();
    let _ = silent.recv_timeout(time);
}
