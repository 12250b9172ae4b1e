//! Any bytes against every profile: no panic, and an end.

use crate::config::device;
use crate::profile::Profile;
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/devices");
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .filter_map(|entry| Some(device::read(&entry.ok()?.path()).ok()?.profile))
        .collect()
});

/// A profile that has something of everything, most of it told by the frame itself.
const WILD: &str = r#"
    frame = "raw"
    kind = [
      { name = "a", when = { bytes = { at = 0, is = [0], mask = [1] } }, fields = [
        { name = "n", type = "u8" },
        { name = "m", type = "i24", order = "ACB", at = "next + n % 3" },
        { name = "list", repeat = "n", fields = [
          { name = "k", type = "u4" }, { name = "l", type = "u4" },
          { name = "deep", repeat = "k", length = "l", type = "uint", absent = 3, range = [0, 100] },
        ] },
        { switch = "n", cases = { "0..9" = [{ name = "t", until = [0], type = "text" }], other = [
          { tags = { type = "u8", length = "u8", adjust = -1 }, cases = { 1 = [{ name = "f", type = "f32" }] } },
        ] } },
        { name = "b", type = "bcd", length = "n & 3", if = "n > 2", sign = { bit = 7 } },
        { name = "e", type = "i8", hidden = true },
        { name = "s", type = "u16", scale = "10 ^ e", decimals = 2 },
        { name = "when", type = "bcd", time = "YYMMDDhhmm" },
        { name = "clock", type = "u32", time = { epoch = "2000", step = "min" } },
        { name = "bits", type = "u16", flags = ["x", "y", "z"] },
        { name = "rest", repeat = "rest", type = "u11", order = "little" },
        { value = "sum(rest) / count(rest) - item(rest, n)", name = "v" },
      ] },
      { name = "b", fields = [
        { at = 1, decode = { columns = { separator = ";" } }, name = "c", type = "decimal", repeat = "rest" },
        { at = 1, decode = "obis", fields = [{ name = "1.8.0", type = "decimal" }], name = "o" },
        { find = '(\d+)', name = "d", type = "decimal", repeat = "rest" },
        { at = -4, length = 4, unpack = ["hex", "invert"], type = "u16", name = "h" },
      ], unpack = { escape = { byte = 0x1b, xor = 0x20 } } },
    ]
"#;

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..120), n in 0usize..1000) {
        let profile = &PROFILES[n % PROFILES.len()];
        for branch in 0..2 {
            let _ = profile.trace(branch, &bytes, Some(&bytes));
        }
        profile.try_bytes(&bytes, None);
    }

    #[test]
    fn no_layout_runs_away(mut bytes in prop::collection::vec(any::<u8>(), 0..300), first in 0u8..32) {
        let read = device::parse(WILD, "wild").unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let (outcome, _) = read.profile.trace(0, &bytes, None);
        if let crate::profile::Outcome::Values(record) = outcome {
            let mut out = String::new();
            record.write_json(&mut out);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        }
    }
}
