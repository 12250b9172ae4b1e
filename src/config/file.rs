//! From a path to a text: everything that can be wrong with a file before its first word is read.

use super::fault::{Fault, Faults};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No configuration that a person wrote is larger.
const LARGEST: u64 = 1 << 20;

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, Faults> {
    let name = path.display().to_string();
    let unread = |fault: Fault| Faults::unread(&name, fault);
    let cannot = |error: std::io::Error| {
        let fault = Fault::whole(format!("cannot read {name}: {}", reason(&error)));
        unread(match error.kind() {
            std::io::ErrorKind::NotFound => {
                fault.help("name the file: `mqttyd check FILE`, or begin with a copy of config/mqttyd.toml")
            }
            std::io::ErrorKind::PermissionDenied => fault.help(
                "run it with sudo, or as a user who may read the file (`ls -l` shows its owner and mode)",
            ),
            _ => fault,
        })
    };
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(unread(Fault::whole(format!(
            "cannot read {name}: it is a directory"
        ))));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    text(&name, bytes)
}

/// The text of these bytes, without a byte order mark.
pub(super) fn text(name: &str, bytes: Vec<u8>) -> Result<String, Faults> {
    if bytes.len() as u64 > LARGEST {
        let title = format!(
            "{name} is larger than {} KiB: this is no configuration",
            LARGEST / 1024
        );
        return Err(Faults::unread(name, Fault::whole(title)));
    }
    if let Some(order) = utf16(&bytes) {
        let title = format!("{name} is UTF-16 ({order}), and must be UTF-8");
        let fault =
            Fault::whole(title).help("save it as UTF-8 (Windows editors call it \"UTF-8\" or \"Unicode\")");
        return Err(Faults::unread(name, fault));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let line = bytes[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            let shown = String::from_utf8_lossy(bytes).into_owned();
            let label = format!("the byte 0x{:02x} is no UTF-8", bytes[good]);
            let at = good..good + '\u{fffd}'.len_utf8();
            let fault = Fault::at(at, format!("line {line} is not UTF-8 text"), label)
                .help("save the file as UTF-8; for raw bytes in a value write a list, such as [0xff, 0x01]");
            Err(Faults::new(name, &shown, vec![fault], false))
        }
    }
}

fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] => Some("little-endian"),
        [0xfe, 0xff, ..] => Some("big-endian"),
        _ => None,
    }
}

/// The system's words without its number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or(&words);
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
