//! Words that devices needed which came after the first fifty, and what their authors ran into.

use super::words::{refused, works};
use crate::config::device;

/// AX.25 in KISS (protocol version 2.2, section 3.12): as many addresses as come until a lowest bit is 1, of letters that
/// are moved up by a bit.
#[test]
fn lists_end_with_an_element_that_says_so() {
    works(
        r#"
        title  = "packet radio"
        frame  = "slip"
        fields = [
          { type = "u8", is = 0 },
          { name = "addresses", stop = "end", fields = [
            { name = "letters", type = "u8", repeat = 6, value = "x >> 1", hidden = true },
            { name = "call", value = "chars(letters)" },
            { name = "ssid", type = "u8", bits = [1, 4] },
            { name = "end", type = "u8", at = "last", bit = 0, hidden = true },
          ] },
          { type = "u16", is = 0x03f0 },
          { name = "info", type = "text" },
        ]
        [[example]]
        name   = "two addresses"
        wire   = "00 82a0a4a69292e0 9c608682989861 03f0 3e6869 c0"
        values = { addresses = [{ call = "APRSII", ssid = 0 }, { call = "N0CALL", ssid = 0 }], info = ">hi" }
        [[example]]
        name   = "none of them is the last"
        wire   = "00 82a0a4a69292e0 9c608682989860 03f0 c0"
        gives  = "refused"
        "#,
    );
    works(
        r#"
        title  = "a list in bytes, in columns, and one that may end before"
        decode = { columns = { } }
        fields = [
          { name = "bytes", at = 0, decode = "binary", type = "u8", unpack = "hex", stop = "x >= 0x80" },
          { name = "levels", at = 1, type = "decimal", repeat = "rest", stop = "x == 0" },
        ]
        [[example]]
        name   = "ended"
        text   = "01028405,7,0,9\n"
        values = { bytes = [1, 2, 132], levels = [7, 0] }
        [[example]]
        name   = "at the end of the columns"
        text   = "80,7,8\n"
        values = { bytes = [128], levels = [7, 8] }
        "#,
    );
    refused(
        r#"
        title  = "of nothing"
        fields = [{ name = "a", value = "1", stop = "x" }]
        "#,
        "`stop` is for what lies one behind the other",
    );
}

/// Protocol Buffers (encoding, "Base 128 Varints": 150 is 96 01), and Standard MIDI Files (0x200000 is 81 80 80 00).
#[test]
fn numbers_as_long_as_they_need() {
    works(
        r#"
        title  = "a message of Protocol Buffers, and a delta time"
        frame  = { length = { start = [0x94], strip = true } }
        order  = "little"
        fields = [
          { name = "delta", type = "varint", order = "big" },
          { repeat = "rest", name = "parts", hidden = true, fields = [
            { name = "key", type = "varint" },
            { switch = "key & 7", cases = { 0 = [{ name = "number", type = "varint" }],
              2 = [{ name = "size", type = "varint", hidden = true }, { name = "text", type = "text", length = "size" }],
              5 = [{ name = "number", type = "f32" }] } },
          ] },
          { name = "first", value = "parts.0.number" },
        ]
        [[example]]
        name   = "150"
        wire   = "94 07 81808000 08 9601"
        values = { delta = 0x200000, first = 150 }
        [[example]]
        name   = "minus one, as ten bytes"
        wire   = "94 0c 00 08 ffffffffffffffffff01"
        values = { delta = 0, first = 18446744073709551615.0 }
        [[example]]
        name   = "no end"
        wire   = "94 02 81 80"
        gives  = "refused"
        "#,
    );
}

#[test]
fn curves_by_their_points() {
    works(
        r#"
        title  = "a tank that is no cylinder"
        frame  = { fixed = { length = 1 } }
        fields = [{ name = "litres", type = "u8", value = "interpolate(x, 10, 0, 20, 100, 40, 200)" }]
        [[example]]
        name   = "between two"
        wire   = "0f"
        values = { litres = 50 }
        [[example]]
        name   = "at one"
        wire   = "28"
        values = { litres = 200 }
        [[example]]
        name   = "below all"
        wire   = "09"
        values = { litres = "absent" }
        "#,
    );
}

