//! How long a Modbus frame is, as its first bytes say it: Modbus application protocol V1.1b3, section 6.

/// What the bytes of a frame, from the address on, say about its length without the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lengths {
    /// The possible lengths, the smaller first: a request and a reply of one function differ.
    pub(super) known: [Option<usize>; 2],
    /// More bytes may still show another one, or that it is none of them.
    pub(super) more: bool,
    /// It may also be any other: only silence tells.
    pub(super) any: bool,
}

/// The most bytes that a frame has behind its function and a count.
const LIST_MAX: u8 = 252;
/// The most bits, and the most registers, that can be asked for (sections 6.1 and 6.3).
const BITS_MAX: u16 = 2000;
const REGISTERS_MAX: u16 = 125;
/// Where the count stands in a request to write: behind address, function, place and number.
const WRITE: usize = 6;
/// The same in a request to read and write, which has two places and numbers.
const READ_WRITE: usize = 10;

/// How long a frame may be that begins with `bytes`, whether it is a request or a reply.
pub(super) fn lengths(bytes: &[u8]) -> Lengths {
    let Some(&function) = bytes.get(1) else {
        return Lengths::new([Part::Later, Part::Never]);
    };
    match function {
        // Read: a request has place and number, a reply a count and the list.
        0x01 | 0x02 => Lengths::new([asked(bytes, BITS_MAX), counted(bytes, 2, 1)]),
        0x03 | 0x04 => Lengths::new([asked(bytes, REGISTERS_MAX), words(bytes, 2)]),
        // Write one: request and reply have the same form.
        0x05 | 0x06 => Lengths::new([Part::Of(6), Part::Never]),
        // Exception status, and the counter of events.
        0x07 => Lengths::new([Part::Of(2), Part::Of(3)]),
        0x0b => Lengths::new([Part::Of(2), Part::Of(6)]),
        // Diagnostics: both the same, and with sub-function 0 as long as the master likes.
        0x08 => Lengths {
            any: true,
            ..Lengths::new([Part::Of(6), Part::Never])
        },
        // The log of events, the server's own word.
        0x0c | 0x11 => Lengths::new([Part::Of(2), counted(bytes, 2, 0)]),
        // Write several: the reply says place and number.
        0x0f => Lengths::new([Part::Of(6), counted(bytes, WRITE, 1)]),
        0x10 => Lengths::new([Part::Of(6), words(bytes, WRITE)]),
        // Records of files: both have a count.
        0x14 | 0x15 => Lengths::new([counted(bytes, 2, 0), Part::Never]),
        0x16 => Lengths::new([Part::Of(8), Part::Never]),
        0x17 => Lengths::new([words(bytes, 2), words(bytes, READ_WRITE)]),
        // A queue: the reply counts in two bytes.
        0x18 => Lengths::new([Part::Of(4), queue(bytes)]),
        0x2b => identification(bytes),
        // An exception: the function with its highest bit, and a reason.
        0x81..=0xff => Lengths::new([Part::Of(3), Part::Never]),
        _ => Lengths::ANY,
    }
}

impl Lengths {
    const ANY: Lengths = Lengths {
        known: [None; 2],
        more: false,
        any: true,
    };

    fn new(parts: [Part; 2]) -> Lengths {
        let mut known = parts.map(|part| match part {
            Part::Of(length) | Part::Perhaps(length) => Some(length),
            Part::Later | Part::Never => None,
        });
        if known[0].is_none() || known[1].is_some_and(|two| known[0] > Some(two)) {
            known.swap(0, 1);
        }
        Lengths {
            known,
            more: parts
                .iter()
                .any(|part| matches!(part, Part::Later | Part::Perhaps(_))),
            any: false,
        }
    }
}

/// One of the two possible lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Of(usize),
    /// It is so long if what is still to come does not deny that it is such a frame.
    Perhaps(usize),
    /// It can't be said yet. It is longer than what has come.
    Later,
    /// It is not such a frame.
    Never,
}

