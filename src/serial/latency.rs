//! How late an adapter hands on what it has received.

use super::find::text;
use std::path::Path;
use std::time::Duration;

/// A full-speed USB device is asked for what it has once in a frame (USB 2.0, 5.2.3).
const USB: Duration = Duration::from_millis(1);

/// How long bytes may lie in the adapter of this port before they can be read; none for those that are no adapters.
pub fn latency(node: &Path) -> Duration {
    of(Path::new("/sys/class/tty"), node)
}

fn of(tty: &Path, node: &Path) -> Duration {
    let device = || {
        let node = node.canonicalize().ok()?;
        tty.join(node.file_name()?).join("device").canonicalize().ok()
    };
    let Some(device) = device() else {
        return Duration::ZERO;
    };
    // FTDI's: the timer as it is, low latency considered (drivers/usb/serial/ftdi_sio.c).
    let timer = text(&device, "latency_timer").and_then(|ms| ms.parse::<u8>().ok());
    match timer {
        Some(ms) => Duration::from_millis(ms.into()).max(USB),
        None if device
            .ancestors()
            .any(|folder| text(folder, "idVendor").is_some()) =>
        {
            USB
        }
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_adapter_tells_its_timer_and_others_are_known_by_their_bus() {
        let root = tempfile::tempdir().unwrap();
        let tty = root.path().join("class");
        let port = |name: &str, place: &str, timer: Option<&str>| {
            let device = root.path().join(place);
            fs::create_dir_all(&device).unwrap();
            if place.contains("usb") {
                fs::write(device.join("../idVendor"), "0403\n").unwrap();
            }
            if let Some(timer) = timer {
                fs::write(device.join("latency_timer"), timer).unwrap();
            }
            fs::create_dir_all(tty.join(name)).unwrap();
            symlink(device, tty.join(name).join("device")).unwrap();
            let node = root.path().join(name);
            fs::write(&node, "").unwrap();
            of(&tty, &node)
        };
        let ms = Duration::from_millis;
        assert_eq!(port("ttyUSB0", "devices/usb1/1-1/ttyUSB0", Some("16\n")), ms(16));
        assert_eq!(port("ttyUSB1", "devices/usb1/1-2/ttyUSB1", Some("1\n")), ms(1));
        assert_eq!(port("ttyUSB2", "devices/usb1/1-3/ttyUSB2", None), ms(1));
        assert_eq!(port("ttyAMA0", "devices/platform/serial", None), ms(0));
        assert_eq!(of(&tty, &root.path().join("none")), ms(0));
    }
}
