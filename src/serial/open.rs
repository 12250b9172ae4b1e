//! Opening a serial port: locked, raw, set as configured, and read back, since drivers drop in silence what
//! they can't do.

use super::config::Config;
use super::error::{OpenError, whose};
use super::gpio::Output;
use super::holder::{holder, is_pty, is_usb};
use super::ioctl;
use super::marks::Marks;
use super::port::{Parts, Port};
use super::rs485::Direction;
use super::send::Turner;
use super::turn::Plan;
use super::words::{DataBits, FlowControl, NinthBit, OnBreak, Parity, StopBits};
use rustix::fd::OwnedFd;
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios,
    ioctl_tiocexcl, tcgetattr, tcsetattr,
};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was opened, and how its line is set in truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The path as it was given.
    pub path: PathBuf,
    /// The device node that the path led to.
    pub node: PathBuf,
    /// Whether it is one end of a pseudo-terminal, and not a serial line.
    pub pty: bool,
    /// The speed as the driver gives it; up to 2% off what was asked for.
    pub baud: u32,
    /// Whether the driver took the wish for low latency.
    pub low_latency: bool,
    /// How long one character is on the line.
    pub char_time: Duration,
    /// Whether what is sent comes back, where the configuration or the kernel knows.
    pub echo: Option<bool>,
    /// What is not quite as configured.
    pub notes: Vec<Note>,
}

/// Something that is not quite as configured, but no reason to refuse the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A pseudo-terminal has no such thing as the setting of this name.
    NotOnPty(&'static str),
    /// The driver's nearest speed.
    Speed {
        /// What is configured.
        asked: u32,
        /// What it is.
        got: u32,
    },
    /// What the kernel has made of something that it does by itself.
    Kernel {
        /// Its name in the configuration.
        name: &'static str,
        /// What is configured.
        asked: String,
        /// What it is.
        got: String,
    },
}

impl Note {
    /// Whether a person should know of it: what was sent may be lost.
    pub fn is_warning(&self) -> bool {
        matches!(self, Note::Kernel { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NotOnPty(setting) => write!(f, "`{setting}` has no meaning on a pseudo-terminal"),
            Note::Speed { asked, got } => write!(f, "the driver gives {got} baud for {asked}"),
            Note::Kernel { name, asked, got } => write!(f, "the kernel made {got} of `{name} = {asked}`"),
        }
    }
}

/// Opens the port at `path` and sets it as `config` says; the names of the port in `config` don't matter here.
///
/// What the device sent since it appeared and the kernel has kept is not thrown away: it may hold the first
/// whole frame, and half a frame is the framing's business.
///
/// Runs on a thread for blocking work, since a driver may take its time (a USB adapter is asked over its bus).
pub async fn open(path: &Path, config: &Config) -> Result<Port, OpenError> {
    let (path, config) = (path.to_owned(), config.clone());
    let failed = |source| OpenError::Io {
        path: path.clone(),
        step: "open",
        source,
    };
    let opened = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            Opening {
                path: &path,
                config: &config,
            }
            .open()
        })
        .await
    };
    let parts = opened.map_err(|lost| failed(io::Error::other(lost)))??;
    Port::new(parts).map_err(failed)
}

struct Opening<'a> {
    path: &'a Path,
    config: &'a Config,
}

