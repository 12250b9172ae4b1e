use super::*;
use crate::config::device;
use crate::field::record::Record;
use crate::profile::{Outcome, Profile};
use proptest::prelude::*;

const METER: &str = r#"
    modbus = { max-gap = 2, every = "5s" }
    fields = [
      { name = "voltage", input = 0, type = "f32", unit = "V", decimals = 1 },
      { name = "current", input = 4, type = "f32", unit = "A", decimals = 3 },
      { name = "apparent", value = "voltage * current", unit = "VA", decimals = 0 },
      { name = "energy", register = 30343, type = "f32", unit = "kWh", every = "1min" },
      { name = "setpoint", holding = 0x1001, type = "i16", scale = 0.1, unit = "°C", range = [-20, 120], writable = true },
      { name = "mode", register = 44099, values = { 0 = "off", 1 = "heat", 2 = "cool" }, writable = true },
      { name = "total", holding = 0x1003, type = "u32", order = "word-swapped", writable = true },
      { name = "serial", holding = 0x1010, type = "text", length = 6 },
      { name = "fan", holding = 0x1020, bits = [4, 7], writable = true, function = 22 },
      { name = "alarm", holding = 0x1020, bit = 15 },
      { name = "status", holding = 0x1021, flags = { ready = 0, fault = 9 } },
      { name = "relay", coil = 3, writable = true },
      { name = "lamp", coil = 4, values = { 0 = "off", 1 = "on" }, writable = true, function = 15 },
      { name = "doors", discrete = 9, repeat = 3 },
    ]
"#;

fn profile(text: &str) -> Profile {
    device::parse(text, "meter")
        .unwrap_or_else(|faults| panic!("{}", faults.render(false)))
        .profile
}

fn faults(fields: &str) -> String {
    let text = format!("fields = [{fields}]");
    device::parse(&text, "meter")
        .map(|_| ())
        .unwrap_err()
        .render(false)
}

fn expanded(text: &str) -> Config {
    let device = device::parse(text, "meter").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let mut mistakes = Vec::new();
    let config = expand(&device.config, &mut mistakes).config.into_owned();
    assert_eq!(mistakes, []);
    config
}

fn bytes(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.replace(' ', "").as_bytes())
        .unwrap()
}

fn json(record: &Record) -> String {
    let mut out = String::new();
    record.write_json(&mut out);
    out
}

