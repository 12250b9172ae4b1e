//! Words of the language that few devices need, each in a profile as small as can be, with what it must give.

use crate::config::device;

pub(super) fn works(text: &str) {
    let read =
        device::parse(text, "words.toml").unwrap_or_else(|faults| panic!("{text}\n{}", faults.render(false)));
    assert!(!read.config.example.is_empty(), "{text}");
    for example in &read.config.example {
        if let Err(why) = read.profile.try_example(example) {
            panic!("{text}\n{}: {why:#?}", example.name);
        }
    }
}

pub(super) fn refused(text: &str, says: &str) {
    let faults = device::parse(text, "words.toml").unwrap_err().render(false);
    assert!(faults.contains(says), "{faults}");
}

/// A JeeLink prints the bytes that it heard as decimal numbers.
#[test]
fn digits_have_bits_too() {
    works(
        r#"
        title  = "bytes as decimal numbers"
        decode = { columns = { separator = " " } }
        fields = [
          { name = "id", at = 0, type = "decimal", bits = [0, 5] },
          { name = "battery", at = 0, bit = 7 },
          { name = "change", at = 1, type = "decimal", bits = [0, 7], sign = "twos" },
          { name = "on", at = 2, type = "bool" },
          { name = "state", at = 3, type = "hex", mask = 0xf0 },
        ]
        [[example]]
        name   = "a line"
        text   = "131 254 0 A5\n"
        values = { id = 3, battery = true, change = -2, on = false, state = 10 }
        [[example]]
        name   = "words, and a number without bits"
        text   = "1 1 yes 0\n1.5 1 1 0\n"
        values = { id = 1, battery = false, change = 1, on = true, state = 0 }
        "#,
    );
    works(
        r#"
        title  = "a number in JSON has bits"
        decode = "json"
        fields = [
          { name = "alarm", at = "status", bit = 1 },
          { name = "mode", at = "status", bits = [4, 5], values = { 2 = "auto" } },
        ]
        [[example]]
        name   = "an object"
        text   = "{\"status\": 34}\n"
        values = { alarm = true, mode = "auto" }
        "#,
    );
}

/// A digital caliper sends Gray code; a display's signs are its own; digits are seven segments.
#[test]
fn signs_and_digits_of_displays() {
    works(
        r#"
        title  = "a display"
        frame  = { fixed = { length = 11 } }
        fields = [
          { name = "text", length = 6, type = "text", encoding = "latin-1", unpack = { map = [[0xdf, 0xb0]] } },
          { name = "digits", length = 4, type = "decimal", unpack = [{ join-bits = 4 }, { keep-bits = 7 },
            { map = [[0x7d, "0"], [0x05, "1"], [0x5b, "2"], [0x00, " "]] }] },
          { name = "angle", type = "u8", value = "gray(x)" },
        ]
        [[example]]
        name   = "three kinds of sign"
        wire   = "32312e35 df43  0000 0000  05"
        values = { text = "21.5°C", angle = 6 }
        [[example]]
        name   = "digits in nibbles behind their numbers"
        wire   = "2020202020 43  1f 20 35 4b  00"
        gives  = "refused"
        [[example]]
        name   = "digits"
        wire   = "2020202020 43  10 25 35 4b  00"
        values = { digits = 12 }
        "#,
    );
}

/// AIS: a position report (ITU-R M.1371 type 1), sentence from the gpsd project's protocol page.
#[test]
fn letters_of_six_bits() {
    works(
        r#"
        title  = "AIS"
        frame  = { start-end = { start = "!", end = "\r\n", strip = false } }
        check  = { algorithm = "xor8", prefix = "*", encoding = "hex", covers = { from = 1 } }
        decode = { columns = {} }
        fields = [
          { name = "parts", at = 1, type = "decimal", is = 1 },
          { at = 5, unpack = "sixbit", inline = true, fields = [
            { name = "type", type = "u6" },
            { type = "u2" },
            { name = "mmsi", type = "u30" },
            { name = "letters", type = "u6", repeat = 2, value = "if(x == 0, 0, if(x < 32, x + 64, x))", hidden = true },
            { name = "word", value = "chars(letters)" },
          ] },
        ]
        [[example]]
        name   = "type 1"
        text   = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"
        values = { type = 1, mmsi = 477553000, word = "T" }
        "#,
    );
}

