//! The checks of Modbus over serial line V1.02: the CRC of RTU frames (section 6.2.2), the LRC of ASCII frames
//! (section 6.2.1).

use super::super::Seal;
use std::ops::Range;

/// The CRC's polynomial, its bits turned round.
const POLYNOMIAL: u16 = 0xa001;

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

/// Two bytes at the end, the low one first.
pub(super) struct Crc;

impl Seal for Crc {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        let (data, sent) = content.split_last_chunk::<2>()?;
        (crc(data).to_le_bytes() == *sent).then_some(0..data.len())
    }
    fn len(&self) -> usize {
        2
    }
    fn close(&self, content: &mut Vec<u8>, start: usize) {
        content.extend_from_slice(&crc(&content[start..]).to_le_bytes());
    }
}

/// The byte that makes the sum of all nought.
pub(super) struct Lrc;

impl Seal for Lrc {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        let data = content.len().checked_sub(1)?;
        (sum(content) == 0).then_some(0..data)
    }
    fn len(&self) -> usize {
        1
    }
    fn close(&self, content: &mut Vec<u8>, start: usize) {
        content.push(sum(&content[start..]).wrapping_neg());
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same section's worked example, and the catalogue's check value.
    #[test]
    fn the_specifications_own_examples() {
        assert_eq!(crc(&[0x02, 0x07]), 0x1241);
        assert_eq!(crc(b"123456789"), 0x4b37);
        let mut bytes = vec![0x01, 0x04, 0x00, 0x00, 0x00, 0x02];
        Crc.close(&mut bytes, 0);
        assert_eq!(bytes[6..], [0x71, 0xcb]);
        assert_eq!(Crc.open(&bytes), Some(0..6));
        bytes[2] ^= 1;
        assert_eq!(Crc.open(&bytes), None);
        assert_eq!(Crc.open(&[1]), None);
    }

    #[test]
    fn the_sum_is_nought() {
        let mut bytes = vec![0x11, 0x03, 0x00, 0x6b, 0x00, 0x03];
        Lrc.close(&mut bytes, 0);
        assert_eq!(bytes[6], 0x7e);
        assert_eq!(Lrc.open(&bytes), Some(0..6));
        assert_eq!(Lrc.open(&[]), None);
    }
}
