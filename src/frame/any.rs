//! Several protocols on one line: at each place, the first method that finds a frame has it.
//!
//! What one method calls noise may be another's frame, so bytes are skipped only as far as all of them agree. What one
//! of them ignores between frames is no noise, whatever the others say.
//! Methods whose frames begin with a marker go together well; one that takes any byte for the begin of a frame
//! hides those of the others until it has ended.

use super::decoder::{Progress, Scene, Step};
use super::{EncodeError, Framing, Seal};
use std::fmt;
use std::sync::Arc;

/// A framing method with the check of its frames.
#[derive(Clone)]
pub struct Branch {
    /// How frames are cut.
    pub framing: Framing,
    /// What must hold for them.
    pub seal: Arc<dyn Seal + Send + Sync>,
}

#[derive(Debug)]
pub(super) struct Method {
    branches: Vec<Branch>,
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.framing.fmt(f)
    }
}

impl Method {
    pub(super) fn new(branches: Vec<Branch>) -> Method {
        Method { branches }
    }

    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let mut each = std::mem::take(&mut scene.progress.each);
        each.resize_with(self.branches.len(), Progress::default);
        let step = self.choose(scene, &mut each);
        scene.progress.each = each;
        step
    }

    fn choose<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>, each: &mut [Progress]) -> Step {
        let (mut more, mut least, mut passes, mut why) = (false, usize::MAX, false, None);
        for (number, (branch, progress)) in self.branches.iter().zip(each).enumerate() {
            let step = branch.framing.step(&mut Scene {
                bytes: scene.bytes,
                silent: scene.silent,
                seal: &*branch.seal,
                progress,
                scratch: &mut *scene.scratch,
            });
            match step {
                Step::Frame { .. } => {
                    scene.progress.branch = number;
                    return step;
                }
                Step::More => more = true,
                Step::Pass(n) => {
                    passes = true;
                    least = least.min(n);
                }
                Step::Skip(n, damage) | Step::Damaged { used: n, why: damage } => {
                    least = least.min(n);
                    // What broke a frame says more than noise.
                    if why.is_none_or(|known| known == super::Damage::Noise) {
                        why = Some(damage);
                    }
                }
            }
        }
        match why {
            _ if least == usize::MAX || (more && !scene.silent) => Step::More,
            Some(why) if !passes || why != super::Damage::Noise => Step::Skip(least, why),
            _ => Step::Pass(least),
        }
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(first) = self.branches.first() else {
            return Err(EncodeError::Empty);
        };
        if seal.is_empty() {
            first.framing.encode(data, &*first.seal, out)
        } else {
            first.framing.encode(data, seal, out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::super::{Damage, Framing};
    use super::*;
    use proptest::prelude::*;

    fn both() -> Framing {
        let branch = |text: &str| Branch {
            framing: build(text),
            seal: Arc::new(()),
        };
        Framing::any(
            vec![
                branch("{ start-end = { start = '$', end = \"\\r\\n\", max = 40 } }"),
                branch("{ length = { start = [0xb5, 0x62], max = 40 } }"),
            ],
            CHAR,
        )
    }

    #[test]
    fn two_protocols_share_a_line() {
        let got = decode(&both(), &(), b"x$GP\r\n\xb5\x62\x03$\r\n??$GN\r\n\xb5");
        let ubx = frame(b"\xb5\x62\x03$\r\n");
        assert_eq!(
            got,
            [
                damaged(Damage::Noise, "x"),
                frame("GP"),
                ubx,
                damaged(Damage::Noise, "??"),
                frame("GN"),
                damaged(Damage::Noise, b"\xb5"),
            ]
        );
    }

    fn one_ignores(second: bool) -> Framing {
        let branch = |text: &str| Branch {
            framing: build(text),
            seal: Arc::new(()),
        };
        let mut branches = vec![
            branch("{ start-end = { start = '$', end = '*', ignore = \"\\r\\n\", max = 40 } }"),
            branch("{ length = { start = [0xb5, 0x62], max = 40 } }"),
        ];
        if second {
            branches.reverse();
        }
        Framing::any(branches, CHAR)
    }

    #[test]
    fn what_one_protocol_ignores_is_noise_to_none() {
        for second in [false, true] {
            let got = decode(&one_ignores(second), &(), b"\r\n$A*\r\n\xb5\x62\x01x\n?\n$B*");
            let ubx = frame(b"\xb5\x62\x01x");
            assert_eq!(
                got,
                [frame("A"), ubx, damaged(Damage::Noise, "?"), frame("B")],
                "{second}"
            );
        }
    }

    proptest! {
        #[test]
        fn cutting_where_one_ignores(bytes in bytes(b"$*\r\n\xb5\x62\x02", 100), cuts in cuts(), second: bool) {
            cuts_do_not_matter(&one_ignores(second), &(), &bytes, &cuts, 40);
        }

        #[test]
        fn cutting(bytes in bytes(b"$\r\n\xb5\x62\x02", 100), cuts in cuts()) {
            cuts_do_not_matter(&both(), &(), &bytes, &cuts, 40);
        }
    }
}
