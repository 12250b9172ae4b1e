//! `mqttyd explain`: lays a frame out field by field, as a device profile reads it.

use crate::config::device;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// The profiles that there are, one to a line.
pub fn list(beside: Option<&Path>) -> String {
    let names = device::names(beside);
    if names.is_empty() {
        return "there are no device profiles; they are looked for in /etc/mqttyd/devices and \
                /usr/share/mqttyd/devices, or name a file\n"
            .to_owned();
    }
    names.into_iter().map(|name| name + "\n").collect()
}

/// The bytes that hexadecimal digits stand for.
pub fn bytes(digits: &str) -> anyhow::Result<Vec<u8>> {
    let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    if digits.is_empty() {
        bail!("there are no bytes: give them in hexadecimal digits, or use --text");
    }
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .context("the bytes are not hexadecimal digits in pairs")
}

/// The bytes of a text in which `\r`, `\n`, `\t`, `\\` and `\x02` stand for such bytes.
pub fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (meant, after) = match (byte, after) {
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |c: &u8| char::from(*c).to_digit(16).unwrap_or(0) as u8;
                (digit(high) << 4 | digit(low), after)
            }
            (byte, after) => (*byte, after),
        };
        out.push(meant);
        rest = after;
    }
    if !out.contains(&b'\n') && !text.contains('\\') {
        out.extend(b"\r\n");
    }
    out
}

/// The frames in the bytes, laid out.
pub fn explain(
    name: &str,
    beside: Option<&Path>,
    wire: &[u8],
    request: Option<&[u8]>,
) -> anyhow::Result<String> {
    let path = match device::find(name, beside) {
        Some(path) => path,
        None if name.contains('/') || name.ends_with(".toml") => PathBuf::from(name),
        None => {
            let names = device::names(beside);
            match crate::config::nearest(name, names.iter().map(String::as_str)) {
                Some(near) => bail!("there is no device profile `{name}`; did you mean `{near}`?"),
                None => {
                    bail!("there is no device profile `{name}`; `mqttyd explain` lists them, or name a file")
                }
            }
        }
    };
    Ok(device::read(&path)?.profile.explain(wire, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_laid_out() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let wire =
            bytes("424d001c 0000 0008 0008 0000 0008 0008 00d2 0046 002d 001e 0000 0000 9700 02c5").unwrap();
        let shown = explain("plantower-pms5003", Some(&config), &wire, None).unwrap();
        for part in [
            "frame 1: `frame`, 30 bytes of data",
            "  12  0008   pm25",
            "8 µg/m³",
            "2.10 1/cm³",
        ] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
        let mut damaged = wire.clone();
        damaged[5] ^= 1;
        let shown = explain("plantower-pms5003", Some(&config), &damaged, None).unwrap();
        assert!(
            shown.contains("sum16 at byte 30: expected 02c6, found 02c5"),
            "{shown}"
        );
        let error = explain("plantower-pms503", Some(&config), &wire, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `plantower-pms5003`"), "{error}");
    }

    #[test]
    fn what_lies_in_lists_is_shown_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.toml");
        let text = "frame = { fixed = { length = 2 } }\n\
            fields = [{ name = \"l\", repeat = 2, fields = [{ name = \"a\", type = \"u8\" }] }]\n";
        std::fs::write(&path, text).unwrap();
        let shown = explain(path.to_str().unwrap(), None, &[7, 8], None).unwrap();
        assert!(shown.contains(" l.0.a ") && shown.contains(" l.1.a "), "{shown}");
    }

    /// A record begins at a whole byte, so its bits are not at the byte where those before it end.
    #[test]
    fn a_record_behind_single_bits_is_shown_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bits.toml");
        let text = "frame = { fixed = { length = 2 } }\n\
            fields = [{ name = \"on\", type = \"u1\" }, { name = \"r\", fields = [{ name = \"a\", type = \"u1\" }] }]\n";
        std::fs::write(&path, text).unwrap();
        let shown = explain(path.to_str().unwrap(), None, &[0x7f, 0x80], None).unwrap();
        for row in [
            "0 bit 0+1  7f     on     0     0",
            "1 bit 0+1  80     r.a    1     1",
        ] {
            assert!(shown.contains(row), "{row}:\n{shown}");
        }
    }

    #[test]
    fn text_and_digits_are_bytes() {
        assert_eq!(text("S S 1 g"), b"S S 1 g\r\n");
        assert_eq!(text("\\x02a\\\\\\r"), b"\x02a\\\r");
        assert_eq!(bytes("0x4 2 4d").unwrap(), [0x42, 0x4d]);
        assert!(bytes("4").is_err() && bytes("").is_err());
    }
}