impl Opening<'_> {
    fn open(&self) -> Result<Parts, OpenError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::open(self.path, flags, Mode::empty()).map_err(|errno| self.refused(errno))?;
        let stat = fs::fstat(&fd).map_err(|errno| self.failed("look at", errno))?;
        let pty = is_pty(&stat);
        let before = tcgetattr(&fd).map_err(|errno| match errno {
            Errno::NOTTY => OpenError::NotATty {
                path: self.path.to_owned(),
            },
            errno => self.failed("read the settings of", errno),
        })?;
        // Locked before anything is changed: whoever has it must not notice us. TIOCEXCL refuses everybody
        // but root from now on; flock refuses root, too, if it asks.
        fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            Errno::WOULDBLOCK => self.busy(),
            errno => self.failed("lock", errno),
        })?;
        ioctl_tiocexcl(&fd).map_err(|errno| self.failed("lock", errno))?;

        let mut notes = Vec::new();
        // First, for opening has asserted RTS, and nobody else could be heard as long as that turns the line.
        let (turner, turned_before, echo) = self.direction(&fd, &mut notes)?;
        let baud = self.set_up(&fd, before, pty, &mut notes).inspect_err(|_| {
            if let Some(before) = &turned_before {
                let _ = ioctl::set_rs485(&fd, before);
            }
        })?;
        let low_latency = self.config.low_latency && ioctl::ask_low_latency(&fd);

        let node = std::fs::canonicalize(self.path).unwrap_or_else(|_| self.path.to_owned());
        let (path, char_time) = (self.path.to_owned(), self.config.char_time());
        let (delay_before, delay_after) = self.config.rs485.delays();
        let plan = Plan {
            drives: !matches!(turner, Turner::Nobody),
            before: delay_before,
            after: delay_after,
            ninth: self.config.ninth_bit.is_some(),
        };
        Ok(Parts {
            fd,
            line: Line {
                path,
                node,
                pty,
                baud,
                low_latency,
                char_time,
                echo,
                notes,
            },
            plan,
            turner,
            afar: is_usb(&stat),
            marks: Marks::new(self.config.ninth_bit, self.config.on_break),
            before: turned_before,
        })
    }

    /// Sets the line as configured. Gives the speed that the driver has made of it.
    fn set_up(
        &self,
        fd: &OwnedFd,
        before: Termios,
        pty: bool,
        notes: &mut Vec<Note>,
    ) -> Result<u32, OpenError> {
        let wanted = self.settings(before);
        tcsetattr(fd, OptionalActions::Now, &wanted).map_err(|errno| self.failed("set up", errno))?;
        let got = tcgetattr(fd).map_err(|errno| self.failed("read the settings of", errno))?;
        self.compare(&wanted, &got, pty, notes)?;
        self.set_lines(fd, pty, notes)?;
        Ok(got.output_speed())
    }

    /// Takes what turns the line, and has it receive. Gives how the kernel turned it before, if that was changed, and
    /// whether what is sent comes back, where that is known.
    fn direction(
        &self,
        fd: &OwnedFd,
        notes: &mut Vec<Note>,
    ) -> Result<(Turner, Option<ioctl::Rs485>, Option<bool>), OpenError> {
        let rs485 = &self.config.rs485;
        let said = rs485.rx_during_tx;
        match &rs485.direction {
            Direction::Automatic => Ok((Turner::Nobody, None, said)),
            Direction::Kernel => {
                let asked = rs485.ask_kernel(self.path, fd, notes);
                if asked.is_err() {
                    // It stays as it is when the port is closed.
                    let _ = ioctl::set_rts(fd, !rs485.asserts());
                }
                let (before, receives) = asked?;
                // A receiver that is off hears no echo; one that is on may be wired apart.
                let echo = said.filter(|said| *said == receives);
                Ok((Turner::Nobody, Some(before), echo))
            }
            Direction::Rts => {
                let asserts = rs485.asserts();
                match ioctl::set_rts(fd, !asserts) {
                    Ok(()) => Ok((Turner::Rts { asserts }, None, said)),
                    Err(errno @ (Errno::NOTTY | Errno::INVAL)) => Err(self.unsupported(format!(
                        "`rs485.direction = \"rts\"`: its driver has no RTS to be moved (TIOCMBIC: {errno}); take \
                         {{ gpio = {{ ... }} }}, or \"automatic\" where the adapter turns the line by itself"
                    ))),
                    Err(errno) => Err(self.failed("set RTS of", errno)),
                }
            }
            Direction::Gpio(gpio) => match Output::take(gpio) {
                Ok(output) => Ok((Turner::Gpio(output), None, said)),
                Err(source) => Err(OpenError::Io {
                    path: self.path.to_owned(),
                    step: "take `rs485.direction = { gpio = ... }` of",
                    source,
                }),
            },
        }
    }

    /// Raw, and the line as configured. Nothing of what was set before remains but the control characters.
    fn settings(&self, mut termios: Termios) -> Termios {
        let parity = self.config.resting_parity();
        termios.input_modes = match self.config.flow_control {
            FlowControl::XonXoff => InputModes::IXON | InputModes::IXOFF,
            FlowControl::None | FlowControl::RtsCts => InputModes::empty(),
        };
        // The character whose parity is wrong is read as a zero byte. Mark and space are not checked: they
        // tell addresses from data on nine-bit buses; where that is said, the kernel marks the addresses.
        if matches!(parity, Parity::Even | Parity::Odd) || self.config.ninth_bit.is_some() {
            termios.input_modes |= InputModes::INPCK;
        }
        if self.config.ninth_bit.is_some() || self.config.on_break != OnBreak::Ignore {
            termios.input_modes |= InputModes::PARMRK;
        }
        termios.output_modes = OutputModes::empty();
        termios.local_modes = LocalModes::empty();
        // CLOCAL: three wires are enough, a missing carrier is no hang-up. No HUPCL: closing leaves DTR and RTS
        // as they are, so that a restart does not reset the boards that are wired so.
        termios.control_modes = ControlModes::CREAD
            | ControlModes::CLOCAL
            | match self.config.data_bits {
                DataBits::Five => ControlModes::CS5,
                DataBits::Six => ControlModes::CS6,
                DataBits::Seven => ControlModes::CS7,
                DataBits::Eight => ControlModes::CS8,
            }
            | parity_modes(parity)
            | match self.config.stop_bits {
                StopBits::One => ControlModes::empty(),
                StopBits::Two => ControlModes::CSTOPB,
            }
            | match self.config.flow_control {
                FlowControl::RtsCts => ControlModes::CRTSCTS,
                FlowControl::None | FlowControl::XonXoff => ControlModes::empty(),
            };
        termios.special_codes[SpecialCodeIndex::VMIN] = 1;
        termios.special_codes[SpecialCodeIndex::VTIME] = 0;
        // XON and XOFF may have been changed by whoever had the port before.
        termios.special_codes[SpecialCodeIndex::VSTART] = 0x11;
        termios.special_codes[SpecialCodeIndex::VSTOP] = 0x13;
        let speed = self.config.baud.get();
        termios
            .set_speed(speed)
            .expect("Linux stores any speed in termios2");
        termios
    }

    /// What the driver made of it. It answers "yes" to all, and drops what it can't do.
    fn compare(
        &self,
        wanted: &Termios,
        got: &Termios,
        pty: bool,
        notes: &mut Vec<Note>,
    ) -> Result<(), OpenError> {
        let parity = ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR;
        let Config {
            data_bits,
            stop_bits,
            parity: parity_name,
            ninth_bit,
            ..
        } = self.config;
        let (parity_key, parity_value) = match ninth_bit {
            // It is the parity bit, made 0 or 1 at will (CMSPAR).
            Some(NinthBit::Address) => ("ninth-bit", "\"address\"".to_owned()),
            Some(NinthBit::Mdb) => ("ninth-bit", "\"mdb\"".to_owned()),
            None => ("parity", format!("\"{parity_name}\"")),
        };
        for (mask, name, value) in [
            (ControlModes::CSIZE, "data-bits", data_bits.count().to_string()),
            (parity, parity_key, parity_value),
            (ControlModes::CSTOPB, "stop-bits", stop_bits.count().to_string()),
            (ControlModes::CRTSCTS, "flow-control", "\"rts-cts\"".to_owned()),
        ] {
            let same = wanted.control_modes & mask == got.control_modes & mask;
            match (same, pty) {
                (true, _) => {}
                (false, true) => notes.push(Note::NotOnPty(name)),
                (false, false) => return Err(self.unsupported(format!("`{name} = {value}`"))),
            }
        }
        let (asked, got) = (self.config.baud.get(), got.output_speed());
        // 2% is what the kernel itself takes for the same speed (tty_termios_encode_baud_rate).
        if u64::from(asked.abs_diff(got)) * 50 > u64::from(asked) {
            return Err(self.unsupported(format!("`baud = {asked}`: its driver makes {got} of it")));
        }
        if asked != got {
            notes.push(Note::Speed { asked, got });
        }
        Ok(())
    }

    fn set_lines(&self, fd: &OwnedFd, pty: bool, notes: &mut Vec<Note>) -> Result<(), OpenError> {
        let Config { dtr, rts, .. } = *self.config;
        let name = if dtr.is_some() { "dtr" } else { "rts" };
        if dtr.is_none() && rts.is_none() {
            return Ok(());
        }
        match ioctl::set_lines(fd, dtr, rts) {
            Ok(()) => Ok(()),
            Err(_) if pty => {
                notes.push(Note::NotOnPty(name));
                Ok(())
            }
            Err(Errno::NOTTY | Errno::INVAL) => Err(self.unsupported(format!("`{name}`"))),
            Err(errno) => Err(self.failed("set DTR and RTS of", errno)),
        }
    }

    fn refused(&self, errno: Errno) -> OpenError {
        let path = self.path.to_owned();
        let source = errno.into();
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::NODEV => OpenError::NotThere { path, source },
            Errno::ACCESS | Errno::PERM => {
                let hint = whose(self.path, errno);
                OpenError::Denied { path, hint, source }
            }
            Errno::BUSY => self.busy(),
            Errno::ISDIR => OpenError::NotATty { path },
            _ => OpenError::Io {
                path,
                step: "open",
                source,
            },
        }
    }

    fn busy(&self) -> OpenError {
        OpenError::Busy {
            path: self.path.to_owned(),
            holder: holder(self.path),
        }
    }

    fn unsupported(&self, setting: String) -> OpenError {
        OpenError::Unsupported {
            path: self.path.to_owned(),
            setting,
        }
    }

    fn failed(&self, step: &'static str, errno: Errno) -> OpenError {
        OpenError::Io {
            path: self.path.to_owned(),
            step,
            source: errno.into(),
        }
    }
}

