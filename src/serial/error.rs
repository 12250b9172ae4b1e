//! Why a port could not be opened, and when it is worth to try again.

use super::holder::Holder;
use rustix::fs;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why a port could not be opened.
#[derive(thiserror::Error, Debug)]
pub enum OpenError {
    /// No such node, or nothing behind it.
    #[error("there is no {}", path.display())]
    NotThere {
        /// The path as it was given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not for us, or not yet: udev sets the mode of a node some time after the kernel has made it.
    #[error("no permission to open {}{hint}", path.display())]
    Denied {
        /// The path as it was given.
        path: PathBuf,
        /// Whose it is and what would help, where that is known.
        hint: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another one has locked it.
    #[error("{} is in use{}", path.display(), by(holder.as_ref()))]
    Busy {
        /// The path as it was given.
        path: PathBuf,
        /// Who, where that can be known.
        holder: Option<Holder>,
    },
    /// Some other kind of file.
    #[error("{} is not a serial port", path.display())]
    NotATty {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The driver can't do what is configured.
    #[error("{} can't do {setting}", path.display())]
    Unsupported {
        /// The path as it was given.
        path: PathBuf,
        /// Which setting, as in the configuration, and what the driver makes of it.
        setting: String,
    },
    /// Anything else.
    #[error("failed to {step} {}", path.display())]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether it may be over in a moment, without a sign that a watcher would see: udev is still at work, the
    /// device has not settled yet.
    pub fn retry_soon(&self) -> bool {
        matches!(self, OpenError::Denied { .. } | OpenError::Io { .. })
    }

    /// Whether nothing will change before the node does, which a [`Watcher`](super::Watcher) notices.
    pub fn waits_for_change(&self) -> bool {
        match self {
            OpenError::NotThere { .. } | OpenError::NotATty { .. } | OpenError::Unsupported { .. } => true,
            OpenError::Denied { .. } | OpenError::Busy { .. } | OpenError::Io { .. } => false,
        }
    }
}

fn by(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) if holder.is_self() => " by another port of this mqttyd".to_owned(),
        Some(holder) => format!(" by {holder}"),
        None => String::new(),
    }
}

/// Whose the node is, and how one may come to it.
pub(super) fn whose(path: &Path, errno: Errno) -> String {
    if errno == Errno::PERM {
        // Not the mode of the node: a cgroup's device filter.
        return ": the service's DeviceAllow= does not have it".to_owned();
    }
    let Ok(stat) = fs::stat(path) else {
        return String::new();
    };
    let mode = stat.st_mode & 0o777;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let group = groups.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(stat.st_gid)).then(|| name.to_owned())
    });
    match group {
        Some(group) if mode & 0o060 == 0o060 && stat.st_gid != 0 => format!(": it is for the group {group}"),
        _ => format!(
            ": its mode is {mode:03o}, its owner {}:{}",
            stat.st_uid, stat.st_gid
        ),
    }
}
