//! Modbus: what stands in requests and replies (application protocol V1.1b3), without the line below them.
//!
//! A frame here is what the framing methods `modbus-rtu` and `modbus-ascii` give: the address, the function, its
//! data. `Request` is what is asked, `Answer` what came of it, `Area` a run of bits or registers, and
//! `join` puts neighbours into few requests.

mod answer;
mod exception;
mod join;
mod notation;
mod pairs;
mod request;
mod serve;

pub use answer::Said;
pub(crate) use answer::{Answer, LEAD};
pub(crate) use exception::Exception;
pub(crate) use join::{Limits, Wish, join};
pub use notation::Notation;
pub(crate) use pairs::{Heard, Pairs};
pub(crate) use request::Request;
pub(crate) use serve::{Registers, serve};

/// The most bits that one request reads (sections 6.1 and 6.2).
pub(crate) const BITS_MAX: u16 = 2000;
/// The most registers that one request reads (sections 6.3 and 6.4).
pub(crate) const REGISTERS_MAX: u16 = 125;
/// The most bits, and registers, that one request writes (sections 6.11 and 6.12).
const WRITE_BITS_MAX: u16 = 0x7b0;
const WRITE_REGISTERS_MAX: u16 = 123;
/// The most registers that are written where others are read, too (section 6.17).
const READ_WRITE_MAX: u16 = 121;

/// The address to which all devices listen and none answers.
pub(crate) const BROADCAST: u8 = 0;

/// The four tables of a device (section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Bits that can be written.
    Coil,
    /// Bits that can only be read.
    Discrete,
    /// Registers that can only be read.
    Input,
    /// Registers that can be written.
    Holding,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 4] = [Table::Coil, Table::Discrete, Table::Input, Table::Holding];

    /// The key that names an address in it, and its kind of frame.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Coil => "coil",
            Table::Discrete => "discrete",
            Table::Input => "input",
            Table::Holding => "holding",
        }
    }

    /// Whether it is of bits, not of registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, Table::Coil | Table::Discrete)
    }

    /// The function that reads it.
    pub const fn read(self) -> u8 {
        match self {
            Table::Coil => 1,
            Table::Discrete => 2,
            Table::Holding => 3,
            Table::Input => 4,
        }
    }

    /// The table that this function reads.
    fn of(function: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.read() == function)
    }

    /// The most that one request reads of it.
    pub(crate) const fn most(self) -> u16 {
        if self.is_bits() { BITS_MAX } else { REGISTERS_MAX }
    }
}

/// A run of bits or registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Area {
    pub(crate) table: Table,
    pub(crate) first: u16,
    pub(crate) count: u16,
}

impl Area {
    /// The address behind it.
    pub(crate) fn end(self) -> u32 {
        u32::from(self.first) + u32::from(self.count)
    }

    /// How many bytes its values have in a reply.
    pub(crate) fn bytes(self) -> usize {
        let count = usize::from(self.count);
        if self.table.is_bits() {
            count.div_ceil(8)
        } else {
            2 * count
        }
    }

    /// The request that reads it, without the address.
    pub(crate) fn request(self) -> [u8; 5] {
        let ([a, b], [c, d]) = (self.first.to_be_bytes(), self.count.to_be_bytes());
        [self.table.read(), a, b, c, d]
    }
}
