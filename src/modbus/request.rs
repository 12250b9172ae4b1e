//! What is asked of a device.

use super::{Area, Exception, READ_WRITE_MAX, Table, WRITE_BITS_MAX, WRITE_REGISTERS_MAX};

/// A request's function and its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Functions 1 to 4.
    Read(Area),
    /// Function 5.
    WriteCoil { at: u16, on: bool },
    /// Function 6.
    WriteRegister { at: u16, value: u16 },
    /// Function 15: the bits, the first in the lowest bit of the first byte.
    WriteCoils { area: Area, bits: &'a [u8] },
    /// Function 16.
    WriteRegisters { area: Area, words: &'a [u8] },
    /// Function 22.
    Mask { at: u16, and: u16, or: u16 },
    /// Function 23: writes first, and reads then.
    ReadWrite {
        read: Area,
        write: Area,
        words: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// Reads function and data; gives what a device answers that can't do it. Nothing may follow.
    pub(crate) fn parse(pdu: &'a [u8]) -> Result<Request<'a>, Exception> {
        match Request::begin(pdu)? {
            (request, used) if used == pdu.len() => Ok(request),
            _ => Err(Exception::VALUE),
        }
    }

    /// The same, and how many bytes it has; a check may follow.
    pub(crate) fn begin(pdu: &'a [u8]) -> Result<(Request<'a>, usize), Exception> {
        let (&function, data) = pdu.split_first().ok_or(Exception::FUNCTION)?;
        let word = |at: usize| match data.get(at..at + 2) {
            Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Exception::VALUE),
        };
        let list = |at: usize, bytes: usize| match data.get(at) {
            Some(&count) if usize::from(count) == bytes => {
                data.get(at + 1..at + 1 + bytes).ok_or(Exception::VALUE)
            }
            _ => Err(Exception::VALUE),
        };
        let area = |table, at, most: u16| {
            let area = Area {
                table,
                first: word(at)?,
                count: word(at + 2)?,
            };
            match area.count {
                0 => Err(Exception::VALUE),
                count if count > most => Err(Exception::VALUE),
                _ if area.end() > 0x1_0000 => Err(Exception::ADDRESS),
                _ => Ok(area),
            }
        };
        Ok(match function {
            1..=4 => {
                let table = Table::of(function).ok_or(Exception::FUNCTION)?;
                (Request::Read(area(table, 0, table.most())?), 5)
            }
            5 => match word(2)? {
                0xff00 => (
                    Request::WriteCoil {
                        at: word(0)?,
                        on: true,
                    },
                    5,
                ),
                0 => (
                    Request::WriteCoil {
                        at: word(0)?,
                        on: false,
                    },
                    5,
                ),
                _ => return Err(Exception::VALUE),
            },
            6 => {
                let (at, value) = (word(0)?, word(2)?);
                (Request::WriteRegister { at, value }, 5)
            }
            15 => {
                let area = area(Table::Coil, 0, WRITE_BITS_MAX)?;
                let bits = list(4, area.bytes())?;
                (Request::WriteCoils { area, bits }, 6 + bits.len())
            }
            16 => {
                let area = area(Table::Holding, 0, WRITE_REGISTERS_MAX)?;
                let words = list(4, area.bytes())?;
                (Request::WriteRegisters { area, words }, 6 + words.len())
            }
            22 => {
                let (at, and, or) = (word(0)?, word(2)?, word(4)?);
                (Request::Mask { at, and, or }, 7)
            }
            23 => {
                let read = area(Table::Holding, 0, Table::Holding.most())?;
                let write = area(Table::Holding, 4, READ_WRITE_MAX)?;
                let words = list(8, write.bytes())?;
                (Request::ReadWrite { read, write, words }, 10 + words.len())
            }
            _ => return Err(Exception::FUNCTION),
        })
    }

    /// What it reads.
    pub(crate) fn area(&self) -> Option<Area> {
        match self {
            Request::Read(area) | Request::ReadWrite { read: area, .. } => Some(*area),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area(table: Table, first: u16, count: u16) -> Area {
        Area { table, first, count }
    }

    /// The examples of the specification, sections 6.1 to 6.17.
    #[test]
    fn the_specifications_own_examples() {
        let parse = |pdu: &'static [u8]| Request::parse(pdu).unwrap();
        assert_eq!(
            parse(&[1, 0, 0x13, 0, 0x13]),
            Request::Read(area(Table::Coil, 0x13, 0x13))
        );
        assert_eq!(
            parse(&[2, 0, 0xc4, 0, 0x16]),
            Request::Read(area(Table::Discrete, 0xc4, 0x16))
        );
        assert_eq!(
            parse(&[3, 0, 0x6b, 0, 3]),
            Request::Read(area(Table::Holding, 0x6b, 3))
        );
        assert_eq!(parse(&[4, 0, 8, 0, 1]), Request::Read(area(Table::Input, 8, 1)));
        assert_eq!(
            parse(&[5, 0, 0xac, 0xff, 0]),
            Request::WriteCoil { at: 0xac, on: true }
        );
        assert_eq!(
            parse(&[6, 0, 1, 0, 3]),
            Request::WriteRegister { at: 1, value: 3 }
        );
        let bits = &[0xcd, 1];
        let coils = area(Table::Coil, 0x13, 10);
        assert_eq!(
            parse(&[15, 0, 0x13, 0, 10, 2, 0xcd, 1]),
            Request::WriteCoils { area: coils, bits }
        );
        let words = &[0, 10, 1, 2];
        let two = area(Table::Holding, 1, 2);
        assert_eq!(
            parse(&[16, 0, 1, 0, 2, 4, 0, 10, 1, 2]),
            Request::WriteRegisters { area: two, words }
        );
        assert_eq!(
            parse(&[22, 0, 4, 0, 0xf2, 0, 0x25]),
            Request::Mask {
                at: 4,
                and: 0xf2,
                or: 0x25
            }
        );
        let both = parse(&[23, 0, 3, 0, 6, 0, 14, 0, 3, 6, 0, 255, 0, 255, 0, 255]);
        assert_eq!(both.area(), Some(area(Table::Holding, 3, 6)));
    }

    #[test]
    fn what_cannot_be_done_has_its_reason() {
        let refused = |pdu: &[u8], why| assert_eq!(Request::parse(pdu), Err(why), "{pdu:02x?}");
        refused(&[], Exception::FUNCTION);
        refused(&[7], Exception::FUNCTION);
        refused(&[0x83, 2], Exception::FUNCTION);
        refused(&[3, 0, 0, 0, 0], Exception::VALUE);
        refused(&[3, 0, 0, 0, 126], Exception::VALUE);
        refused(&[1, 0, 0, 0x07, 0xd1], Exception::VALUE);
        refused(&[3, 0xff, 0xff, 0, 2], Exception::ADDRESS);
        refused(&[3, 0, 0, 0], Exception::VALUE);
        refused(&[3, 0, 0, 0, 1, 0], Exception::VALUE);
        refused(&[5, 0, 0, 0, 1], Exception::VALUE);
        refused(&[16, 0, 1, 0, 2, 3, 0, 10, 1], Exception::VALUE);
        refused(&[16, 0, 1, 0, 124, 248], Exception::VALUE);
    }

    proptest! {
        #[test]
        fn never_panics(pdu in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Request::parse(&pdu);
            if let Ok((_, used)) = Request::begin(&pdu) {
                prop_assert!(used <= pdu.len());
            }
        }
    }
}
