//! What a line tells beside its bytes: breaks, and characters whose ninth bit is set. The kernel writes both into the
//! bytes (PARMRK, termios(3)): 0xff 0x00 0x00 for a break, 0xff 0x00 X for a character X with another parity than
//! expected, and 0xff 0xff for a byte 0xff. This takes them out again.

use super::words::{NinthBit, OnBreak};

/// Something that the line told behind the bytes before `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How many of the bytes that were read came before it.
    pub at: usize,
    /// Whether it was a break.
    pub is_break: bool,
    /// Whether a frame ends here, and another begins.
    pub cut: bool,
}

/// What a mark that isn't whole yet has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Begun {
    #[default]
    Nothing,
    Escape,
    Zero,
}

/// Takes the marks out of what is read.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    ninth: Option<NinthBit>,
    on_break: OnBreak,
    begun: Begun,
    found: Vec<Mark>,
}

impl Marks {
    /// Of a line that is to tell such things; of another one `None`.
    pub(super) fn new(ninth: Option<NinthBit>, on_break: OnBreak) -> Option<Marks> {
        let tells = ninth.is_some() || on_break != OnBreak::Ignore;
        tells.then(|| Marks {
            ninth,
            on_break,
            begun: Begun::Nothing,
            found: Vec::new(),
        })
    }

