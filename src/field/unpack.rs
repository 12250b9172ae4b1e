//! What lies between the bytes of a frame and those that its fields count: undone on the way up, done again on
//! the way down.

use super::cipher::decipher;
use super::config::{Cipher, Decipher, Escape, Septets, Unpack};
use data_encoding::{BASE64, BASE64_NOPAD, HEXUPPER, HEXUPPER_PERMISSIVE};
use std::borrow::Cow;

/// No more than this is filled up with zeros, in bytes.
const PAD_MAX: usize = 4096;

/// Undoes the steps in order; None: the bytes are not what a step asks for.
pub(crate) fn undo<'a>(steps: &[Unpack], bytes: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut bytes = bytes;
    for step in steps {
        bytes = undo_one(step, bytes)?;
    }
    Some(bytes)
}

fn undo_one<'a>(step: &Unpack, bytes: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
    let each =
        |change: &dyn Fn(u8) -> u8| -> Cow<'a, [u8]> { bytes.iter().map(|byte| change(*byte)).collect() };
    Some(match step {
        Unpack::Invert => each(&|byte| !byte),
        Unpack::Add(add) => each(&|byte| byte.wrapping_add(*add)),
        Unpack::Subtract(add) => each(&|byte| byte.wrapping_sub(*add)),
        Unpack::SwapNibbles => each(&|byte| byte.rotate_left(4)),
        Unpack::ReverseBits => each(&u8::reverse_bits),
        Unpack::KeepBits(bits) => {
            let mask = 0xffu8
                .checked_shr(8u32.saturating_sub((*bits).into()))
                .unwrap_or(0);
            each(&|byte| byte & mask)
        }
        Unpack::Xor(key) => xor(key, &bytes).into(),
        Unpack::Reverse => bytes.iter().rev().copied().collect(),
        Unpack::Hex => {
            let digits: Vec<u8> = bytes
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            HEXUPPER_PERMISSIVE.decode(&digits).ok()?.into()
        }
        Unpack::Base64 => {
            let letters = bytes.trim_ascii();
            let padded = letters.len().is_multiple_of(4);
            let encoding = if padded { BASE64 } else { BASE64_NOPAD };
            encoding.decode(letters).ok()?.into()
        }
        Unpack::Undouble(doubled) => undouble(*doubled, &bytes)?.into(),
        Unpack::Escape(escape) => unescape(escape, &bytes)?.into(),
        Unpack::Septets(septets) => unseptet(septets, &bytes)?.into(),
        Unpack::Map(pairs) => each(&|byte| {
            let known = pairs.iter().find(|pair| pair.0.0 == byte);
            known.map_or(byte, |pair| pair.1.0)
        }),
        Unpack::JoinBits(bits) => join(bytes.iter().copied(), (*bits).into()).into(),
        Unpack::Sixbit => sixbit(&bytes)?.into(),
        Unpack::Decipher(Decipher {
            cipher: Cipher::Dlms,
            keys,
        }) => decipher(keys, &bytes)?.into(),
        Unpack::Pad(length) => {
            let length = usize::from(*length).min(PAD_MAX);
            match bytes.len() < length {
                true => {
                    let mut bytes = bytes.into_owned();
                    bytes.resize(length, 0);
                    bytes.into()
                }
                false => bytes,
            }
        }
        Unpack::Drop(count) => {
            let many = usize::from(count.unsigned_abs());
            let left = bytes.len().checked_sub(many)?;
            match (bytes, *count > 0) {
                (Cow::Borrowed(bytes), true) => Cow::Borrowed(&bytes[many..]),
                (Cow::Borrowed(bytes), false) => Cow::Borrowed(&bytes[..left]),
                (Cow::Owned(bytes), true) => bytes[many..].to_vec().into(),
                (Cow::Owned(mut bytes), false) => {
                    bytes.truncate(left);
                    bytes.into()
                }
            }
        }
    })
}

