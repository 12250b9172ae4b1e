//! `mqttyd ports`: which serial ports the machine has, who holds them, and what they are configured as.

use crate::serial::{self, Finder, Found};
use std::io::{self, Write};
use std::path::Path;

/// Prints the table; `configured` are the ports of the configuration, if there is one, by their names.
pub fn run(configured: &[(String, serial::Config)]) -> io::Result<()> {
    let finder = Finder::default();
    let found = finder.list()?;
    io::stdout().write_all(table(&found, configured).as_bytes())
}

const TITLES: [&str; 8] = [
    "PORT",
    "BY-ID",
    "USB",
    "SERIAL",
    "PRODUCT",
    "DRIVER",
    "HELD BY",
    "CONFIGURED AS",
];

/// The table, and what it does not show: how to name a port so that it stays the same, and which configured
/// ports are not in it.
pub fn table(found: &[Found], configured: &[(String, serial::Config)]) -> String {
    let mut text = String::new();
    if found.is_empty() {
        text +=
            "This machine shows no serial port: no UART is switched on and no USB adapter is plugged in.\n";
        text += "(In a container, its devices have to be passed in.)\n";
    } else {
        let rows = found.iter().map(|port| row(port, configured));
        text += &aligned(
            std::iter::once(TITLES.map(str::to_owned))
                .chain(rows)
                .collect::<Vec<_>>(),
        );
    }
    if let Some(link) = found.iter().find_map(|port| port.by_id.as_ref()) {
        text += "\nA by-id name stays the same wherever the adapter is plugged in:\n";
        text += &format!("    path = \"{}\"\n", link.display());
    }
    let elsewhere: Vec<_> = configured
        .iter()
        .filter_map(|(name, config)| stray(name, config, found))
        .collect();
    if !elsewhere.is_empty() {
        text += "\nConfigured, but not in this list:\n";
        text += &elsewhere.concat();
    }
    text
}

fn row(port: &Found, configured: &[(String, serial::Config)]) -> [String; 8] {
    let names = configured.iter().filter(|(_, config)| is_meant(port, config));
    let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
    let usb = port.vid.zip(port.pid).map(|(vid, pid)| format!("{vid}:{pid}"));
    let by_id = port.by_id.as_deref().and_then(Path::file_name);
    [
        port.path.display().to_string(),
        by_id
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        usb.unwrap_or_default(),
        port.serial.as_deref().map(printable).unwrap_or_default(),
        port.product.as_deref().map(printable).unwrap_or_default(),
        port.driver.clone().unwrap_or_default(),
        port.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        names.join(", "),
    ]
}

/// An adapter may call itself anything; the terminal is not to obey it.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Whether the configuration means this port, by whichever of its names.
fn is_meant(port: &Found, config: &serial::Config) -> bool {
    match (&config.path, &config.usb) {
        (Some(path), _) => {
            let names = [Some(&port.path), port.by_id.as_ref(), port.by_path.as_ref()];
            names.contains(&Some(path)) || path.canonicalize().is_ok_and(|node| node == port.path)
        }
        (None, Some(usb)) => port.is(usb),
        (None, None) => false,
    }
}

/// A line about a configured port that is none of those found.
fn stray(name: &str, config: &serial::Config, found: &[Found]) -> Option<String> {
    if found.iter().any(|port| is_meant(port, config)) {
        return None;
    }
    let what = match (&config.path, &config.usb) {
        (Some(path), _) => {
            let why = match path.canonicalize() {
                Ok(node) if node.starts_with("/dev/pts") => "a pseudo-terminal",
                Ok(_) => "there, but no serial hardware",
                Err(_) => "not there",
            };
            format!("{} ({why})", path.display())
        }
        (None, Some(usb)) => format!("USB {usb} (not plugged in)"),
        (None, None) => "no port at all".to_owned(),
    };
    Some(format!("    {name}: {what}\n"))
}

/// Columns as wide as what is in them; a `-` for nothing, so that the eye keeps its column.
fn aligned(rows: Vec<[String; 8]>) -> String {
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).max(1);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::{Holder, UsbId};
    use std::path::PathBuf;

    fn uart() -> Found {
        Found {
            path: "/dev/ttyAMA0".into(),
            driver: Some("uart-pl011".into()),
            ..Found::default()
        }
    }

    fn adapter() -> Found {
        Found {
            path: "/dev/ttyUSB0".into(),
            by_id: Some("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if00-port0".into()),
            by_path: Some(PathBuf::from(
                "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
            )),
            driver: Some("ftdi_sio".into()),
            vid: Some(UsbId(0x0403)),
            pid: Some(UsbId(0x6001)),
            serial: Some("A1".into()),
            product: Some("FT232R USB UART".into()),
            interface: Some(0),
            holder: Some(Holder {
                pid: 2148,
                command: Some("minicom".into()),
            }),
        }
    }

    fn configured(text: &str) -> Vec<(String, serial::Config)> {
        let table: std::collections::BTreeMap<String, serial::Config> = toml::from_str(text).unwrap();
        table.into_iter().collect()
    }

    #[test]
    fn a_machine_with_ports() {
        let configured = configured(
            "air.path = '/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if00-port0'
             scale.usb = { vid = 0x0403 }
             meter.usb = { vid = 0x1a86, serial = '7' }
             door.path = '/dev/ttyNONE7'
             odd.path = '/dev/null'",
        );
        insta::assert_snapshot!(table(&[uart(), adapter()], &configured), @r#"
        PORT          BY-ID                                   USB        SERIAL  PRODUCT          DRIVER      HELD BY             CONFIGURED AS
        /dev/ttyAMA0  -                                       -          -       -                uart-pl011  -                   -
        /dev/ttyUSB0  usb-FTDI_FT232R_USB_UART_A1-if00-port0  0403:6001  A1      FT232R USB UART  ftdi_sio    minicom (pid 2148)  air, scale

        A by-id name stays the same wherever the adapter is plugged in:
            path = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if00-port0"

        Configured, but not in this list:
            door: /dev/ttyNONE7 (not there)
            meter: USB vid 1a86, serial 7 (not plugged in)
            odd: /dev/null (there, but no serial hardware)
        "#);
    }

    #[test]
    fn a_machine_without() {
        let pty = serial::Pty::new().unwrap();
        let configured = [("demo".to_owned(), serial::Config::at(pty.path()))];
        let text = table(&[], &configured).replace(&pty.path().display().to_string(), "/dev/pts/7");
        insta::assert_snapshot!(text, @r"
        This machine shows no serial port: no UART is switched on and no USB adapter is plugged in.
        (In a container, its devices have to be passed in.)

        Configured, but not in this list:
            demo: /dev/pts/7 (a pseudo-terminal)
        ");
    }

    #[test]
    fn an_adapter_can_not_command_the_terminal() {
        assert_eq!(printable("Evil\x1b[2J UART"), "Evil?[2J UART");
    }

    #[test]
    fn this_machine_whatever_it_is() {
        let text = table(&Finder::default().list().unwrap(), &[]);
        assert!(
            text.starts_with("PORT ") || text.starts_with("This machine"),
            "{text}"
        );
    }
}
