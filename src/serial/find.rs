//! Which serial ports the machine has, from sysfs (no udev library), and which of them a configuration means.

use super::config::{Config, Usb, UsbId};
use super::holder::{Holder, holder};
use std::fmt;
use std::fs::{canonicalize, read_dir, read_to_string};
use std::io;
use std::path::{Path, PathBuf};

/// A serial port of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The device node: `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// Its link in `/dev/serial/by-id`: the same wherever the adapter is plugged in.
    pub by_id: Option<PathBuf>,
    /// Its link in `/dev/serial/by-path`: the same whichever adapter is plugged in there.
    pub by_path: Option<PathBuf>,
    /// The kernel's driver: `ftdi_sio`, `cdc_acm`, `uart-pl011`.
    pub driver: Option<String>,
    /// Who made it, if it is an USB adapter.
    pub vid: Option<UsbId>,
    /// What it is.
    pub pid: Option<UsbId>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its name.
    pub product: Option<String>,
    /// Which USB interface of the adapter it is.
    pub interface: Option<u8>,
    /// Who has it open, where that can be known.
    pub holder: Option<Holder>,
}

impl Found {
    /// Whether it has all that `usb` asks for.
    pub fn is(&self, usb: &Usb) -> bool {
        fn same<T: PartialEq>(asked: &Option<T>, has: &Option<T>) -> bool {
            asked.is_none() || asked == has
        }
        self.vid.is_some()
            && same(&usb.vid, &self.vid)
            && same(&usb.pid, &self.pid)
            && same(&usb.serial, &self.serial)
            && same(&usb.interface, &self.interface)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        let Found {
            vid, pid, interface, ..
        } = *self;
        let serial = self.serial.clone();
        match (Usb {
            vid,
            pid,
            serial,
            interface,
        }) {
            nothing if nothing == Usb::default() => Ok(()),
            usb => write!(f, " ({usb})"),
        }
    }
}

/// Why no port could be named.
#[derive(thiserror::Error, Debug)]
pub enum NotFound {
    /// Nothing matches: not plugged in.
    #[error("no USB serial port with {usb} is plugged in")]
    None {
        /// What was looked for.
        usb: Usb,
    },
    /// More than one matches; a guess could be the wrong device.
    #[error(
        "more than one USB serial port has {usb}: {}; add `serial` or `interface`, or give a `path` of /dev/serial/by-path",
        listed(found)
    )]
    Several {
        /// What was looked for.
        usb: Usb,
        /// What was found.
        found: Vec<Found>,
    },
    /// The configuration names no port.
    #[error("{0}")]
    Nameless(super::Fault),
    /// sysfs could not be read.
    #[error("failed to look through the serial ports in {}", path.display())]
    Sysfs {
        /// Which folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn listed(found: &[Found]) -> String {
    found.iter().map(Found::to_string).collect::<Vec<_>>().join(", ")
}

/// Looks for serial ports.
#[derive(Debug, Clone)]
pub struct Finder {
    sys: PathBuf,
    dev: PathBuf,
}

impl Default for Finder {
    /// In `/sys` and `/dev`.
    fn default() -> Finder {
        Finder::new("/sys", "/dev")
    }
}

