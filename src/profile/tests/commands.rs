//! Commands of the profiles, against requests that others have recorded or printed.

use super::corpus::root;
use crate::config::device;
use data_encoding::HEXLOWER;

/// The bytes of a device's command.
fn frame(device: &str, command: &str, payload: &str) -> Vec<u8> {
    let read = device::read(&root().join(format!("config/devices/{device}.toml"))).unwrap();
    let command = read
        .profile
        .command(command)
        .unwrap_or_else(|| panic!("{device}: {command}"));
    let frame = command.frame(payload.as_bytes());
    frame.unwrap_or_else(|error| panic!("{device}: {}: {error}", command.name()))
}

#[test]
fn commands_give_the_requests_that_devices_know() {
    let cases = [
        (
            "mitsubishi-cn105",
            "ask",
            r#"{"what": "settings"}"#,
            "fc42013010020000000000000000000000000000007b",
        ),
        (
            "daly-bms",
            "ask",
            r#"{"what": "pack"}"#,
            "a540900800000000000000007d",
        ),
        (
            "nova-sds011",
            "sleep",
            r#"{"state": "sleep"}"#,
            "aab406010000000000000000000000ffff05ab",
        ),
        ("hlk-ld2410", "configure", "", "fdfcfbfa0400ff00010004030201"),
        ("hlk-ld2410", "engineering", "", "fdfcfbfa0200620004030201"),
        (
            "pelco-d",
            "move",
            r#"{"address": 1, "direction": "up", "pan": 0, "tilt": 32}"#,
            "ff010008002029",
        ),
        ("tuya-mcu", "heartbeat", "", "55aa00000000ff"),
        (
            "tuya-mcu",
            "switch",
            r#"{"id": 1, "on": true}"#,
            "55aa0006000501010001010e",
        ),
        (
            "irobot-roomba-stream",
            "stream",
            r#"{"first": 29, "second": 13}"#,
            "94021d0d",
        ),
        ("dsc-it100", "poll", "", "30303039300d0a"),
        ("elk-m1", "zones", "", "30367a73303034440d0a"),
        ("visca-camera", "power", r#"{"power": "on"}"#, "8101040002ff"),
        (
            "pjlink-projector",
            "power",
            r#"{"power": "on"}"#,
            "2531504f575220310d",
        ),
        (
            "midi",
            "control",
            r#"{"channel": 1, "control": 7, "value": 100}"#,
            "b00764",
        ),
        ("and-scale", "ask", "", "510d0a"),
        (
            "dlt645-2007",
            "read",
            r#"{"address": "398192000337", "di": "00010000"}"#,
            "68370300928139681104333334333816",
        ),
        (
            "dooya-curtain",
            "read-position",
            r#"{"address": 1}"#,
            "550100010201a0be",
        ),
        (
            "somfy-sdn",
            "get-position",
            r#"{"address": 485568}"#,
            "f374fd0000ff3f97f80531",
        ),
        (
            "omron-hostlink",
            "read-dm",
            r#"{"address": 0, "word": 150, "count": 4}"#,
            "4030305244303135303030303435362a0d",
        ),
        (
            "pylontech-us2000-rs485",
            "analog",
            r#"{"address": 2}"#,
            "7e3230303234363432453030324646464430390d",
        ),
        (
            "vaisala-wxt520",
            "read",
            r#"{"address": "0", "message": 1}"#,
            "3052310d0a",
        ),
        ("tdt-bms", "analog", "", "7e000103008c000099420d"),
        ("monoprice-6zone", "read-zone", r#"{"zone": 11}"#, "3f31310d"),
        ("sensirion-sps30", "start", "", "7e0000020103f97e"),
        (
            "viessmann-optolink-p300",
            "read",
            r#"{"address": 21797, "count": 2}"#,
            "4105000155250282",
        ),
        ("escort-db2-lls", "read-settings", r#"{"address": 1}"#, "3101f0c5"),
        ("escort-db2-lls", "read-device", r#"{"address": 1}"#, "3101fc66"),
        ("honeywell-hpma115c0", "read", "", "68010493"),
        ("honeywell-hpma115c0", "stop-auto", "", "68012077"),
        ("honeywell-hpma115c0", "start-auto", "", "68014057"),
        (
            "honeywell-hpma115c0",
            "set-coefficient",
            r#"{"coefficient": 30}"#,
            "6802081e70",
        ),
        (
            "jk-bms-nw",
            "read",
            "",
            "4e5700130000000006030000000000006800000129",
        ),
        ("kamstrup-kmp", "read-serial", "", "803f0235e90d"),
        (
            "kamstrup-kmp",
            "read-register",
            r#"{"register": 68}"#,
            "803f100100444dc00d",
        ),
        (
            "kamstrup-kmp",
            "read-register",
            r#"{"register": 128}"#,
            "803f1001001b7fd4080d",
        ),
        (
            "kamstrup-kmp",
            "read-registers",
            r#"{"first": 346, "second": 154}"#,
            "803f1002015a009a1bbf2b0d",
        ),
        (
            "mbus-wired-meters",
            "read",
            r#"{"control": "next", "address": 5}"#,
            "107b058016",
        ),
        ("megatec-q1-ups", "read", "", "51310d"),
        (
            "mercury-200",
            "read-energy",
            r#"{"address": 4262605910}"#,
            "fe1234562736d8",
        ),
        (
            "mercury-200",
            "read-now",
            r#"{"address": 4262605910}"#,
            "fe1234566336eb",
        ),
        (
            "mercury-200",
            "read-battery",
            r#"{"address": 4262605910}"#,
            "fe12345629b71c",
        ),
        (
            "mercury-230",
            "open",
            r#"{"address": 0, "level": "user", "password": "010101010101"}"#,
            "0001010101010101017781",
        ),
        ("mercury-230", "read-energy", r#"{"address": 0}"#, "000500001025"),
        ("mercury-230", "read-phases", r#"{"address": 0}"#, "000560003825"),
        (
            "mercury-230",
            "read",
            r#"{"address": 0, "what": "voltage1"}"#,
            "000811114dba",
        ),
        ("mettler-toledo-sics", "read", "", "53490d0a"),
        ("monoprice-6zone", "read-zone", r#"{"zone": 11}"#, "3f31310d"),
        ("atlas-ezo-uart", "get-temperature", "", "542c3f0d"),
    ];
    for (device, command, payload, bytes) in cases {
        assert_eq!(
            HEXLOWER.encode(&frame(device, command, payload)),
            bytes,
            "{device}: {command} {payload}"
        );
    }
}

#[test]
fn what_reads_a_command_back_must_be_a_poll() {
    let profile = |verify: &str| {
        let text = format!(
            "frame = 'raw'\n[[kind]]\nname = 'a'\nfields = [{{ name = 'a', type = 'u8' }}]\n\
             [[command]]\nname = 'set'\nbytes = [1]\nverify = '{verify}'\n\
             [[poll]]\nname = 'get'\nbytes = [2]\n"
        );
        device::parse(&text, "test")
    };
    let read = profile("get").unwrap();
    assert_eq!(read.profile.command("set").unwrap().verify(), Some("get"));
    let faults = profile("got").unwrap_err().render(false);
    assert!(faults.contains("there is no poll `got`"), "{faults}");
}
