//! What a device answers: which reply belongs to which request, and what it says.

use super::{Area, Exception, Request, Table};

/// A reply to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// What was read.
    Values(Area, &'a [u8]),
    /// What was to be written is.
    Done,
    /// The device says no.
    Refused(Exception),
    /// To a function that is not known here: its data.
    Other(&'a [u8]),
}

/// What a kind of frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// What was read of a table.
    Read(Table),
    /// That something was written.
    Done,
    /// That the device says no.
    Refused,
    /// Whatever was asked for.
    Any,
}

impl Said {
    /// Whether a frame is that, as the reply to this request. A refusal can be known without its request.
    pub(crate) fn fits(self, request: Option<&[u8]>, reply: &[u8]) -> bool {
        let Some(request) = request else {
            return self == Said::Refused;
        };
        match (self, Answer::of(request, reply)) {
            (Said::Read(table), Some(Answer::Values(area, _))) => area.table == table,
            (Said::Done, Some(Answer::Done)) | (Said::Refused, Some(Answer::Refused(_))) => true,
            (Said::Any, answer) => answer.is_some(),
            _ => false,
        }
    }
}

impl<'a> Answer<'a> {
    /// What a frame says as the reply to a request, both with their addresses; the request may have its check
    /// behind it, and may be in the digits of Modbus ASCII. `None`: it is no reply to it.
    pub(crate) fn of(request: &[u8], reply: &'a [u8]) -> Option<Answer<'a>> {
        let digits;
        let request = match request.first() {
            Some(b':') => {
                digits = undigit(request)?;
                &digits[..]
            }
            _ => request,
        };
        let (&[asked, function], &[answers, code]) = (request.first_chunk::<2>()?, reply.first_chunk::<2>()?);
        if asked != answers || code & 0x7f != function & 0x7f {
            return None;
        }
        let data = &reply[2..];
        if code & 0x80 != 0 {
            return match data {
                &[why] => Some(Answer::Refused(Exception(why))),
                _ => None,
            };
        }
        let asked = match Request::begin(&request[1..]) {
            Ok((asked, _)) => asked,
            Err(Exception::FUNCTION) => return Some(Answer::Other(data)),
            Err(_) => return None,
        };
        // A write is answered by its first bytes, a mask by all of it.
        let echoed = |len: usize| (reply.get(1..)? == request.get(1..1 + len)?).then_some(Answer::Done);
        let Some(area) = asked.area() else {
            return echoed(if matches!(asked, Request::Mask { .. }) {
                7
            } else {
                5
            });
        };
        let (&count, values) = data.split_first()?;
        let fits = usize::from(count) == values.len() && values.len() == area.bytes();
        fits.then_some(Answer::Values(area, values))
    }

    /// What was read, as the fields of a profile count it: address and number, two bytes each, then two bytes for
    /// a register and one for a bit.
    pub(crate) fn laid_out(&self) -> Option<Vec<u8>> {
        let Answer::Values(area, values) = self else {
            return None;
        };
        let mut out = Vec::with_capacity(LEAD + values.len());
        out.extend(area.first.to_be_bytes());
        out.extend(area.count.to_be_bytes());
        if area.table.is_bits() {
            let bit = |n: usize| values.get(n / 8).map_or(0, |byte| byte >> (n % 8) & 1);
            out.extend((0..usize::from(area.count)).map(bit));
        } else {
            out.extend_from_slice(values);
        }
        Some(out)
    }
}

/// How many bytes stand before the values when they are laid out.
pub(crate) const LEAD: usize = 4;

/// The bytes of a frame in digits.
fn undigit(frame: &[u8]) -> Option<Vec<u8>> {
    let digits = frame.strip_prefix(b":")?.trim_ascii_end();
    data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VOLTAGE: &[u8] = &[1, 4, 0, 0, 0, 2];

    #[test]
    fn a_reply_belongs_to_its_request() {
        let area = Area {
            table: Table::Input,
            first: 0,
            count: 2,
        };
        let reply = [1, 4, 4, 0x43, 0x66, 0x33, 0x34];
        assert_eq!(
            Answer::of(VOLTAGE, &reply),
            Some(Answer::Values(area, &reply[3..]))
        );
        assert_eq!(
            Answer::of(b":010400000002F9\r\n", &reply),
            Some(Answer::Values(area, &reply[3..]))
        );
        let with_check = [VOLTAGE, &[0x71, 0xcb]].concat();
        assert!(Answer::of(&with_check, &reply).is_some());
        assert_eq!(
            Answer::of(VOLTAGE, &[1, 0x84, 2]),
            Some(Answer::Refused(Exception::ADDRESS))
        );
        for other in [
            &[2, 4, 4, 0, 0, 0, 0][..],
            &[1, 3, 4, 0, 0, 0, 0],
            &[1, 4, 2, 0, 0],
            &[1, 4, 4, 0, 0, 0],
            &[1, 0x83, 2],
            &[1, 0x84],
            VOLTAGE,
            &[],
        ] {
            assert_eq!(Answer::of(VOLTAGE, other), None, "{other:02x?}");
        }
    }

    #[test]
    fn a_write_is_answered_by_itself() {
        let done = |request: &[u8], reply: &[u8]| Answer::of(request, reply) == Some(Answer::Done);
        assert!(done(&[1, 6, 0, 1, 0, 3], &[1, 6, 0, 1, 0, 3]));
        assert!(!done(&[1, 6, 0, 1, 0, 3], &[1, 6, 0, 1, 0, 4]));
        assert!(done(&[1, 16, 0, 1, 0, 2, 4, 0, 10, 1, 2], &[1, 16, 0, 1, 0, 2]));
        assert!(done(
            &[1, 22, 0, 4, 0, 0xf2, 0, 0x25],
            &[1, 22, 0, 4, 0, 0xf2, 0, 0x25]
        ));
        assert!(!done(&[1, 22, 0, 4, 0, 0xf2, 0, 0x25], &[1, 22, 0, 4, 0, 0xf2]));
    }

    #[test]
    fn any_function_can_be_asked() {
        assert_eq!(Answer::of(&[1, 0x42], &[1, 0x42]), Some(Answer::Other(&[])));
        assert_eq!(
            Answer::of(&[1, 0x11], &[1, 0x11, 1, 2]),
            Some(Answer::Other(&[1, 2]))
        );
        assert_eq!(Answer::of(&[1, 0x11], &[1, 0x12, 1, 2]), None);
        assert!(Said::Any.fits(Some(&[1, 0x11]), &[1, 0x11, 1, 2]));
        assert!(!Said::Any.fits(Some(VOLTAGE), VOLTAGE));
        assert!(Said::Refused.fits(None, &[1, 0x83, 2]) && !Said::Refused.fits(Some(VOLTAGE), &[1, 0x83, 2]));
    }

    #[test]
    fn bits_become_bytes() {
        // Section 6.1: coils 20 to 38.
        let request = [0x11, 1, 0, 0x13, 0, 0x13];
        let bytes = Answer::of(&request, &[0x11, 1, 3, 0xcd, 0x6b, 5])
            .unwrap()
            .laid_out()
            .unwrap();
        assert_eq!(bytes[..4], [0, 0x13, 0, 0x13]);
        let bits = [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1];
        assert_eq!(bytes[4..], bits);
    }

    proptest! {
        #[test]
        fn never_panics(request in proptest::collection::vec(any::<u8>(), 0..30), reply in proptest::collection::vec(any::<u8>(), 0..30)) {
            if let Some(answer) = Answer::of(&request, &reply) {
                let _ = answer.laid_out();
            }
        }
    }
}