/// A UPS without a battery's temperature prints "--.-" (Megatec); a multimeter's digits go out at overload.
#[test]
fn absent_is_known_before_digits_are_read() {
    works(
        r#"
        title  = "numbers, or not"
        decode = { columns = { } }
        fields = [
          { name = "volts", at = 0, type = "decimal", absent = "--.-" },
          { name = "status", at = 1, type = "hex", absent = ["----", ".."] },
          { name = "on", at = 2, type = "bool", absent = "?" },
        ]
        [[example]]
        name   = "none of them"
        text   = "--.-, ---- ,?\n"
        values = { volts = "absent", status = "absent", on = "absent" }
        [[example]]
        name   = "all of them"
        text   = "1.5,ff,1\n"
        values = { volts = 1.5, status = 255, on = true }
        [[example]]
        name   = "something else"
        text   = "-.--,ff,1\n"
        gives  = "refused"
        "#,
    );
}

#[test]
fn what_lies_in_unpacked_bytes_follows_each_other_too() {
    works(
        r#"
        title  = "records in what was inverted"
        frame  = { fixed = { length = 6 } }
        fields = [
          { name = "first", type = "u8" },
          { inline = true, at = 1, length = 5, unpack = "invert", fields = [
            { name = "count", type = "u8" },
            { name = "pairs", repeat = 2, fields = [{ name = "p", type = "u8" }, { name = "q", type = "u8" }] },
          ] },
        ]
        [[example]]
        name   = "two pairs"
        wire   = "07 fd fe fd fc fb"
        values = { first = 7, count = 2, pairs = [{ p = 1, q = 2 }, { p = 3, q = 4 }] }
        "#,
    );
}

#[test]
fn constants_and_lists_are_read_as_they_are_written() {
    works(
        r#"
        title  = "bytes by their digits"
        frame  = { fixed = { length = 5 } }
        fields = [
          { type = "bytes", length = 2, is = "0a0d" },
          { name = "places", type = "u8", repeat = 3, value = "x * 10 + index" },
        ]
        [[example]]
        name   = "as said"
        wire   = "0a0d 01 01 01"
        values = { places = [10, 11, 12] }
        [[example]]
        name   = "other bytes"
        wire   = "0a0a 01 01 01"
        gives  = "refused"
        "#,
    );
}

/// MAVLink 2 leaves zeros at the end out (guide, "Payload Truncation"); Protocol Buffers' sint32; Mode-S has 24 bits of check.
#[test]
fn zeros_left_out_signs_in_the_lowest_bit_and_checks_by_parameters() {
    works(
        r#"
        title   = "short, signed, checked"
        frame   = { length = { start = [0xfd], strip = true } }
        unpack  = { pad = 6 }
        require = ["check('{ crc = { width = 8, poly = 0x07 } }', 0, 2) == sum"]
        fields  = [
          { name = "a", type = "varint", sign = "zigzag" },
          { name = "b", type = "varint", sign = "zigzag" },
          { name = "sum", type = "u8", hidden = true },
          { name = "rest", type = "u24" },
        ]
        [[example]]
        name   = "zeros are missing"
        wire   = "fd 04 03 04 23 01"
        values = { a = -2, b = 2, rest = 0x010000 }
        [[example]]
        name   = "the check does not hold"
        wire   = "fd 04 03 05 23 01"
        gives  = "refused"
        "#,
    );
}

