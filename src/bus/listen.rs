//! Only listening: a bus on which somebody else asks. Requests and replies are paired, and the values of the replies
//! are given on as if they had been asked for here.

use super::master::Bus;
use super::schedule::Schedule;
use super::{Happened, Heard};
use crate::modbus::{Pairs, Said};
use crate::profile::Outcome;
use crate::profile::asked::Address;
use std::time::Instant;

impl Bus {
    /// Asks nothing from here on, and writes nothing.
    pub(crate) fn only_listening(mut self, now: Instant) -> Bus {
        self.schedule = Schedule::new(std::iter::empty(), now);
        self.pairs = Some(Pairs::default());
        self
    }

    /// A good frame of others came. Gives whose it was, and what it was taken for.
    pub(super) fn overheard(&mut self, branch: usize, data: &[u8], now: Instant) -> (usize, Heard) {
        let request = match self.pairs.as_mut().map(|pairs| pairs.hear(data, now)) {
            Some(crate::modbus::Heard::Request) => return (0, Heard::Request),
            Some(crate::modbus::Heard::Reply(request)) => request,
            Some(crate::modbus::Heard::Unpaired) | None => return (0, Heard::Unasked),
        };
        let address = data.first().map(|address| Address::Number(u64::from(*address)));
        let whose = self.units.iter().position(|unit| unit.device.address == address);
        let Some(number) = whose else {
            return (0, Heard::Foreign);
        };
        let unit = &mut self.units[number];
        let change = unit.health.answered();
        let outcome = unit.reader.read(branch, data, Some(&request));
        if let Some(change) = change {
            let (device, why) = (number, None);
            self.tell(Happened::Device { device, change, why });
        }
        let as_ = match outcome {
            Outcome::Values(record) => {
                self.tell(Happened::Values {
                    device: number,
                    poll: None,
                    bytes: data.to_vec(),
                    record,
                });
                Heard::Answer
            }
            _ if Said::Refused.fits(Some(&request), data) => Heard::Refusal,
            Outcome::Refused(fault) => Heard::Misread(fault.to_string()),
            _ => Heard::Answer,
        };
        (number, as_)
    }
}