/// A request for so many bits or registers.
fn asked(bytes: &[u8], most: u16) -> Part {
    match bytes.get(4..6) {
        Some(&[high, low]) if u16::from_be_bytes([high, low]) > most => Part::Never,
        Some(_) => Part::Of(6),
        None => Part::Perhaps(6),
    }
}

/// A count of bytes at this place, and so many bytes.
fn counted(bytes: &[u8], at: usize, least: u8) -> Part {
    match bytes.get(at) {
        None => Part::Later,
        Some(&count) if count < least || count > LIST_MAX => Part::Never,
        Some(&count) => Part::Of(at + 1 + usize::from(count)),
    }
}

/// The same of registers.
fn words(bytes: &[u8], at: usize) -> Part {
    match bytes.get(at) {
        Some(count) if count % 2 == 1 => Part::Never,
        _ => counted(bytes, at, 2),
    }
}

/// Up to 31 registers and their number, counted in two bytes (section 6.18).
fn queue(bytes: &[u8]) -> Part {
    match bytes.get(2..4) {
        None => Part::Later,
        Some(&[0, count @ 2..=64]) => Part::Of(4 + usize::from(count)),
        Some(_) => Part::Never,
    }
}

/// Identification (function 43, type 14): a list of objects, each with its length.
fn identification(bytes: &[u8]) -> Lengths {
    match bytes.get(2) {
        None => return Lengths::new([Part::Later, Part::Never]),
        Some(0x0e) => {}
        Some(_) => return Lengths::ANY,
    }
    let reply = || {
        let objects = *bytes.get(7)?;
        let mut end = 8;
        for _ in 0..objects {
            end += 2 + usize::from(*bytes.get(end + 1)?);
        }
        Some(end)
    };
    Lengths::new([Part::Of(5), reply().map_or(Part::Later, Part::Of)])
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::hex;
    use super::*;

    fn known(text: &str) -> (Vec<usize>, bool) {
        let lengths = lengths(&hex(text));
        assert!(!lengths.any || text.starts_with("0108"), "{text}");
        (lengths.known.into_iter().flatten().collect(), lengths.more)
    }

    #[test]
    fn every_function_of_the_specification() {
        let sure =
            |text: &str, lengths: &[usize]| assert_eq!(known(text), (lengths.to_vec(), false), "{text}");
        let open =
            |text: &str, lengths: &[usize]| assert_eq!(known(text), (lengths.to_vec(), true), "{text}");
        open("0103", &[6]);
        open("010302", &[5, 6]);
        open("010304", &[6, 7]);
        open("010300", &[6]);
        open("010303", &[6]);
        open("010103", &[6, 6]);
        sure("01030443663333", &[7]);
        sure("010302436600", &[5]);
        sure("010300070002", &[6]);
        sure("0105", &[6]);
        sure("010600010003", &[6]);
        sure("0107", &[2, 3]);
        sure("0108", &[6]);
        sure("010b", &[2, 6]);
        sure("010c08", &[2, 11]);
        open("0111", &[2]);
        sure("011103", &[2, 6]);
        open("010f0013000a", &[6]);
        sure("010f0013000a02", &[6, 9]);
        sure("01100001000204", &[6, 11]);
        sure("01100001000205", &[6]);
        open("0114", &[]);
        sure("01140c", &[15]);
        sure("01150d", &[16]);
        sure("0114fd", &[]);
        sure("0116", &[8]);
        open("01170c", &[15]);
        sure("011700030006000e000306", &[17]);
        sure("01170c030006000e000306", &[15, 17]);
        open("011801", &[4]);
        sure("011804de", &[4]);
        sure("01180006", &[4, 10]);
        open("012b", &[]);
        open("012b0e0100", &[5]);
        open("012b0e010100000200", &[5]);
        sure("012b0e0101000002000141010142", &[5, 14]);
        sure("0183", &[3]);
    }

    #[test]
    fn only_silence_tells_of_others() {
        for text in ["0142", "012b0d", "0100"] {
            assert_eq!(lengths(&hex(text)), Lengths::ANY, "{text}");
        }
        assert!(lengths(&[]).more && lengths(&[1]).more);
    }
}
