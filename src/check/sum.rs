//! Checks that add or XOR: simple sums, NMEA's XOR, Fletcher's and Adler's.

use super::algorithm::{Entry, Kind, Order};
use super::own::OwnSum;
use schemars::JsonSchema;
use serde::Deserialize;

/// A check that is no CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// The sum of the bytes, cut to so many bits.
    Bytes(u32, Finish),
    /// The sum of 16-bit words, high byte first, cut to 16 bits; a last odd byte is a high byte.
    Words,
    /// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.
    Internet,
    /// The XOR of the bytes.
    Xor8,
    /// The XOR of 16-bit words, low byte first; a last odd byte is a low byte.
    Xor16,
    /// `(sum & 0x3f) + 0x20`: the printable character that ends a group of Enedis' TIC (Linky).
    Teleinfo,
    /// Two 8-bit sums modulo 256: what u-blox calls the 8-bit Fletcher algorithm (CK_A, CK_B).
    Fletcher8,
    /// Two 8-bit sums modulo 255.
    Fletcher16,
    /// Two 16-bit sums of 16-bit words, low byte first, modulo 65535.
    Fletcher32,
    /// Adler-32 (RFC 1950).
    Adler32,
    /// The CRC of heaters on the eBUS: polynomial 0x9B, each byte combined behind the shift (eBUS specification, layer 2).
    Ebus,
    /// The check of Buderus' and Bosch's EMS: one shift by the polynomial 0x19, then the byte combined.
    Ems,
    /// The CRC of SICK's laser scanners: at each byte one shift by 0x8005, then the byte and the one before it combined
    /// (telegram listing LMS2xx, section 5).
    Sick,
    /// By a rule of its own.
    Own(&'static OwnSum),
}

/// What is sent of a sum.
#[derive(Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The sum itself.
    #[default]
    Plain,
    /// Its two's complement: with it, everything adds up to 0.
    Negated,
    /// Its one's complement.
    Complemented,
}

use Finish::{Complemented, Negated, Plain};

macro_rules! sums {
    ($($name:literal $sum:expr,)*) => {
        &[$(Entry { name: $name, kind: Kind::Sum($sum) },)*]
    };
}

/// Every sum by its name.
pub(super) static SUMS: &[Entry] = sums! {
    "sum7" Sum::Bytes(7, Plain),
    "sum7-negated" Sum::Bytes(7, Negated),
    "sum7-complemented" Sum::Bytes(7, Complemented),
    "sum8" Sum::Bytes(8, Plain),
    "sum8-negated" Sum::Bytes(8, Negated),
    "sum8-complemented" Sum::Bytes(8, Complemented),
    "sum15" Sum::Bytes(15, Plain),
    "sum16" Sum::Bytes(16, Plain),
    "sum16-negated" Sum::Bytes(16, Negated),
    "sum16-complemented" Sum::Bytes(16, Complemented),
    "sum24" Sum::Bytes(24, Plain),
    "sum32" Sum::Bytes(32, Plain),
    "sum32-negated" Sum::Bytes(32, Negated),
    "sum32-complemented" Sum::Bytes(32, Complemented),
    "sum16-words" Sum::Words,
    "internet" Sum::Internet,
    "xor8" Sum::Xor8,
    "xor16" Sum::Xor16,
    "teleinfo" Sum::Teleinfo,
    "fletcher8" Sum::Fletcher8,
    "fletcher16" Sum::Fletcher16,
    "fletcher32" Sum::Fletcher32,
    "adler32" Sum::Adler32,
    "ebus" Sum::Ebus,
    "ems" Sum::Ems,
    "sick" Sum::Sick,
};

impl Sum {
    /// How many bits the value has.
    pub(super) fn bits(self) -> u32 {
        match self {
            Sum::Bytes(bits, _) => bits,
            Sum::Xor8 | Sum::Teleinfo | Sum::Ebus | Sum::Ems => 8,
            Sum::Words | Sum::Internet | Sum::Xor16 | Sum::Fletcher8 | Sum::Fletcher16 | Sum::Sick => 16,
            Sum::Fletcher32 | Sum::Adler32 => 32,
            Sum::Own(own) => own.bits.into(),
        }
    }

    /// Whether the low byte goes first by custom: with Fletcher's that is the first sum.
    pub(super) fn low_byte_first(self) -> bool {
        matches!(
            self,
            Sum::Xor16 | Sum::Fletcher8 | Sum::Fletcher16 | Sum::Fletcher32 | Sum::Sick
        ) || matches!(
            self,
            Sum::Own(OwnSum {
                order: Some(Order::Little),
                ..
            })
        )
    }

