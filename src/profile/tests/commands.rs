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
            "dlt645-2007",
            "read",
            r#"{"address": "398192000337", "di": "00010000"}"#,
            "68370300928139681104333334333816",
        ),
        (
            "dooya-curtain",
            "read-position",
            r#"{"id": 1}"#,
            "550100010201a0be",
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
