//! Who holds a device: what /proc tells of it.

use rustix::fs::{self, FileType, Stat};
use std::fmt;
use std::fs::{read_dir, read_link, read_to_string};
use std::path::Path;

/// The process that holds a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as far as it can be known.
    pub command: Option<String>,
}

impl Holder {
    fn of(pid: u32) -> Holder {
        let command = read_to_string(format!("/proc/{pid}/comm")).ok();
        Holder {
            pid,
            command: command.map(|name| name.trim_end().to_owned()),
        }
    }

    /// Whether it is this very process.
    pub fn is_self(&self) -> bool {
        self.pid == std::process::id()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "{command} (pid {})", self.pid),
            None => write!(f, "pid {}", self.pid),
        }
    }
}

/// Who holds the device at `path`, where that can be known: the process that has locked it, else one that has
/// it open. Without privileges the kernel shows the locks of all processes, but only one's own open files.
///
/// Reads through /proc: some milliseconds, so not from a task.
pub fn holder(path: &Path) -> Option<Holder> {
    let device = fs::stat(path).ok()?;
    locker(&device).or_else(|| opener(&device)).map(Holder::of)
}

/// The process that has locked the file, from lines such as
/// `7: FLOCK  ADVISORY  WRITE 2148 00:05:1093 0 EOF`.
fn locker(device: &Stat) -> Option<u32> {
    let (major, minor) = (fs::major(device.st_dev), fs::minor(device.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", device.st_ino);
    let locks = read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|lock| {
        let mut words = lock.split_whitespace().skip(4);
        let pid = words.next()?.parse().ok().filter(|pid| *pid != 0)?;
        (words.next()? == file).then_some(pid)
    })
}

/// A process that has the device open; another one rather than this one.
fn opener(device: &Stat) -> Option<u32> {
    let processes = read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let (own, others): (Vec<_>, Vec<_>) = pids.partition(|pid| *pid == std::process::id());
    others.into_iter().chain(own).find(|pid| has_open(*pid, device))
}

fn has_open(pid: u32, device: &Stat) -> bool {
    let Ok(files) = read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        // Only what looks like a device is asked further: a stat of a file on a dead network disk would hang.
        let link = file.path();
        let target = read_link(&link);
        target.is_ok_and(|t| t.starts_with("/dev")) && fs::stat(&link).is_ok_and(|s| same_device(&s, device))
    })
}

/// A device is its number, whatever its node is called; but a pty's number means something only within its
/// own devpts, and each container may have one.
fn same_device(a: &Stat, b: &Stat) -> bool {
    a.st_rdev == b.st_rdev && a.st_rdev != 0 && (!is_pty(a) || a.st_dev == b.st_dev)
}

/// Whether it is a port at the end of a USB cable.
pub(super) fn is_usb(device: &Stat) -> bool {
    /// Linux' devices.txt: USB serial converters (ttyUSB), and USB modems (ttyACM).
    const USB: [u32; 2] = [188, 166];
    FileType::from_raw_mode(device.st_mode) == FileType::CharacterDevice
        && USB.contains(&fs::major(device.st_rdev))
}

/// Whether it is the end of a pseudo-terminal that programs open as their terminal.
pub(super) fn is_pty(device: &Stat) -> bool {
    /// Linux' major.h: UNIX98_PTY_SLAVE_MAJOR, and its 8 majors.
    const PTYS: std::ops::Range<u32> = 136..144;
    FileType::from_raw_mode(device.st_mode) == FileType::CharacterDevice
        && PTYS.contains(&fs::major(device.st_rdev))
}
