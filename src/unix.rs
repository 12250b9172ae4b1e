//! Binding a Unix socket: its file, who may connect, and whose file it is.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// The owner and the group may connect, nobody else: what passes may be private.
const MODE: u32 = 0o660;

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    _file: File,
}

impl Socket {
    /// Binds the path, for so many connections that wait to be accepted. The file of a dead process is replaced; one that somebody serves, or that is no
    /// socket, is an error. The folder is made if only it is missing.
    ///
    /// # Errors
    /// When the path is in use, too long (108 bytes) or not writable; the text names the path.
    pub(crate) fn bind(path: &Path, backlog: i32) -> io::Result<Socket> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            match fs::DirBuilder::new().mode(0o755).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(error)),
                _ => {}
            }
        }
        if clear(path).map_err(named)? {
            let text = format!("{}: another process serves this socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        Socket::make(path, backlog).map_err(named)
    }

    fn make(path: &Path, backlog: i32) -> io::Result<Socket> {
        let socket = unix_socket()?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = File {
            id: identity(path)?,
            path: path.to_owned(),
        };
        // Before listen(), so that the umask never lets in for a moment whom the mode keeps out.
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        rustix::net::listen(&socket, backlog)?;
        Ok(Socket {
            listener: UnixListener::from_std(socket.into())?,
            _file: file,
        })
    }
}

fn unix_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// Makes way for a new socket file: removes one that nobody serves. `true`: it is served.
fn clear(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is no socket, and it is left alone",
            ));
        }
        Ok(_) => {}
    }
    let caller = unix_socket()?;
    match rustix::net::connect(&caller, &SocketAddrUnix::new(path)?) {
        // With a full backlog, somebody lives there, if slowly.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map(|()| false),
        Err(error) => Err(error.into()),
    }
}

/// The socket's file, removed on drop unless another has taken its place.
#[derive(Debug)]
struct File {
    path: PathBuf,
    id: (u64, u64),
}

/// The file's device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for File {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_ones_file_is_replaced_a_live_one_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let _live = Socket::bind(&path, 16).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
        let error = Socket::bind(&path, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

        let stale = folder.path().join("stale");
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        assert!(stale.exists());
        let socket = Socket::bind(&stale, 16).unwrap();
        fs::remove_file(&stale).unwrap();
        let successor = Socket::bind(&stale, 16).unwrap();
        drop(socket);
        assert!(stale.exists(), "a successor's file is left alone");
        drop(successor);
        assert!(!stale.exists());

        let other = folder.path().join("notes.txt");
        fs::write(&other, "mine").unwrap();
        let error = Socket::bind(&other, 16).unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read(&other).unwrap(), b"mine");
        assert!(Socket::bind(&folder.path().join("new/sock"), 16).is_ok());
        assert!(Socket::bind(&folder.path().join("no/such/sock"), 16).is_err());
        assert!(Socket::bind(&folder.path().join("x".repeat(200)), 16).is_err());
    }
}