    /// The value over the bytes.
    pub(super) fn compute(self, bytes: impl Iterator<Item = u8>) -> u32 {
        match self {
            Sum::Bytes(bits, finish) => {
                let sum = bytes.fold(0u32, |sum, byte| sum.wrapping_add(byte.into()));
                let sum = match finish {
                    Plain => sum,
                    Negated => sum.wrapping_neg(),
                    Complemented => !sum,
                };
                sum & (u32::MAX >> (32 - bits))
            }
            Sum::Words => words(bytes)
                .map(u16::from_be_bytes)
                .fold(0, u16::wrapping_add)
                .into(),
            Sum::Internet => {
                let sum = words(bytes).map(u16::from_be_bytes).fold(0u16, |sum, word| {
                    let (sum, carry) = sum.overflowing_add(word);
                    sum + u16::from(carry)
                });
                (!sum).into()
            }
            Sum::Xor8 => bytes.fold(0, |sum, byte| sum ^ byte).into(),
            Sum::Xor16 => words(bytes)
                .map(u16::from_le_bytes)
                .fold(0, |sum, word| sum ^ word)
                .into(),
            Sum::Teleinfo => {
                let sum = bytes.fold(0u8, |sum, byte| sum.wrapping_add(byte));
                u32::from(sum & 0x3f) + 0x20
            }
            Sum::Fletcher8 => fletcher(bytes.map(u32::from), 0, 256, 8),
            Sum::Fletcher16 => fletcher(bytes.map(u32::from), 0, 255, 8),
            Sum::Fletcher32 => fletcher(words(bytes).map(|w| u16::from_le_bytes(w).into()), 0, 65_535, 16),
            Sum::Adler32 => fletcher(bytes.map(u32::from), 1, 65_521, 16),
            Sum::Ebus => bytes.fold(0, |crc, byte| shifted(crc, 0x9b, 8) ^ byte).into(),
            Sum::Ems => bytes.fold(0, |crc, byte| shifted(crc, 0x19, 1) ^ byte).into(),
            Sum::Sick => {
                let (crc, _) = bytes.fold((0u16, 0u8), |(crc, before), byte| {
                    let carry = if crc & 0x8000 != 0 { 0x8005 } else { 0 };
                    (crc << 1 ^ carry ^ u16::from_le_bytes([byte, before]), byte)
                });
                crc.into()
            }
            Sum::Own(own) => own.compute(bytes),
        }
    }
}

/// A register moved up so many bits, as polynomials are divided.
fn shifted(register: u8, poly: u8, bits: u32) -> u8 {
    (0..bits).fold(register, |register, _| {
        let carry = if register & 0x80 != 0 { poly } else { 0 };
        register << 1 ^ carry
    })
}

/// Pairs of bytes, the last one filled with a zero.
fn words(mut bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = [u8; 2]> {
    std::iter::from_fn(move || {
        let first = bytes.next()?;
        Some([first, bytes.next().unwrap_or(0)])
    })
}

/// A sum, and the sum of that sum at each step above it.
fn fletcher(items: impl Iterator<Item = u32>, start: u32, modulus: u32, shift: u32) -> u32 {
    let (low, high) = items.fold((start, 0), |(low, high), item| {
        let low = (low + item) % modulus;
        (low, (high + low) % modulus)
    });
    high << shift | low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Algorithm;

    fn value(name: &str, bytes: &[u8]) -> u32 {
        match Algorithm::parse(name).unwrap().kind() {
            Kind::Sum(sum) => sum.compute(bytes.iter().copied()),
            _ => panic!("{name} is a CRC"),
        }
    }

    #[test]
    fn sums_over_the_catalogues_check_text() {
        // The sum of "123456789" is 477 = 0x1dd.
        for (name, check) in [
            ("sum7", 0x5d),
            ("sum7-negated", 0x23),
            ("sum7-complemented", 0x22),
            ("sum8", 0xdd),
            ("sum8-negated", 0x23),
            ("sum8-complemented", 0x22),
            ("sum15", 0x01dd),
            ("sum16", 0x01dd),
            ("sum16-negated", 0xfe23),
            ("sum16-complemented", 0xfe22),
            ("sum24", 0x01dd),
            ("sum32", 0x01dd),
            ("sum32-negated", 0xffff_fe23),
            ("sum32-complemented", 0xffff_fe22),
            ("xor8", 0x31),
            ("adler32", 0x091e_01de),
        ] {
            assert_eq!(value(name, b"123456789"), check, "{name}");
        }
    }

    #[test]
    fn fletchers_sums_give_the_published_values() {
        assert_eq!(value("fletcher16", b"abcde"), 0xc8f0);
        assert_eq!(value("fletcher16", b"abcdef"), 0x2057);
        assert_eq!(value("fletcher16", b"abcdefgh"), 0x0627);
        assert_eq!(value("fletcher32", b"abcde"), 0xf04f_c729);
        assert_eq!(value("fletcher32", b"abcdef"), 0x5650_2d2a);
        assert_eq!(value("fletcher32", b"abcdefgh"), 0xebe1_9591);
        assert_eq!(value("adler32", b"Wikipedia"), 0x11e6_0398);
    }

    /// eBUS: the symbols of ebusd's test_symbol.cpp, as they are on the wire. EMS: the 129th entry of the table that all
    /// programs for it have is 0x19. SICK: the request of the status in the telegram listing, 02 00 01 00 31 15 12.
    #[test]
    fn remainders_that_are_no_usual_crc() {
        let wire = b"\x10\xfe\xb5\x05\x04\x27\xa9\x00\x15\xa9\x01";
        assert_eq!(value("ebus", wire), 0x77);
        assert_eq!(value("ems", &[0x80, 0x00]), 0x19);
        assert_eq!(value("ems", &[0x01, 0x02]), 0x00);
        assert_eq!(value("sick", b"\x02\x00\x01\x00\x31"), 0x1215);
    }

    #[test]
    fn word_sums() {
        // RFC 1071, section 3: the sum of these is 0xddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(value("internet", &bytes), u32::from(!0xddf2u16));
        assert_eq!(value("sum16-words", &bytes), 0xddf0);
        assert_eq!(value("sum16-words", &[0x12, 0x34, 0x56]), 0x6834);
        assert_eq!(value("xor16", &[0x12, 0x34, 0x56]), 0x3444);
        assert_eq!(value("xor16", &[]), 0);
    }
}
