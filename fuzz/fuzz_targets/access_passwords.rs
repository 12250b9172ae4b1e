//! A password file of any bytes: no panic, each line is spoken of at most once, and a user who is put in is found
//! while all other lines stay as they are.
#![no_main]

use broker::files::{passwords, with_password};
use broker::secret::Secret;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/read_any.rs"]
mod read_any;

#[allow(dead_code, unused_imports)]
#[path = "../../src/topic/mod.rs"]
mod topic;

#[allow(dead_code, unused_imports)]
#[path = "../../src/template/mod.rs"]
mod template;

#[allow(dead_code, unused_imports)]
#[path = "../../src/broker"]
mod broker {
    pub(crate) mod secret;
    #[path = "config/access.rs"]
    mod config;
    #[path = "native/access/files.rs"]
    pub(crate) mod files;
    pub(crate) use config::Access;
}

const HASH: &str = "$6$njERlZMi/7DzNB9E$iiavfuXvUm8iyDZArTy7smTxh07GXXOrOsqxfW6gkOYVXHGk+W+i/8d3xDxrMwEPygEBhoA8A/gjQC0N2M4Lkw==";

fuzz_target!(|bytes: &[u8]| {
    let (entries, remarks) = passwords(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(entries.len() + remarks.len() <= lines);
    assert!(remarks.iter().all(|remark| (1..=lines).contains(&remark.line)));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Secret::configured(text);
    }

    let with = with_password(bytes, "air", Some(HASH)).expect("only who is taken out can be missing");
    let (found, _) = passwords(&with);
    let air = found.iter().filter(|entry| entry.name == "air" && entry.secret.is_some());
    assert_eq!(air.count(), 1);
    let others = |entries: &[broker::files::Entry]| -> Vec<String> {
        let names = entries.iter().map(|entry| entry.name.clone());
        names.filter(|name| name != "air").collect()
    };
    assert_eq!(others(&found), others(&entries));
    let without = with_password(&with, "air", None).expect("air is there");
    assert_eq!(others(&passwords(&without).0), others(&entries));
    assert!(with_password(&without, "air", None).is_none());
});