/// Does the steps again, the last one first; None: a step can't be done, because it has dropped something.
pub(crate) fn redo(steps: &[Unpack], mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for step in steps.iter().rev() {
        bytes = match step {
            Unpack::Invert | Unpack::SwapNibbles | Unpack::ReverseBits | Unpack::Reverse | Unpack::Xor(_) => {
                undo_one(step, bytes.into())?.into_owned()
            }
            Unpack::Add(add) => undo_one(&Unpack::Subtract(*add), bytes.into())?.into_owned(),
            Unpack::Subtract(add) => undo_one(&Unpack::Add(*add), bytes.into())?.into_owned(),
            Unpack::KeepBits(_) => bytes,
            Unpack::Hex => HEXUPPER.encode(&bytes).into_bytes(),
            Unpack::Base64 => BASE64.encode(&bytes).into_bytes(),
            Unpack::Undouble(doubled) => bytes
                .iter()
                .flat_map(|byte| std::iter::repeat_n(*byte, if byte == doubled { 2 } else { 1 }))
                .collect(),
            Unpack::Escape(escape) => reescape(escape, &bytes),
            Unpack::Map(pairs) => {
                let back = |byte: u8| {
                    pairs
                        .iter()
                        .find(|pair| pair.1.0 == byte)
                        .map_or(byte, |pair| pair.0.0)
                };
                bytes.into_iter().map(back).collect()
            }
            Unpack::JoinBits(bits) => split(&bytes, (*bits).into()),
            // They may be sent, too.
            Unpack::Pad(_) => bytes,
            Unpack::Septets(_) | Unpack::Drop(_) | Unpack::Sixbit | Unpack::Decipher(_) => return None,
        };
    }
    Some(bytes)
}

/// ITU-R M.1371, as in NMEA 0183: `0` to `W` are 0 to 39, "`" to `w` are 40 to 63.
fn sixbit(characters: &[u8]) -> Option<Vec<u8>> {
    let six = |character: &u8| match character {
        b'0'..=b'W' => Some(character - b'0'),
        b'`'..=b'w' => Some(character - b'`' + 40),
        _ => None,
    };
    let groups: Option<Vec<u8>> = characters.iter().map(six).collect();
    Some(join(groups?.into_iter(), 6))
}

/// The lower bits of each, one behind the other.
fn join(groups: impl Iterator<Item = u8>, bits: u32) -> Vec<u8> {
    let bits = bits.clamp(1, 8);
    let mut out = Vec::with_capacity(groups.size_hint().0);
    let (mut held, mut count) = (0u32, 0);
    for group in groups {
        held = held << bits | u32::from(group) & ((1 << bits) - 1);
        count += bits;
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
            held &= (1 << count) - 1;
        }
    }
    if count > 0 {
        out.push((held << (8 - count)) as u8);
    }
    out
}

/// The other way: so many bits to a byte.
fn split(bytes: &[u8], bits: u32) -> Vec<u8> {
    let bits = bits.clamp(1, 8) as usize;
    let all = 8 * bytes.len();
    (0..all.div_ceil(bits))
        .map(|n| {
            let count = bits.min(all - n * bits);
            (super::number::bits(bytes, n * bits, count, false) << (bits - count)) as u8
        })
        .collect()
}

fn xor(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    if key.is_empty() {
        return bytes.to_vec();
    }
    bytes
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect()
}

fn undouble(doubled: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == doubled && rest.next() != Some(&doubled) {
            return None;
        }
        out.push(*byte);
    }
    Some(out)
}

fn unescape(escape: &Escape, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte != escape.byte {
            out.push(*byte);
            continue;
        }
        let code = *rest.next()?;
        if escape.map.is_empty() {
            out.push(code ^ escape.xor);
        } else {
            let [_, meant] = escape.map.iter().find(|[from, _]| *from == code)?;
            out.push(*meant);
        }
    }
    Some(out)
}

fn reescape(escape: &Escape, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match escape.map.iter().find(|[_, meant]| meant == byte) {
            Some([code, _]) => out.extend([escape.byte, *code]),
            None if *byte == escape.byte => out.extend([escape.byte, byte ^ escape.xor]),
            None => out.push(*byte),
        }
    }
    out
}