/// A meter's exponent by a table, a flag as a letter, a date without a time and a time without a date.
#[test]
fn values_may_be_numbers_and_times_may_be_parts() {
    works(
        r#"
        title  = "a multimeter"
        frame  = { fixed = { length = 18 } }
        fields = [
          { name = "exponent", type = "u8", values = { 0x30 = -4, 0x31 = -3, "0x32..0x33" = 0 }, hidden = true },
          { name = "value", length = 4, type = "decimal", scale = "10 ^ exponent" },
          { name = "over", type = "text", length = 1, values = { Y = true, N = false } },
          { name = "shown", value = "if(over, absent, pick(1, 7, value, 9))" },
          { name = "day", type = "time", time = "YYMMDD" },
          { name = "at", type = "time", time = "hhmmss" },
        ]
        [[example]]
        name   = "within"
        wire   = "31 35303030 4e 323031313236 313430353036"
        values = { value = 5.0, over = false, shown = 5.0, day = "2020-11-26", at = "14:05:06" }
        [[example]]
        name   = "over"
        wire   = "33 35303030 59 323031313236 313430353036"
        values = { value = 5000, over = true, shown = "absent" }
        "#,
    );
}

/// PJLink says of each lamp two words: a record takes as many columns as it has fields.
#[test]
fn a_record_takes_several_columns() {
    works(
        r#"
        title  = "lamps"
        decode = { columns = { separator = " ", squeeze = true } }
        fields = [
          { name = "what", at = 0 },
          { name = "lamps", repeat = "rest", fields = [
            { name = "hours", type = "decimal", unit = "h" },
            { name = "on", type = "bool" },
          ] },
          { name = "hours", value = "sum(lamps.hours)" },
          { name = "second", value = "lamps.1.hours" },
        ]
        [[example]]
        name   = "two lamps, and half of a third"
        text   = "LAMP 120 1 80 0 7\n"
        values = { "lamps.0.hours" = 120, "lamps.0.on" = true, "lamps.1.on" = false, "lamps.2.hours" = 7, hours = 207, second = 80 }
        "#,
    );
    works(
        r#"
        title  = "satellites"
        decode = { columns = {} }
        fields = [
          { name = "first", at = 1, fields = [
            { name = "prn", at = 0, type = "decimal" },
            { name = "snr", at = 2, type = "decimal" },
          ] },
          { name = "after", type = "decimal" },
          { name = "pair", at = 4, repeat = 1, fields = [{ name = "last", at = -1, type = "decimal" }] },
        ]
        [[example]]
        name   = "places within a record"
        text   = "x,5,,41,9,8\n"
        values = { "first.prn" = 5, "first.snr" = 41, after = 9, "pair.0.last" = 8 }
        "#,
    );
    refused(
        "title = 'x'\nfields = [{ name = 'a', fields = [{ name = 'volt', type = 'u8' }] }, { name = 'b', value = 'a.vlot' }]",
        "did you mean `volt`",
    );
    refused(
        "title = 'x'\nfields = [{ name = 'a', value = 'x + 1' }]",
        "give it `at` or `type`",
    );
}

/// An eBUS slave's answer has its own check behind its own length.
#[test]
fn a_check_may_stand_where_a_length_says() {
    works(
        r#"
        title   = "two checks"
        frame   = { fixed = { length = 6 } }
        require = ["check('sum8', at, count + 1) == byte(at + count + 1)"]
        fields  = [
          { name = "at", type = "u8" },
          { name = "count", at = "at", type = "u8" },
        ]
        [[example]]
        name   = "good"
        wire   = "02ff 02 0102 05"
        values = { count = 2 }
        [[example]]
        name   = "wrong"
        wire   = "02ff 02 0102 06"
        gives  = "refused"
        "#,
    );
}

/// A Sagemcom meter sends Wh where others send kWh: the number is never published with the other's unit.
#[test]
fn units_are_made_the_fields_own() {
    works(
        r#"
        title  = "a meter"
        frame  = { start-end = { start = "/", end = "!", strip = false } }
        decode = "obis"
        fields = [
          { name = "import", at = "1-0:1.8.1", type = "decimal", unit = "kWh" },
          { name = "power", at = "1-0:1.7.0", type = "decimal", unit = "W" },
          { name = "gas", at = "0-1:24.2.1", type = "decimal", unit = "m³" },
        ]
        [[example]]
        name   = "Wh and kW"
        text   = "/x\r\n1-0:1.8.1(005017120*Wh)\r\n1-0:1.7.0(01.250*kW)\r\n0-1:24.2.1(12.5*m3)\r\n!"
        values = { import = 5017.12, power = 1250, gas = 12.5 }
        "#,
    );
}