    /// Takes them out of the `bytes` that were read. Gives how many bytes are left.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> usize {
        self.found.clear();
        let first = memchr::memchr(0xff, bytes);
        let mut out = match (self.begun, first) {
            (Begun::Nothing, None) => return bytes.len(),
            (Begun::Nothing, Some(at)) => at,
            _ => 0,
        };
        let start = out;
        for at in start..bytes.len() {
            let byte = bytes[at];
            // Never more is written than was read: what a mark leaves is less than it is, but for the two bytes of one
            // that was begun before, and whose rest is no mark. The kernel writes no such thing.
            let left = match (self.begun, byte) {
                (Begun::Nothing, 0xff) => {
                    self.begun = Begun::Escape;
                    None
                }
                (Begun::Nothing, byte) => Some(byte),
                (Begun::Escape, 0) => {
                    self.begun = Begun::Zero;
                    None
                }
                (Begun::Escape, byte) => {
                    self.begun = Begun::Nothing;
                    Some(byte)
                }
                (Begun::Zero, byte) => {
                    self.begun = Begun::Nothing;
                    self.marked(byte, out)
                }
            };
            if let Some(byte) = left {
                bytes[out] = byte;
                out += 1;
                if self.begun == Begun::Nothing
                    && let Some(last) = self.found.last_mut().filter(|mark| mark.at == usize::MAX)
                {
                    last.at = out;
                }
            }
        }
        out
    }

    /// A mark is whole. Gives the byte that it stands for, if any.
    fn marked(&mut self, byte: u8, at: usize) -> Option<u8> {
        let mut found = |at: usize, is_break: bool, cut: bool| self.found.push(Mark { at, is_break, cut });
        match (self.ninth, byte) {
            (Some(NinthBit::Address), byte) => {
                found(at, false, true);
                Some(byte)
            }
            (Some(NinthBit::Mdb), byte) => {
                // Behind the byte.
                found(usize::MAX, false, true);
                Some(byte)
            }
            (None, 0) => {
                found(at, true, self.on_break == OnBreak::Begin);
                None
            }
            // As without marks: what has a wrong parity can't pass for what it is not.
            (None, _) => Some(0),
        }
    }

    /// What was found in the bytes that were read last, in order.
    pub(super) fn found(&self) -> &[Mark] {
        &self.found
    }

    /// Breaks are none of others' doing.
    pub(super) fn forget_breaks(&mut self) {
        self.found.retain(|mark| !mark.is_break);
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.found.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a line tells.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Told {
        Byte(u8),
        Marked(u8),
        Break,
        Cut,
    }

    /// As the kernel writes it (n_tty_receive_char, n_tty_receive_parity_error, n_tty_receive_break).
    fn written(told: &[Told]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for told in told {
            match told {
                Told::Byte(0xff) => bytes.extend([0xff, 0xff]),
                Told::Byte(byte) => bytes.push(*byte),
                Told::Marked(byte) => bytes.extend([0xff, 0, *byte]),
                Told::Break => bytes.extend([0xff, 0, 0]),
                Told::Cut => {}
            }
        }
        bytes
    }

    /// What is read of it, in pieces of so many bytes.
    fn read(mut marks: Marks, wire: &[u8], cuts: &[usize]) -> Vec<Told> {
        let (mut all, mut rest, mut cuts) =
            (Vec::new(), wire, cuts.iter().copied().chain(std::iter::repeat(7)));
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            rest = behind;
            let mut piece = piece.to_vec();
            let count = marks.take(&mut piece);
            let mut from = 0;
            for mark in marks.found() {
                all.extend(piece[from..mark.at].iter().copied().map(Told::Byte));
                from = mark.at;
                all.extend(mark.is_break.then_some(Told::Break));
                all.extend(mark.cut.then_some(Told::Cut));
            }
            all.extend(piece[from..count].iter().copied().map(Told::Byte));
        }
        all
    }

    fn marks(ninth: Option<NinthBit>, on_break: OnBreak) -> Marks {
        Marks::new(ninth, on_break).unwrap()
    }

    fn line(marked: bool) -> impl Strategy<Value = Vec<Told>> {
        let byte = prop_oneof![Just(0xffu8), Just(0), any::<u8>()];
        let other = byte.clone().prop_map(move |byte| match (marked, byte) {
            (true, byte) => Told::Marked(byte),
            (false, _) => Told::Break,
        });
        prop::collection::vec(prop_oneof![4 => byte.prop_map(Told::Byte), 1 => other], 0..40)
    }

    proptest! {
        #[test]
        fn breaks_come_out_where_they_were(line in line(false), cuts in prop::collection::vec(1usize..5, 0..40)) {
            let wire = written(&line);
            let counted = read(marks(None, OnBreak::Count), &wire, &cuts);
            prop_assert_eq!(&counted, &line);
            let begins: Vec<Told> = line.iter().flat_map(|told| match told {
                Told::Break => vec![Told::Break, Told::Cut],
                told => vec![*told],
            }).collect();
            prop_assert_eq!(read(marks(None, OnBreak::Begin), &wire, &cuts), begins);
        }

        #[test]
        fn a_ninth_bit_cuts_before_an_address_and_behind_the_end(
            line in line(true),
            cuts in prop::collection::vec(1usize..5, 0..40),
        ) {
            let wire = written(&line);
            let expected = |end: bool| -> Vec<Told> {
                line.iter().flat_map(|told| match (told, end) {
                    (Told::Marked(byte), false) => vec![Told::Cut, Told::Byte(*byte)],
                    (Told::Marked(byte), true) => vec![Told::Byte(*byte), Told::Cut],
                    (told, _) => vec![*told],
                }).collect()
            };
            let read = |ninth: NinthBit| read(marks(Some(ninth), OnBreak::Ignore), &wire, &cuts);
            prop_assert_eq!(read(NinthBit::Address), expected(false));
            prop_assert_eq!(read(NinthBit::Mdb), expected(true));
        }

        #[test]
        fn nothing_that_comes_makes_it_stumble(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = bytes.len();
            let mut marks = marks(Some(NinthBit::Mdb), OnBreak::Ignore);
            let count = marks.take(&mut bytes);
            prop_assert!(count <= whole && marks.found().iter().all(|mark| mark.at <= count));
        }
    }

    #[test]
    fn a_wrong_parity_reads_as_zero_as_it_does_without_marks() {
        let mut bytes = [b'a', 0xff, 0, b'b', b'c'];
        let mut marks = marks(None, OnBreak::Count);
        let count = marks.take(&mut bytes);
        assert_eq!((&bytes[..count], marks.found()), (&b"a\0c"[..], &[][..]));
        assert!(Marks::new(None, OnBreak::Ignore).is_none());
    }
}
