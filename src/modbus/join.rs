//! Neighbours are read together: which requests read what is wished for.

use super::{Area, Table};

/// What a device allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bits: u16,
    pub(crate) registers: u16,
    /// So many that nobody wants may be read with others.
    pub(crate) gap: u16,
}

/// A value that is wished for, with what it is to be read together with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish<G> {
    pub(crate) area: Area,
    /// Only wishes with the same are read together.
    pub(crate) group: G,
}

/// A request, and the wishes that it fulfils, by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined<G> {
    pub(crate) area: Area,
    pub(crate) group: G,
    pub(crate) wishes: Vec<usize>,
}

impl Limits {
    fn most(self, table: Table) -> u16 {
        match table.is_bits() {
            true => self.bits,
            false => self.registers,
        }
    }
}

/// The fewest requests that read all wishes, in the order of their addresses. A wish is never divided.
pub(crate) fn join<G: Copy + Ord>(wishes: &[Wish<G>], limits: Limits) -> Vec<Joined<G>> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|n| {
        let Wish { area, group } = wishes[*n];
        (group, area.table, area.first, area.count)
    });
    let mut all: Vec<Joined<G>> = Vec::new();
    for number in order {
        let Wish { area, group } = wishes[number];
        if let Some(last) = all.last_mut()
            && last.group == group
            && last.area.table == area.table
            && u32::from(area.first) <= last.area.end() + u32::from(limits.gap)
            && let Ok(count) = u16::try_from(last.area.end().max(area.end()) - u32::from(last.area.first))
            && count <= limits.most(area.table)
        {
            last.area.count = count;
            last.wishes.push(number);
            continue;
        }
        all.push(Joined {
            area,
            group,
            wishes: vec![number],
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish(table: Table, first: u16, count: u16, group: u8) -> Wish<u8> {
        Wish {
            area: Area { table, first, count },
            group,
        }
    }

    fn limits(gap: u16) -> Limits {
        Limits {
            bits: 2000,
            registers: 125,
            gap,
        }
    }

    #[test]
    fn neighbours_are_read_together() {
        let wishes = [
            wish(Table::Input, 6, 2, 0),
            wish(Table::Input, 0, 2, 0),
            wish(Table::Input, 2, 2, 0),
            wish(Table::Holding, 4, 1, 0),
            wish(Table::Input, 8, 2, 1),
        ];
        let areas = |gap| -> Vec<(u16, u16)> {
            join(&wishes, limits(gap))
                .iter()
                .map(|joined| (joined.area.first, joined.area.count))
                .collect()
        };
        assert_eq!(areas(0), [(0, 4), (6, 2), (4, 1), (8, 2)]);
        assert_eq!(areas(2), [(0, 8), (4, 1), (8, 2)]);
        assert_eq!(join(&wishes, limits(2))[0].wishes, [1, 2, 0]);
    }

    #[test]
    fn no_request_is_longer_than_the_device_allows() {
        let wishes: Vec<Wish<u8>> = (0..100).map(|n| wish(Table::Holding, 2 * n, 2, 0)).collect();
        let counts: Vec<u16> = join(&wishes, limits(0))
            .iter()
            .map(|joined| joined.area.count)
            .collect();
        assert_eq!(counts, [124, 76]);
    }

    proptest! {
        #[test]
        fn every_wish_is_read_once(
            wishes in proptest::collection::vec((0..200u16, 1..5u16, 0..2u8, any::<bool>()), 0..40),
            gap in 0..10u16,
        ) {
            let wishes: Vec<Wish<u8>> = wishes
                .iter()
                .map(|(first, count, group, bits)| {
                    wish(if *bits { Table::Coil } else { Table::Input }, *first, *count, *group)
                })
                .collect();
            let limits = Limits { bits: 16, registers: 10, gap };
            let mut read = vec![0; wishes.len()];
            for joined in join(&wishes, limits) {
                prop_assert!(joined.area.count <= limits.most(joined.area.table));
                for number in joined.wishes {
                    let Wish { area, group } = wishes[number];
                    read[number] += 1;
                    prop_assert_eq!(group, joined.group);
                    prop_assert_eq!(area.table, joined.area.table);
                    prop_assert!(joined.area.first <= area.first && area.end() <= joined.area.end());
                }
            }
            prop_assert!(read.iter().all(|times| *times == 1));
        }
    }
}
