//! Being asked: what a device of these registers answers to a request.

use super::{Area, Exception, Request, Table};

/// The registers of a device. Bits are 0 and 1.
pub(crate) trait Registers {
    /// What stands there.
    fn value(&self, table: Table, at: u16) -> Result<u16, Exception>;
    /// Whether these values may be written from there on; nothing is written yet.
    fn accepts(&self, table: Table, at: u16, values: &[u16]) -> Result<(), Exception>;
    /// Writes them.
    fn write(&mut self, table: Table, at: u16, values: &[u16]);
}

/// The answer to a request, both without address and check.
pub(crate) fn serve(pdu: &[u8], registers: &mut impl Registers) -> Vec<u8> {
    answered(pdu, registers)
        .unwrap_or_else(|Exception(why)| vec![pdu.first().copied().unwrap_or(0) | 0x80, why])
}

fn answered(pdu: &[u8], registers: &mut impl Registers) -> Result<Vec<u8>, Exception> {
    let mut write = |table, at, values: &[u16]| {
        registers.accepts(table, at, values)?;
        registers.write(table, at, values);
        Ok(())
    };
    match Request::parse(pdu)? {
        Request::Read(area) => read(pdu, area, registers),
        Request::WriteCoil { at, on } => {
            write(Table::Coil, at, &[u16::from(on)])?;
            Ok(pdu.to_vec())
        }
        Request::WriteRegister { at, value } => {
            write(Table::Holding, at, &[value])?;
            Ok(pdu.to_vec())
        }
        Request::WriteCoils { area, bits } => {
            let bit = |n: usize| u16::from(bits[n / 8] >> (n % 8) & 1);
            let bits: Vec<u16> = (0..usize::from(area.count)).map(bit).collect();
            write(Table::Coil, area.first, &bits)?;
            Ok(pdu[..5].to_vec())
        }
        Request::WriteRegisters { area, words } => {
            write(Table::Holding, area.first, &values(words))?;
            Ok(pdu[..5].to_vec())
        }
        Request::Mask { at, and, or } => {
            // Section 6.16: (current AND and_mask) OR (or_mask AND (NOT and_mask)).
            let before = registers.value(Table::Holding, at)?;
            let after = [before & and | or & !and];
            registers.accepts(Table::Holding, at, &after)?;
            registers.write(Table::Holding, at, &after);
            Ok(pdu.to_vec())
        }
        Request::ReadWrite {
            read: area,
            write: to,
            words,
        } => {
            // Nothing is written when the other half is refused.
            read(pdu, area, registers)?;
            let values = values(words);
            registers.accepts(Table::Holding, to.first, &values)?;
            registers.write(Table::Holding, to.first, &values);
            read(pdu, area, registers)
        }
    }
}

fn values(words: &[u8]) -> Vec<u16> {
    words
        .as_chunks::<2>()
        .0
        .iter()
        .map(|word| u16::from_be_bytes(*word))
        .collect()
}

fn read(pdu: &[u8], area: Area, registers: &impl Registers) -> Result<Vec<u8>, Exception> {
    let mut reply = vec![pdu[0], area.bytes() as u8];
    let all = (0..area.count).map(|n| registers.value(area.table, area.first + n));
    if area.table.is_bits() {
        reply.resize(2 + area.bytes(), 0);
        for (n, bit) in all.enumerate() {
            reply[2 + n / 8] |= u8::from(bit? != 0) << (n % 8);
        }
    } else {
        for word in all {
            reply.extend(word?.to_be_bytes());
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Addresses 0 to 99 of each table; those from 90 on are not to be written, and 7 is no value for 5.
    #[derive(Default)]
    struct Some100(BTreeMap<(Table, u16), u16>);

    impl Registers for Some100 {
        fn value(&self, table: Table, at: u16) -> Result<u16, Exception> {
            match at {
                100.. => Err(Exception::ADDRESS),
                _ => Ok(self.0.get(&(table, at)).copied().unwrap_or(0)),
            }
        }
        fn accepts(&self, _: Table, at: u16, values: &[u16]) -> Result<(), Exception> {
            match usize::from(at) + values.len() {
                91.. => Err(Exception::ADDRESS),
                _ if at == 5 && values[0] == 7 => Err(Exception::VALUE),
                _ => Ok(()),
            }
        }
        fn write(&mut self, table: Table, at: u16, values: &[u16]) {
            self.0
                .extend((at..).zip(values).map(|(at, value)| ((table, at), *value)));
        }
    }

    fn ask(registers: &mut Some100, pdu: &str) -> String {
        let pdu = data_encoding::HEXLOWER
            .decode(pdu.replace(' ', "").as_bytes())
            .unwrap();
        data_encoding::HEXLOWER.encode(&serve(&pdu, registers))
    }

    #[test]
    fn every_function() {
        let registers = &mut Some100::default();
        assert_eq!(ask(registers, "05 0003 ff00"), "050003ff00");
        assert_eq!(ask(registers, "0f 0004 000a 02 cd01"), "0f0004000a");
        assert_eq!(ask(registers, "01 0003 000b"), "01029b03");
        assert_eq!(ask(registers, "02 0003 000b"), "02020000");
        assert_eq!(ask(registers, "06 0001 1234"), "0600011234");
        assert_eq!(ask(registers, "10 0002 0002 04 00050006"), "1000020002");
        assert_eq!(ask(registers, "03 0001 0003"), "0306123400050006");
        assert_eq!(ask(registers, "04 0001 0001"), "04020000");
        assert_eq!(ask(registers, "06 0004 0012"), "0600040012");
        // The example of section 6.16: 0x12 becomes 0x17.
        assert_eq!(ask(registers, "16 0004 00f2 0025"), "16000400f20025");
        assert_eq!(ask(registers, "03 0004 0001"), "03020017");
        assert_eq!(ask(registers, "17 0001 0002 0001 0001 02 4321"), "170443210005");
    }

    #[test]
    fn what_cannot_be_done_is_refused_as_a_whole() {
        let registers = &mut Some100::default();
        for (pdu, answer) in [
            ("07", "8701"),
            ("03 0063 0002", "8302"),
            ("03 0000 0000", "8303"),
            ("06 0005 0007", "8603"),
            ("06 005a 0001", "8602"),
            ("10 0059 0002 04 00010001", "9002"),
            ("05 0003 1234", "8503"),
            ("17 0063 0002 0001 0001 02 4321", "9702"),
            ("16 0064 ffff 0000", "9602"),
        ] {
            assert_eq!(ask(registers, pdu), answer, "{pdu}");
        }
        assert!(registers.0.is_empty());
        assert_eq!(serve(&[], registers), [0x80, 1]);
    }

    proptest! {
        #[test]
        fn answers_anything(pdu in proptest::collection::vec(any::<u8>(), 0..40)) {
            let reply = serve(&pdu, &mut Some100::default());
            prop_assert!((2..=253).contains(&reply.len()));
        }

        /// What is answered is what the other side takes for the answer.
        #[test]
        fn answers_are_understood(function in 1..24u8, at in 0..120u16, rest in proptest::collection::vec(any::<u8>(), 0..20)) {
            let request = [&[9, function][..], &at.to_be_bytes(), &rest].concat();
            if Request::parse(&request[1..]).is_ok() {
                let reply = [&[9][..], &serve(&request[1..], &mut Some100::default())].concat();
                prop_assert!(super::super::Answer::of(&request, &reply).is_some());
            }
        }
    }
}