fn unseptet(septets: &Septets, bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = bytes.split_at_checked(septets.from.into())?;
    let (size, tail) = (usize::from(septets.size.clamp(1, 7)), usize::from(septets.tail));
    let group = size + 1 + tail;
    if !body.len().is_multiple_of(group) {
        return None;
    }
    let mut out = head.to_vec();
    for group in body.chunks_exact(group) {
        let (data, high) = match septets.first {
            true => (&group[1..=size], group[0]),
            false => (&group[..size], group[size]),
        };
        let set = |(n, byte): (usize, &u8)| byte | (high >> n & 1) << 7;
        out.extend(data.iter().enumerate().map(set));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::config::Unpacks;
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Held {
        unpack: Unpacks,
    }

    fn steps(text: &str) -> Vec<Unpack> {
        let held: Held = toml::from_str(&format!("unpack = {text}")).unwrap();
        held.unpack.0
    }

    fn undone(text: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        undo(&steps(text), bytes.into()).map(Cow::into_owned)
    }

    #[test]
    fn each_step() {
        for (text, bytes, wanted) in [
            ("'invert'", &b"\x0f\xff"[..], &b"\xf0\x00"[..]),
            ("{ subtract = 0x33 }", b"\x34\x32", b"\x01\xff"),
            ("{ xor = [1, 2] }", b"\x00\x00\x00", b"\x01\x02\x01"),
            ("'hex'", b"0A 1f", b"\x0a\x1f"),
            ("'base64'", b"/0E=", b"\xffA"),
            ("'swap-nibbles'", b"\x12", b"\x21"),
            ("'reverse-bits'", b"\x01", b"\x80"),
            ("'reverse'", b"abc", b"cba"),
            ("{ keep-bits = 7 }", b"\xc1", b"\x41"),
            ("{ undouble = 0x10 }", b"\x10\x10a", b"\x10a"),
            ("{ escape = { byte = 0x1b, xor = 0xff } }", b"\x1b\x7fa", b"\x80a"),
            (
                "{ escape = { byte = 0xdb, map = [[0xdc, 0xc0], [0xdd, 0xdb]] } }",
                b"\xdb\xdc\xdb\xdd",
                b"\xc0\xdb",
            ),
            (
                "{ septets = { size = 4, tail = 1 } }",
                b"\x34\x37\x00\x1d\x01\x00",
                b"\xb4\x37\x00\x1d",
            ),
            ("[{ drop = 1 }, { drop = -1 }, 'reverse']", b"abcd", b"cb"),
            ("{ map = [[0xdf, 0xb0], [0x3f, '0']] }", b"\xdf\x3fx", b"\xb00x"),
            ("{ join-bits = 4 }", b"\x11\x22\x37\x48", b"\x12\x78"),
            ("{ join-bits = 7 }", b"\x7f\x01", b"\xfe\x04"),
            ("'sixbit'", b"0W`w", b"\x02\x7a\x3f"),
            ("'sixbit'", b"wwwww", b"\xff\xff\xff\xfc"),
        ] {
            assert_eq!(undone(text, bytes).as_deref(), Some(wanted), "{text}");
        }
        for (text, bytes) in [
            ("'hex'", &b"0"[..]),
            ("'hex'", b"0g"),
            ("{ undouble = 0x10 }", b"a\x10"),
            ("{ escape = { byte = 0xdb, map = [[0xdc, 0xc0]] } }", b"\xdb\x00"),
            ("{ septets = { size = 4 } }", b"abc"),
            ("{ drop = 2 }", b"a"),
            ("'sixbit'", b"0X"),
        ] {
            assert_eq!(undone(text, bytes), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_done_again_is_undone(bytes: Vec<u8>, n in 0usize..11) {
            let text = [
                "'invert'", "{ subtract = 0x33 }", "{ xor = [1, 2, 3] }", "'hex'", "['base64', 'reverse']",
                "'swap-nibbles'", "{ undouble = 0x10 }", "{ escape = { byte = 0x1b, xor = 0xff } }",
                "{ escape = { byte = 0xdb, map = [[0xdc, 0xc0], [0xdd, 0xdb]] } }",
                "{ join-bits = 4 }", "{ map = [[1, 2], [2, 3], [3, 1]] }",
            ][n];
            let steps = steps(text);
            let wire = redo(&steps, bytes.clone()).unwrap();
            prop_assert_eq!(undo(&steps, wire.into()).unwrap().into_owned(), bytes);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>, from: u16, size: u8, tail: u8, first: bool, drop: i16) {
            let septets = Septets { from, size, first, tail };
            undo(&[Unpack::Septets(septets), Unpack::Drop(drop), Unpack::KeepBits(size), Unpack::Hex], bytes.into());
        }
    }
}
