//! What survives the end of the process: retained messages and sessions, on disk.
//!
//! SQLite keeps them (`file.rs`, the only one that names it): a file that is never half written, in a mode in which
//! a commit costs one write and no wait for the disk. A thread of its own (`writer.rs`) writes all that has come
//! meanwhile in one commit, less what cancels out (`group.rs`), and asks the disk to make sure of it at most once
//! per interval. `docs/store.md` has the promise and the numbers.

mod change;
mod codec;
mod file;
mod folder;
mod group;
mod row;
mod rows;
mod wall;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use change::{Change, Loaded, LoadedMessage, LoadedSession, SessionRecord};
pub(crate) use writer::Store;

use std::io;
use std::path::PathBuf;

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("can't use the folder \"{}\" for the broker's memory", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the broker's memory in \"{}\" is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("can't make the broker's memory \"{}\"", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: file::FileError,
    },
    #[error("can't start the thread that writes the broker's memory")]
    Thread(#[source] io::Error),
}