impl Finder {
    /// In a tree that is like `/sys`, and one that is like `/dev`.
    pub fn new(sys: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Finder {
        Finder {
            sys: sys.into(),
            dev: dev.into(),
        }
    }

    /// The path of the port that `config` means. A `path` is taken as it is: opening shows what is there.
    pub fn find(&self, config: &Config) -> Result<PathBuf, NotFound> {
        let usb = match (&config.path, &config.usb) {
            (Some(path), _) => return Ok(path.clone()),
            (None, Some(usb)) => usb.clone(),
            (None, None) => return Err(NotFound::Nameless(super::Fault::Nameless)),
        };
        let all = self.scan().map_err(|source| NotFound::Sysfs {
            path: self.classes(),
            source,
        })?;
        let mut found: Vec<Found> = all.into_iter().filter(|port| port.is(&usb)).collect();
        match found.len() {
            0 => Err(NotFound::None { usb }),
            1 => Ok(found.remove(0).path),
            _ => Err(NotFound::Several { usb, found }),
        }
    }

    /// All serial ports with hardware behind them, in the order of their names, and who holds them.
    ///
    /// A machine without any has an empty list; so has a container that has no sysfs.
    pub fn list(&self) -> io::Result<Vec<Found>> {
        let mut all = self.scan()?;
        let ids = self.links("by-id");
        let paths = self.links("by-path");
        for port in &mut all {
            let node = canonicalize(&port.path).unwrap_or_else(|_| port.path.clone());
            let link = |links: &[(PathBuf, PathBuf)]| {
                links
                    .iter()
                    .find(|(_, target)| *target == node)
                    .map(|(link, _)| link.clone())
            };
            port.by_id = link(&ids);
            port.by_path = link(&paths);
            port.holder = holder(&port.path);
        }
        Ok(all)
    }

    fn classes(&self) -> PathBuf {
        self.sys.join("class/tty")
    }

    /// All but what takes longer to know.
    fn scan(&self) -> io::Result<Vec<Found>> {
        let folder = match read_dir(self.classes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        let mut found: Vec<Found> = folder
            .flatten()
            .filter_map(|entry| self.port(&entry.path()))
            .collect();
        found.sort_by_cached_key(|port| in_order(&port.path.to_string_lossy()));
        Ok(found)
    }

    /// What sysfs tells of one terminal; `None` if it is no serial port, or one without hardware.
    fn port(&self, class: &Path) -> Option<Found> {
        // Consoles and the like are nobody's device.
        let device = canonicalize(class.join("device")).ok()?;
        // The kernel makes nodes for the UARTs that a PC might have: those that it has not are of type 0
        // (linux/serial.h: PORT_UNKNOWN).
        if text(class, "type").as_deref() == Some("0") {
            return None;
        }
        // As in sysfs: a `!` stands for the `/` of a node in a folder of its own.
        let name = class.file_name()?.to_str()?.replace('!', "/");
        let mut found = Found {
            path: self.dev.join(name),
            ..Found::default()
        };
        // A container sees the ports of its host here, and has no node for those that are not its own.
        if !found.path.exists() {
            return None;
        }
        let root = canonicalize(&self.sys).ok()?;
        for folder in device.ancestors().take_while(|folder| folder.starts_with(&root)) {
            found.driver = found.driver.or_else(|| driver(folder));
            if let Some(number) = text(folder, "bInterfaceNumber") {
                found.interface = found.interface.or(u8::from_str_radix(&number, 16).ok());
            }
            if let Some(vid) = text(folder, "idVendor") {
                found.vid = UsbId::parse(&vid);
                found.pid = text(folder, "idProduct").as_deref().and_then(UsbId::parse);
                found.serial = text(folder, "serial");
                found.product = text(folder, "product");
                // Further up are the hubs.
                break;
            }
        }
        Some(found)
    }

    /// Links in `/dev/serial/...`, and what they lead to.
    fn links(&self, folder: &str) -> Vec<(PathBuf, PathBuf)> {
        let links = read_dir(self.dev.join("serial").join(folder))
            .into_iter()
            .flatten()
            .flatten();
        links
            .filter_map(|link| Some((link.path(), canonicalize(link.path()).ok()?)))
            .collect()
    }
}

/// The driver that is bound to the device in this folder.
fn driver(folder: &Path) -> Option<String> {
    let driver = canonicalize(folder.join("driver")).ok()?;
    // Since Linux 6.5 there are two devices of the serial core's own between a UART and its terminal.
    let own = driver.components().any(|part| part.as_os_str() == "serial-base");
    (!own).then(|| driver.file_name()?.to_str().map(str::to_owned))?
}

/// What a file of sysfs says, if it is there and says anything.
pub(super) fn text(folder: &Path, name: &str) -> Option<String> {
    let text = read_to_string(folder.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// ttyUSB2 before ttyUSB10.
fn in_order(path: &str) -> (String, u64) {
    let name = path.trim_end_matches(|c: char| c.is_ascii_digit());
    (name.to_owned(), path[name.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs::{File, create_dir_all, write};
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A made machine: the UART of a Pi, those of a PC (one of no hardware, one of no node), a console, and
    /// what is plugged in.
    pub(crate) struct Machine {
        root: TempDir,
    }

    impl Machine {
        pub(crate) fn new() -> Machine {
            let machine = Machine {
                root: tempfile::tempdir().unwrap(),
            };
            create_dir_all(machine.sys("class/tty")).unwrap();
            create_dir_all(machine.dev("serial/by-id")).unwrap();
            machine
        }

        pub(crate) fn finder(&self) -> Finder {
            Finder::new(self.sys(""), self.dev(""))
        }

        fn sys(&self, path: &str) -> PathBuf {
            self.root.path().join("sys").join(path)
        }

        pub(crate) fn dev(&self, path: &str) -> PathBuf {
            self.root.path().join("dev").join(path)
        }

        fn set(&self, device: &str, values: &[(&str, &str)]) {
            create_dir_all(self.sys(device)).unwrap();
            for (name, value) in values {
                write(self.sys(device).join(name), format!("{value}\n")).unwrap();
            }
        }

        fn driver(&self, device: &str, driver: &str) {
            create_dir_all(self.sys("bus").join(driver)).unwrap();
            symlink(self.sys("bus").join(driver), self.sys(device).join("driver")).unwrap();
        }

        /// A terminal of `device`, as deep in the tree as the kernel has it.
        fn tty(&self, device: &str, name: &str) -> String {
            let folder = format!("{device}/tty/{name}");
            create_dir_all(self.sys(&folder)).unwrap();
            symlink("../..", self.sys(&folder).join("device")).unwrap();
            symlink(Path::new("../..").join(&folder), self.sys("class/tty").join(name)).unwrap();
            File::create(self.dev(name)).unwrap();
            folder
        }

        pub(crate) fn uarts(&self) {
            let pl011 = "devices/platform/soc/fe201000.serial";
            let ports = format!("{pl011}/fe201000.serial:0/fe201000.serial:0.0");
            self.set(&ports, &[]);
            self.driver(pl011, "amba/drivers/uart-pl011");
            self.driver(&ports, "serial-base/drivers/port");
            let tty = self.tty(&ports, "ttyAMA0");
            self.set(&tty, &[("type", "32")]);

            self.set("devices/pnp0/00:00", &[]);
            self.driver("devices/pnp0/00:00", "pnp/drivers/serial");
            let tty = self.tty("devices/pnp0/00:00", "ttyS0");
            self.set(&tty, &[("type", "4")]);

            let tty = self.tty("devices/platform/serial8250", "ttyS1");
            self.set(&tty, &[("type", "0")]);

            let tty = self.tty("devices/pnp0/00:01", "ttyS2");
            self.set(&tty, &[("type", "4")]);
            std::fs::remove_file(self.dev("ttyS2")).unwrap();

            create_dir_all(self.sys("devices/virtual/tty/tty1")).unwrap();
            symlink("../../devices/virtual/tty/tty1", self.sys("class/tty/tty1")).unwrap();
        }

        pub(crate) fn ftdi(&self, place: &str, name: &str, serial: &str, interface: &str) {
            let hub = "devices/pci0000:00/usb1";
            self.set(
                hub,
                &[
                    ("idVendor", "1d6b"),
                    ("idProduct", "0002"),
                    ("product", "xHCI Host Controller"),
                ],
            );
            let usb = format!("{hub}/{place}");
            let id = [
                ("idVendor", "0403"),
                ("idProduct", "6001"),
                ("product", "FT232R USB UART"),
            ];
            self.set(&usb, &id);
            self.set(&usb, &[("serial", serial)]);
            let interface_folder = format!("{usb}/{place}:1.{interface}");
            self.set(&interface_folder, &[("bInterfaceNumber", interface)]);
            let port = format!("{interface_folder}/{name}");
            self.set(&port, &[]);
            self.driver(&port, "usb-serial/drivers/ftdi_sio");
            self.tty(&port, name);
            let link = format!("serial/by-id/usb-FTDI_FT232R_USB_UART_{serial}-if{interface}-port0");
            symlink(format!("../../{name}"), self.dev(&link)).unwrap();
        }

        pub(crate) fn acm(&self) {
            let usb = "devices/pci0000:00/usb1/1-3";
            self.set(
                usb,
                &[("idVendor", "2341"), ("idProduct", "0043"), ("serial", "7573")],
            );
            let interface = format!("{usb}/1-3:1.0");
            self.set(&interface, &[("bInterfaceNumber", "00")]);
            self.driver(&interface, "usb/drivers/cdc_acm");
            self.tty(&interface, "ttyACM0");
        }
    }

    fn usb(text: &str) -> Config {
        toml::from_str(&format!("usb = {{ {text} }}")).unwrap()
    }

    #[test]
    fn lists_what_has_hardware_in_order() {
        let machine = Machine::new();
        machine.uarts();
        machine.ftdi("1-10", "ttyUSB10", "A9", "00");
        machine.ftdi("1-1", "ttyUSB2", "A1", "01");
        machine.acm();
        let list = machine.finder().list().unwrap();
        let lines: Vec<_> = list
            .iter()
            .map(|port| {
                format!("{port} {}", port.driver.as_deref().unwrap())
                    .replace(machine.dev("").to_str().unwrap(), "")
            })
            .collect();
        assert_eq!(
            lines,
            [
                "ttyACM0 (vid 2341, pid 0043, serial 7573, interface 0) cdc_acm",
                "ttyAMA0 uart-pl011",
                "ttyS0 serial",
                "ttyUSB2 (vid 0403, pid 6001, serial A1, interface 1) ftdi_sio",
                "ttyUSB10 (vid 0403, pid 6001, serial A9, interface 0) ftdi_sio",
            ]
        );
        assert_eq!(list[3].product.as_deref(), Some("FT232R USB UART"));
        let link = machine.dev("serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if01-port0");
        assert_eq!((&list[3].by_id, &list[3].by_path), (&Some(link), &None));
        assert_eq!(list[1].by_id, None);
    }

    #[test]
    fn finds_the_one_adapter_that_is_meant() {
        let machine = Machine::new();
        machine.uarts();
        machine.acm();
        let find = |text: &str| machine.finder().find(&usb(text));
        let ftdi = find("vid = 0x0403, pid = 0x6001").unwrap_err();
        assert_eq!(
            ftdi.to_string(),
            "no USB serial port with vid 0403, pid 6001 is plugged in"
        );
        machine.ftdi("1-1", "ttyUSB0", "A1", "00");
        machine.ftdi("1-2", "ttyUSB1", "A2", "00");
        assert_eq!(find("serial = 'A2'").unwrap(), machine.dev("ttyUSB1"));
        assert_eq!(find("vid = 0x2341").unwrap(), machine.dev("ttyACM0"));
        assert!(find("vid = 0x0403, interface = 1").is_err());
        assert!(find("serial = 'a2'").is_err());
        let both = find("vid = 0x0403").unwrap_err().to_string();
        let expected = format!(
            "more than one USB serial port has vid 0403: {} (vid 0403, pid 6001, serial A1, interface 0), \
             {} (vid 0403, pid 6001, serial A2, interface 0); add `serial` or `interface`, or give a `path` of \
             /dev/serial/by-path",
            machine.dev("ttyUSB0").display(),
            machine.dev("ttyUSB1").display(),
        );
        assert_eq!(both, expected);
    }

    #[test]
    fn a_path_is_what_it_is() {
        let finder = Finder::new("/nonexistent", "/nonexistent");
        assert_eq!(
            finder.find(&Config::at("/dev/ttyUSB7")).unwrap(),
            Path::new("/dev/ttyUSB7")
        );
        assert_eq!(finder.list().unwrap(), []);
        assert!(matches!(finder.find(&usb("vid = 1")), Err(NotFound::None { .. })));
    }
}