/// What can't be sent is told when the profile is looked at, not when a port uses it.
#[test]
fn what_can_not_be_sent_is_told_with_its_place() {
    let text = r#"
        title  = "a device that is asked"
        frame  = { start-end = { start = [2], end = [3], strip = false, max = 8 } }
        fields = [{ type = "u8" }, { name = "level", type = "u8" }]
        [[command]]
        name   = "ask"
        fields = [{ type = "u8", is = 2 }, { name = "address", type = "u8" }]
        [[command]]
        name   = "set"
        fields = [{ name = "level", type = "u8" }]
        [[poll]]
        name    = "level"
        command = "ask"
        [[poll]]
        name    = "state"
        bytes   = [2, 0x10]
        [session]
        [[session.step]]
        bytes   = [2, 0x11]
        "#;
    let look = |text: &str| device::parse_and_look(text, "words.toml");
    if let Err(faults) = look(text) {
        panic!("{}", faults.render(false));
    }
    // An address that fits is the port's to give.
    for range in ["[16, 31]", "[0, 0]"] {
        let own = text.replace(
            "\"address\", type = \"u8\"",
            &format!("\"address\", type = \"u8\", range = {range}"),
        );
        assert!(own != text && look(&own).is_ok(), "{range}");
    }
    let line = |wrong: &str| 1 + text.lines().position(|line| line.contains(wrong)).unwrap();
    for (right, wrong, at, says) in [
        ("is = 2", "is = 1", line("name   = \"ask\"") - 1, "start marker"),
        (
            "[2, 0x10]",
            "[0x10]",
            line("name    = \"state\"") - 1,
            "start marker",
        ),
        (
            "[2, 0x11]",
            "[2, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
            line("[[session.step]]"),
            "8",
        ),
        (
            "command = \"ask\"",
            "command = \"set\"",
            line("name    = \"level\"") - 1,
            "`level` is missing",
        ),
    ] {
        let text = text.replace(right, wrong);
        assert!(device::parse(&text, "words.toml").is_ok(), "{wrong}");
        let faults = look(&text).unwrap_err().render(false);
        for part in ["this can't be sent", says, &format!("words.toml:{at}:")] {
            assert!(faults.contains(part), "{part} of {wrong}:\n{faults}");
        }
    }
}

/// An example of a command is compared with the bytes that are sent.
#[test]
fn a_command_has_examples_too() {
    let text = r#"
        title  = "an alarm"
        frame  = { start-end = { start = [2], end = [3], length = 5 } }
        check  = "sum8"
        fields = [{ name = "level", type = "u16" }]
        [[command]]
        name   = "set-alarm"
        fields = [{ name = "address", type = "u8" }, { name = "level", type = "u8", range = [0, 9] }]
        [[example]]
        name    = "level 3 of the device 1"
        command = "set-alarm"
        with    = { address = 1, level = 3 }
        wire    = "02 01 03 06 03"
        "#;
    works(text);
    for (right, wrong, says) in [
        (
            "03 06 03",
            "04 07 03",
            "expected 0201040703, but `set-alarm` is sent as 0201030603",
        ),
        (
            "level = 3",
            "level = 10",
            "`set-alarm` can't be sent: `level`: it must be from 0 to 9",
        ),
        (
            "address = 1, ",
            "",
            "`set-alarm` can't be sent: `address` is missing",
        ),
        (
            "command = \"set-alarm\"",
            "command = \"alarm\"",
            "there is no command `alarm`",
        ),
        ("command = \"set-alarm\"", "", "there is none"),
        (
            "wire ",
            "gives = \"ack\"\nwire ",
            "has no `request`, `gives` or `values`",
        ),
    ] {
        let text = text.replace(right, wrong);
        let read =
            device::parse(&text, "words.toml").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let example = &read.config.example[0];
        let failures = read.profile.try_example(example).unwrap_err();
        assert!(failures[0].what.contains(says), "{wrong}: {failures:?}");
        let told = read.profile.explain_example(example, &failures);
        // A frame is laid out only where it is one of the device's.
        assert_eq!(told.lines().count() == 1, example.command.is_some(), "{told}");
    }
}
