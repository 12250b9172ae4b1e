//! Serial ports: how one is named, found, opened, locked and set, and how its coming and going is noticed.
//!
//! The only folder that names `tokio_serial`. Everything here is the kernel's own interface (termios2, flock,
//! sysfs, inotify): no C library is linked but libc.

mod config;
mod error;
mod find;
mod holder;
mod ioctl;
mod open;
mod port;
mod pty;
mod watch;

pub use config::{Baud, Config, DataBits, Fault, FlowControl, Parity, StopBits, Usb, UsbId};
pub use error::OpenError;
pub use find::{Finder, Found, NotFound};
pub use holder::{Holder, holder};
pub use open::{Line, Note, open};
pub use port::Port;
pub use pty::Pty;
pub use watch::Watcher;