/// The bits of a parity.
pub(super) fn parity_modes(parity: Parity) -> ControlModes {
    match parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Mark => ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::{Baud, Pty};

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn a_port_is_raw_and_set_as_configured() {
        let pty = Pty::new().unwrap();
        let wanted = config("baud = 250000\nstop-bits = 2\nflow-control = 'xon-xoff'");
        let port = open(pty.path(), &wanted).await.unwrap();
        let got = tcgetattr(&port).unwrap();
        assert_eq!((got.input_speed(), got.output_speed()), (250_000, 250_000));
        assert!(
            got.control_modes
                .contains(ControlModes::CS8 | ControlModes::CSTOPB | ControlModes::CLOCAL)
        );
        assert!(
            !got.control_modes
                .intersects(ControlModes::HUPCL | ControlModes::CRTSCTS)
        );
        assert_eq!(got.input_modes, InputModes::IXON | InputModes::IXOFF);
        assert_eq!(
            (got.output_modes, got.local_modes),
            (OutputModes::empty(), LocalModes::empty())
        );
        let line = port.line();
        assert!(line.pty && !line.low_latency && line.notes.is_empty(), "{line:?}");
        assert_eq!((line.baud, line.node.as_path()), (250_000, pty.path()));
    }

    #[tokio::test]
    async fn what_a_pty_lacks_is_noted_and_no_error() {
        let pty = Pty::new().unwrap();
        let wanted = config("data-bits = 7\nparity = 'even'\ndtr = false\nrts = true");
        let port = open(pty.path(), &wanted).await.unwrap();
        assert_eq!(
            port.line().notes,
            [
                Note::NotOnPty("data-bits"),
                Note::NotOnPty("parity"),
                Note::NotOnPty("dtr")
            ]
        );
    }

    #[test]
    fn a_serial_line_gets_what_is_asked_for_or_an_error() {
        let pty = Pty::new().unwrap();
        let config = config("baud = 115200\nparity = 'mark'");
        let opening = Opening {
            path: Path::new("/dev/ttyUSB0"),
            config: &config,
        };
        let wanted = opening.settings(tcgetattr(&pty).unwrap());
        let parity = ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR;
        assert!(wanted.control_modes.contains(parity));
        let compare = |got: &Termios| {
            let mut notes = Vec::new();
            opening
                .compare(&wanted, got, false, &mut notes)
                .map(|()| notes)
                .map_err(|e| e.to_string())
        };
        assert_eq!(compare(&wanted), Ok(vec![]));

        let mut near = wanted.clone();
        near.set_speed(115_384).unwrap();
        assert_eq!(
            compare(&near),
            Ok(vec![Note::Speed {
                asked: 115_200,
                got: 115_384
            }])
        );
        near.set_speed(9600).unwrap();
        let far = "/dev/ttyUSB0 can't do `baud = 115200`: its driver makes 9600 of it".to_owned();
        assert_eq!(compare(&near), Err(far));

        let mut odd = wanted.clone();
        odd.control_modes -= ControlModes::CMSPAR;
        assert_eq!(
            compare(&odd),
            Err("/dev/ttyUSB0 can't do `parity = \"mark\"`".to_owned())
        );
    }

    #[tokio::test]
    async fn the_second_is_refused_and_told_who_was_first() {
        let pty = Pty::new().unwrap();
        let fast = Config {
            baud: Baud::new(115_200).unwrap(),
            ..Config::default()
        };
        let first = open(pty.path(), &fast).await.unwrap();
        let refusal = open(pty.path(), &Config::default()).await.unwrap_err();
        let OpenError::Busy {
            holder: Some(holder), ..
        } = &refusal
        else {
            panic!("{refusal:?}")
        };
        assert!(holder.is_self());
        assert_eq!(
            tcgetattr(&first).unwrap().output_speed(),
            115_200,
            "the first one's settings were touched"
        );
        assert!(
            refusal
                .to_string()
                .ends_with("is in use by another port of this mqttyd"),
            "{refusal}"
        );
        assert!(!refusal.waits_for_change());
        drop(first);
        open(pty.path(), &Config::default()).await.unwrap();
    }

    #[tokio::test]
    async fn another_process_is_named() {
        let pty = Pty::new().unwrap();
        let mut flock = std::process::Command::new("flock");
        let mut child = flock.arg(pty.path()).args(["sh", "-c", "echo; exec sleep 60"]);
        child = child.stdout(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut line = [0; 1];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let refusal = open(pty.path(), &Config::default()).await.unwrap_err();
        child.kill().unwrap();
        child.wait().unwrap();
        let expected = format!("{} is in use by flock (pid {})", pty.path().display(), child.id());
        assert_eq!(refusal.to_string(), expected);
    }

    #[tokio::test]
    async fn other_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let refusal = open(&folder.path().join("none"), &config).await.unwrap_err();
        assert!(
            matches!(refusal, OpenError::NotThere { .. }) && refusal.waits_for_change(),
            "{refusal:?}"
        );
        for path in [folder.path(), Path::new("/dev/null")] {
            let refusal = open(path, &config).await.unwrap_err();
            assert!(matches!(refusal, OpenError::NotATty { .. }), "{refusal:?}");
        }
    }

    #[test]
    fn a_node_that_is_not_ours_says_whose_it_is() {
        let config = Config::default();
        let opening = Opening {
            path: Path::new("/dev/null"),
            config: &config,
        };
        let denied = opening.refused(Errno::ACCESS);
        assert!(denied.retry_soon());
        assert!(
            denied
                .to_string()
                .starts_with("no permission to open /dev/null: its mode is"),
            "{denied}"
        );
        assert!(opening.refused(Errno::PERM).to_string().contains("DeviceAllow="));
        assert!(matches!(opening.refused(Errno::BUSY), OpenError::Busy { .. }));
    }
}