/// With keys the place is the field's name, also of what an expression makes of it; bytes of a script are bytes.
#[test]
fn what_was_read_by_name() {
    works(
        r#"
        title  = "pairs"
        decode = { pairs = { separator = " " } }
        fields = [{ name = "t", type = "decimal", hidden = true }, { name = "id", value = "hex(x)" }]
        [[example]]
        name   = "digits"
        text   = "t=5 id=ff\n"
        values = { id = 255 }
        "#,
    );
}

#[cfg(feature = "script")]
#[test]
fn bytes_of_a_script_are_taken_apart() {
    works(
        r##"
        title  = "a script"
        frame  = { fixed = { length = 3 } }
        decode = { script = "#{ b: data }" }
        fields = [
          { name = "p", at = "b", fields = [{ name = "one", type = "u8" }, { name = "two", type = "u16" }] },
          { name = "all", at = "b", type = "u24" },
          { name = "same", at = "b", type = "bytes", value = "x == '010203'" },
        ]
        [[example]]
        name   = "three bytes"
        wire   = "010203"
        values = { "p.one" = 1, "p.two" = 0x0203, all = 0x010203, same = true }
        "##,
    );
}

#[test]
fn what_is_computed_may_repeat() {
    works(
        r#"
        title  = "bits as a list"
        frame  = { fixed = { length = 1 } }
        fields = [
          { name = "word", type = "u8", hidden = true },
          { name = "relays", repeat = 4, value = "word >> index & 1" },
          { name = "closed", value = "sum(relays)" },
        ]
        [[example]]
        name   = "the upper ones do not count"
        wire   = "f5"
        values = { relays = [1, 0, 1, 0], closed = 2 }
        "#,
    );
    refused(
        "title = 'x'\nfields = [{ name = 'x', repeat = 'rest', value = '1' }]",
        "say how often",
    );
}

/// What nobody has named is given on as it came, unless it surely is a number.
#[test]
fn long_digits_are_no_number() {
    works(
        r#"
        title   = "a meter"
        frame   = { start-end = { start = "/", end = "!", strip = false } }
        [[kind]]
        name    = "telegram"
        decode  = "obis"
        collect = true
        [[example]]
        name   = "serial numbers keep their digits"
        text   = "/ISk\r\n0-1:96.1.0(4819243993373755509509603490333738)\r\n0-0:96.1.1(0012)\r\n1-0:1.8.1(000012.50*kWh)\r\n1-0:32.32.0(7)\r\n1-0:1.7.0(00012*W)\r\n!"
        values = { "0-1:96.1.0" = "4819243993373755509509603490333738", "0-0:96.1.1" = "0012", "1-0:1.8.1" = 12.5, "1-0:32.32.0" = 7, "1-0:1.7.0" = 12 }
        "#,
    );
}

/// The check in the header is no part of what the length counts, and the marker is not unpacked.
#[test]
fn headers_and_markers_are_no_data() {
    works(
        r#"
        title = "a header with its own check"
        frame = { length = { start = [0x55], counts = "data", header = 3 } }
        check = [{ algorithm = "sum8", at = 2, keep = true, covers = { from = 1, to = 2 } }, "sum8"]
        fields = [{ name = "level", at = 3, type = "u16" }]
        [[example]]
        name   = "two bytes"
        wire   = "55 02 02 0102 5c"
        values = { level = 258 }
        "#,
    );
    works(
        r#"
        title  = "hexadecimal digits between markers"
        frame  = { start-end = { start = "~", end = "\r" } }
        unpack = "hex"
        fields = [{ name = "level", type = "u16" }]
        [[example]]
        name   = "four digits, and something else"
        text   = "~xy\r~0102\r"
        values = { level = 258 }
        "#,
    );
}

/// Texts that double from field to field, and more items than are taken, end their frame and not the memory.
#[test]
fn what_grows_without_end_has_one() {
    let mut fields = String::from("{ name = 't0', type = 'text', length = 16 },");
    for n in 1..60 {
        fields += &format!("{{ name = 't{n}', value = 't{0} + t{0}' }},", n - 1);
    }
    works(&format!(
        "title = 'doubling'\nframe = 'raw'\nfields = [{fields}]\n[[example]]\nname = 'a frame'\n\
         text = '0123456789abcdef'\nvalues = {{ t1 = '0123456789abcdef0123456789abcdef', t59 = 'absent' }}"
    ));
    let many = "00".repeat(600);
    works(&format!(
        "title = 'more than is taken'\nframe = 'raw'\nfields = [{{ name = 'all', type = 'u1', repeat = 'rest' }}]\n\
         [[example]]\nname = 'too many'\nwire = '{many}'\ngives = 'refused'\n\
         [[example]]\nname = 'as many as are'\nwire = '{}'\ngives = 'values'",
        &many[..1024]
    ));
}
