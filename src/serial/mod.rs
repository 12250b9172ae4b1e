//! Serial ports: how one is named, found, opened, locked and set, and how its coming and going is noticed.
//!
//! The only folder that names `tokio_serial` and `gpiocdev`. Everything here is the kernel's own interface (termios2,
//! flock, sysfs, inotify, GPIO's character device): no C library is linked but libc.

mod config;
mod error;
mod find;
mod gpio;
mod holder;
mod ioctl;
mod latency;
mod marks;
mod open;
mod port;
mod pty;
mod rs485;
mod send;
mod timer;
mod turn;
mod watch;
mod words;

pub use config::{Config, Fault, Usb, UsbId};
pub use error::OpenError;
pub use find::{Finder, Found, NotFound};
pub use holder::{Holder, holder};
pub use latency::latency;
pub use marks::Mark;
pub use open::{Line, Note, open};
pub use port::Port;
pub use pty::Pty;
pub use rs485::{Direction, Gpio, GpioLine, Rs485};
pub use watch::Watcher;
pub use words::{Baud, DataBits, FlowControl, NinthBit, OnBreak, Parity, StopBits};
