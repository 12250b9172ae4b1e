//! DLMS notifications, plain and enciphered: whatever a meter says, no panic and no end that does not come.
#![no_main]

use mqttyd::config::device;
use mqttyd::profile::Profile;
use std::sync::LazyLock;

fn profile(text: &str) -> Profile {
    device::parse(text, "fuzz.toml").expect("a profile of our own").profile
}

static PLAIN: LazyLock<Profile> = LazyLock::new(|| profile("title = 'x'\ndecode = 'dlms'"));
static SEALED: LazyLock<Profile> = LazyLock::new(|| {
    profile(
        "title = 'x'\nunpack = { decipher = 'dlms' }\ndecode = 'dlms'\n\
         keys = { encryption = '000102030405060708090a0b0c0d0e0f' }",
    )
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = PLAIN.trace(0, input, None);
    let _ = PLAIN.trace(0, &[&[0x0f, 0, 0, 0, 0, 0][..], input].concat(), None);
    let _ = SEALED.trace(0, input, None);
});
