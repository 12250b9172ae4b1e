//! The folder that the file is in: made, locked, and cleared of a file that can't be used.

use super::StoreError;
use super::change::Loaded;
use super::file::{self, File, FileError};
use super::wall::Wall;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tracing::{error, info};

const FILE: &str = "broker.sqlite";
/// One of SQLite's smallest pages.
const SHORTEST: u64 = 512;
const LOCK: &str = "broker.lock";

/// A folder that is ours alone as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// With `each`, a commit waits for the disk.
    each: bool,
    _lock: fs::File,
}

impl Folder {
    pub(super) fn lock(path: &Path, each: bool) -> Result<Folder, StoreError> {
        let failed = |source| StoreError::Folder {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Folder {
            path: path.to_owned(),
            each,
            _lock: lock,
        })
    }

    /// Opens what is there. What can't be used is set aside, and a new file begun.
    pub(super) fn open(&self, wall: Wall) -> Result<(File, Loaded), StoreError> {
        let path = self.path.join(FILE);
        let make = |source| StoreError::Make {
            path: path.clone(),
            source,
        };
        match self.try_open(&path, wall) {
            Ok(opened) => Ok(opened),
            Err(FileError::InUse) => Err(StoreError::InUse {
                path: self.path.clone(),
            }),
            Err(cause @ (FileError::Damaged(_) | FileError::Newer(_))) => {
                self.set_aside(&cause).map_err(|error| make(error.into()))?;
                self.try_open(&path, wall).map_err(make)
            }
            Err(cause) => Err(make(cause)),
        }
    }

    /// A new file instead of one that turned out to be damaged.
    pub(super) fn anew(&self, cause: &FileError) -> Result<File, FileError> {
        self.set_aside(cause)?;
        Ok(self.try_open(&self.path.join(FILE), Wall::now())?.0)
    }

    fn try_open(&self, path: &Path, wall: Wall) -> Result<(File, Loaded), FileError> {
        let made = match OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)
        {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error.into()),
        };
        if made {
            // A log without its file says nothing, and must not be taken for that of the new one.
            remove(&file::log_of(path))?;
        } else if OpenOptions::new().write(true).open(path)?.metadata()?.len() < SHORTEST {
            // SQLite would take it for a new one.
            return Err(FileError::Damaged("it is too short".to_owned()));
        }
        let opened = File::open(path, self.each).and_then(|mut file| {
            let loaded = file.load(wall)?;
            Ok((file, loaded))
        });
        match &opened {
            Ok(_) => fs::File::open(&self.path)?.sync_all()?,
            // Half made, it would be taken for a damaged one.
            Err(_) if made => {
                let _ = remove(path);
            }
            Err(_) => return opened.map_err(FileError::at_open),
        }
        opened
    }

    fn set_aside(&self, cause: &FileError) -> io::Result<()> {
        let path = self.path.join(FILE);
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let time = time.replace([':', '-'], "");
        let aside = (0..1_000)
            .map(|number| match number {
                0 => self.path.join(format!("{FILE}.{time}")),
                _ => self.path.join(format!("{FILE}.{time}.{number}")),
            })
            .find(|aside| !aside.exists() && !file::log_of(aside).exists())
            .ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(&path, &aside)?;
        match fs::rename(file::log_of(&path), file::log_of(&aside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        error!(
            event = "memory-replaced",
            file = %path.display(),
            kept = %aside.display(),
            "the broker's memory can't be used, and is set aside; retained messages and sessions begin anew: {cause}"
        );
        info!("what was set aside is not looked at again: keep it to find out more, or delete it");
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