/// What a reply means, both without their checks.
fn read(profile: &Profile, request: &str, reply: &str) -> String {
    match profile.read(0, &bytes(reply), Some(&bytes(request))) {
        Outcome::Values(record) => json(&record),
        Outcome::Error(record) => format!("error {}", json(&record)),
        Outcome::Ack(record) => format!("ack {}", json(&record)),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_reply_gives_what_the_request_asked_for() {
    let meter = profile(METER);
    let voltage = read(&meter, "010400000002", "01040443663334");
    assert_eq!(voltage, r#"{"voltage":230.2}"#);
    let joined = read(&meter, "010400000006", "01040c4366333400000000 3f800000");
    assert_eq!(joined, r#"{"voltage":230.2,"current":1.000,"apparent":230}"#);
    // Half a value is none.
    assert_eq!(read(&meter, "010400000001", "0104024366"), "{}");
    assert_eq!(
        read(&meter, "010401560002", "0104043f000000"),
        r#"{"energy":0.5}"#
    );
}

#[test]
fn every_table_and_type() {
    let meter = profile(METER);
    let holding = read(&meter, "01031001 0004", "010308 ff38 0001 5678 1234");
    assert_eq!(
        holding,
        r#"{"setpoint":-20.0,"mode":"off","total":305419896}"#.replace("off", "heat")
    );
    assert_eq!(
        read(&meter, "010310100003", "010306 414234320000"),
        r#"{"serial":"AB42"}"#
    );
    let bits = read(&meter, "010310200002", "010304 8050 0201");
    assert_eq!(
        bits,
        r#"{"fan":5,"alarm":true,"status":{"ready":true,"fault":true}}"#
    );
    assert_eq!(
        read(&meter, "010100020004", "01010102"),
        r#"{"relay":true,"lamp":"off"}"#
    );
    assert_eq!(
        read(&meter, "010200090003", "01020105"),
        r#"{"doors":[true,false,true]}"#
    );
    // Function 23 reads holding registers, too.
    let both = read(&meter, "0117 10020001 10010001 02 0001", "011702 0002");
    assert_eq!(both, r#"{"mode":"cool"}"#);
}

#[test]
fn what_is_no_value_has_its_kind() {
    let meter = profile(METER);
    assert_eq!(
        read(&meter, "010400000002", "018402"),
        r#"error {"function":4,"exception":"illegal data address"}"#
    );
    assert_eq!(
        read(&meter, "010610010064", "010610010064"),
        r#"ack {"function":6,"register":4097}"#
    );
    assert_eq!(
        read(&meter, "0111", "01110301ff02"),
        r#"ack {"function":17,"data":"0301ff02"}"#
    );
    // Nobody knows what a reply without its request means.
    assert!(matches!(
        meter.read(0, &bytes("01040443663334"), None),
        Outcome::Unknown
    ));
}

#[test]
fn neighbours_are_polled_together_as_often_as_they_say() {
    let config = expanded(METER);
    let polls: Vec<(String, u64, usize)> = config
        .poll
        .iter()
        .map(|poll| {
            (
                poll.name.clone(),
                poll.every.unwrap().0.as_secs(),
                poll.parts.len(),
            )
        })
        .collect();
    let wanted = [
        ("coil-3", 5, 2),
        ("doors", 5, 0),
        ("input-0", 5, 2),
        ("holding-4097", 5, 3),
        ("serial", 5, 0),
        ("holding-4128", 5, 3),
        ("energy", 60, 0),
    ];
    assert_eq!(
        polls,
        wanted.map(|(name, every, parts)| (name.to_owned(), every, parts))
    );
    assert!(config.poll[2].parts.iter().all(|part| part.optional));
    assert_eq!(config.poll[2].reply_length, Some(17));
}

fn send(profile: &Profile, name: &str, payload: &str) -> Result<String, String> {
    let command = profile.command(name).unwrap_or_else(|| panic!("no {name}"));
    let frame = command
        .frame(payload.as_bytes())
        .map_err(|error| error.to_string())?;
    Ok(data_encoding::HEXLOWER.encode(&frame[..frame.len() - 2]))
}

#[test]
fn what_is_writable_has_a_command() {
    let meter = profile(METER);
    let sent = |name: &str, payload: &str| send(&meter, name, payload).unwrap();
    assert_eq!(
        sent("setpoint", r#"{"address":1,"setpoint":-1.5}"#),
        "01061001fff1"
    );
    assert_eq!(sent("mode", r#"{"address":1,"mode":"cool"}"#), "010610020002");
    assert_eq!(
        sent("total", r#"{"address":1,"total":305419896}"#),
        "011010030002 0456781234".replace(' ', "")
    );
    assert_eq!(sent("fan", r#"{"address":1,"fan":9}"#), "01161020ff0f0090");
    assert_eq!(sent("relay", r#"{"address":1,"relay":true}"#), "01050003ff00");
    assert_eq!(sent("relay", r#"{"address":1,"relay":false}"#), "010500030000");
    assert_eq!(sent("lamp", r#"{"address":1,"lamp":"on"}"#), "010f000400010101");
    assert_eq!(
        sent("raw", r#"{"address":1,"function":8,"data":"0000a537"}"#),
        "01080000a537"
    );
    assert_eq!(
        sent(
            "read-write",
            r#"{"address":1,"read":3,"count":6,"write":14,"values":[255,255,255]}"#
        ),
        "0117000300060 00e0003 06 00ff00ff00ff".replace(' ', "")
    );
    let refused = send(&meter, "setpoint", r#"{"address":1,"setpoint":130}"#).unwrap_err();
    assert!(refused.contains("from -20 to 120"), "{refused}");
    assert!(send(&meter, "fan", r#"{"address":1,"fan":16}"#).is_err());
    assert!(meter.command("voltage").is_none());
}

#[test]
fn mistakes_are_told_where_they_were_made() {
    for (field, says) in [
        ("{ name = 'a', input = 1, holding = 2 }", "names one register"),
        (
            "{ name = 'a', input = 1, at = 3 }",
            "the register says where it lies",
        ),
        (
            "{ name = 'a', input = 1 }, { name = 'b', at = 3 }",
            "names a register",
        ),
        ("{ name = 'address', input = 1 }", "another name"),
        ("{ name = 'a', input = 1, type = 'u8' }", "a register has 16 bits"),
        ("{ name = 'a', input = 1, type = 'text' }", "how many bytes"),
        ("{ name = 'a', coil = 1, type = 'u16' }", "one bit"),
        ("{ name = 'a', input = 65535, type = 'u32' }", "65536 registers"),
        (
            "{ name = 'a', input = 0, type = 'bytes', length = 252 }",
            "at most 125",
        ),
        (
            "{ name = 'a', input = 0, writable = true }",
            "only coils and holding",
        ),
        (
            "{ name = 'a', holding = 0, bit = 3, writable = true }",
            "mask write",
        ),
        (
            "{ name = 'a', holding = 0, function = 5, writable = true }",
            "5 or 15 for coils",
        ),
        ("{ name = 'a', holding = 0, scale = 'b' }", "`b`"),
        ("{ name = 'a', register = 20001 }", "a register's number"),
        ("{ name = 'a', input = 0, frobnicate = 1 }", "frobnicate"),
        (
            "{ name = 'a', value = '1 + 1' }, { name = 'b', input = 0 }",
            "behind the registers",
        ),
    ] {
        let text = faults(field);
        assert!(text.contains(says), "{field}: {text}");
        assert!(text.contains("meter:1:"), "{field}: {text}");
    }
}

#[test]
fn a_settings_table_is_not_needed_and_the_framing_may_be_another() {
    let plain = expanded("fields = [{ name = 'a', input = 0 }]");
    assert!(matches!(plain.frame, frame::Config::ModbusRtu(_)));
    let ascii = profile("frame = 'modbus-ascii'\nfields = [{ name = 'a', input = 0 }]");
    let tried = ascii.try_bytes(b":010402000AEF\r\n", Some(b":010400000001FA\r\n"));
    assert_eq!(tried.records().map(json).collect::<Vec<_>>(), [r#"{"a":10}"#]);
    let untouched = device::parse("kind = []\nfields = [{ name = 'a', type = 'u8' }]", "x").unwrap();
    assert!(matches!(
        expand(&untouched.config, &mut Vec::new()).config,
        Cow::Borrowed(_)
    ));
}

proptest! {
    /// Whatever part of a table is asked for, each value is there or not, and never another's.
    #[test]
    fn any_part_gives_the_same_values(first in 0x0ff0..0x1030u16, count in 1..60u16, table: Vec<u16>) {
        let meter = profile(METER);
        let word = |at: u16| table.get(usize::from(at - 0x0ff0)).copied().unwrap_or(0x4242);
        let area = |first: u16, count: u16| -> Record {
            let area = Area { table: Table::Holding, first, count };
            let words = (first..first + count).flat_map(|at| word(at).to_be_bytes());
            let reply: Vec<u8> = [1, 3, 2 * count as u8].into_iter().chain(words).collect();
            match meter.read(0, &reply, Some(&[&[1][..], &area.request()].concat())) {
                Outcome::Values(record) => record,
                other => panic!("{other:?}"),
            }
        };
        let (whole, part) = (area(0x0ff0, 125), area(first, count));
        for (name, at, n) in [("setpoint", 0x1001, 1), ("total", 0x1003, 2), ("serial", 0x1010, 3), ("fan", 0x1020, 1)] {
            let found = part.find(name).map(|entry| entry.value.clone());
            let inside = first <= at && at + n <= first + count;
            prop_assert_eq!(found.is_some(), inside, "{}", name);
            if inside {
                prop_assert_eq!(found, whole.find(name).map(|entry| entry.value.clone()));
            }
        }
    }

    #[test]
    fn any_reply_is_read_or_not(request: Vec<u8>, reply: Vec<u8>) {
        let meter = profile(METER);
        let _ = meter.read(0, &reply, Some(&request));
    }
}
