//! Computes a check's value. A CRC's table of 256 entries is made once, when the configuration is loaded.

use super::algorithm::{Algorithm, Kind};
use super::sum::Sum;
use crc::Crc;

/// An algorithm with its table.
pub(super) enum Engine {
    Crc8(Box<Crc<u8>>),
    Crc16(Box<Crc<u16>>),
    Crc32(Box<Crc<u32>>),
    Crc64(Box<Crc<u64>>),
    Crc128(Box<Crc<u128>>),
    Sum(Sum),
}

macro_rules! digest {
    ($crc:expr, $pieces:expr) => {{
        let mut digest = $crc.digest();
        for piece in $pieces {
            digest.update(piece);
        }
        digest.finalize().into()
    }};
}

impl Engine {
    pub(super) fn new(algorithm: Algorithm) -> Engine {
        match algorithm.kind() {
            Kind::Crc8(crc) => Engine::Crc8(Box::new(Crc::<u8>::new(crc))),
            Kind::Crc16(crc) => Engine::Crc16(Box::new(Crc::<u16>::new(crc))),
            Kind::Crc32(crc) => Engine::Crc32(Box::new(Crc::<u32>::new(crc))),
            Kind::Crc64(crc) => Engine::Crc64(Box::new(Crc::<u64>::new(crc))),
            Kind::Crc128(crc) => Engine::Crc128(Box::new(Crc::<u128>::new(crc))),
            Kind::Sum(sum) => Engine::Sum(sum),
        }
    }

    /// The value over two pieces, one after the other.
    pub(super) fn compute(&self, pieces: [&[u8]; 2]) -> u128 {
        match self {
            Engine::Crc8(crc) => digest!(crc, pieces),
            Engine::Crc16(crc) => digest!(crc, pieces),
            Engine::Crc32(crc) => digest!(crc, pieces),
            Engine::Crc64(crc) => digest!(crc, pieces),
            Engine::Crc128(crc) => digest!(crc, pieces),
            Engine::Sum(sum) => sum.compute(pieces.into_iter().flatten().copied()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crc_gives_the_check_value_of_the_catalogue() {
        let mut crcs = 0;
        for algorithm in Algorithm::all() {
            let check: u128 = match algorithm.kind() {
                Kind::Crc8(crc) => crc.check.into(),
                Kind::Crc16(crc) => crc.check.into(),
                Kind::Crc32(crc) => crc.check.into(),
                Kind::Crc64(crc) => crc.check.into(),
                Kind::Crc128(crc) => crc.check,
                Kind::Sum(_) => continue,
            };
            let engine = Engine::new(algorithm);
            assert_eq!(engine.compute([b"123456789", b""]), check, "{algorithm}");
            assert_eq!(
                engine.compute([b"123", b"456789"]),
                check,
                "{algorithm} in two pieces"
            );
            crcs += 1;
        }
        assert_eq!(crcs, 113);
    }

    #[test]
    fn a_value_fits_its_bits() {
        for algorithm in Algorithm::all() {
            let engine = Engine::new(algorithm);
            for bytes in [&b""[..], b"\xff\xff\xff", &[0xff; 300]] {
                assert!(
                    engine.compute([bytes, b""]) >> algorithm.bits() == 0,
                    "{algorithm}"
                );
            }
        }
    }
}
