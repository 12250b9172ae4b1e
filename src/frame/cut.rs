//! Cutting at a delimiter, within a bound: what the line, SLIP, COBS and HDLC methods share.

use super::Damage;
use super::decoder::{Progress, Step};
use super::marker::Found;

/// What stands before the next delimiter.
pub(super) enum Cut {
    /// The content's length, and how many bytes it takes with its delimiter.
    Piece { len: usize, used: usize },
    /// No whole piece.
    Step(Step),
}

/// Cuts the next piece off `bytes`. `find` looks from a place on for a delimiter and its length. A piece
/// longer than `limit` is given up in stretches of `limit` bytes, so that it never fills the memory.
pub(super) fn cut(
    bytes: &[u8],
    limit: usize,
    progress: &mut Progress,
    find: impl FnOnce(&[u8], usize) -> (Found, usize),
) -> Cut {
    let (found, len) = find(bytes, progress.seen);
    let (Found::At(end) | Found::NotBefore(end)) = found;
    progress.seen = end;
    if end > limit {
        let why = if progress.over {
            Damage::Noise
        } else {
            Damage::TooLong
        };
        progress.over = true;
        return Cut::Step(Step::Damaged { used: limit, why });
    }
    if found == Found::NotBefore(end) {
        return Cut::Step(Step::More);
    }
    let used = end + len;
    progress.seen = used;
    if progress.over {
        // The rest of a piece that was too long.
        progress.over = false;
        return Cut::Step(Step::Damaged {
            used,
            why: Damage::Noise,
        });
    }
    Cut::Piece { len: end, used }
}

/// For delimiters of one byte.
pub(super) fn find_byte(byte: u8) -> impl FnOnce(&[u8], usize) -> (Found, usize) {
    move |bytes, from| match memchr::memchr(byte, &bytes[from..]) {
        Some(hop) => (Found::At(from + hop), 1),
        None => (Found::NotBefore(bytes.len()), 1),
    }
}
