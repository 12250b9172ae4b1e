//! An ACL file of any bytes, and a client with any names: no panic, who may read a topic may subscribe to what it is
//! part of, and a pattern never reaches beyond its level.
#![no_main]

use broker::acl::Rules;
use broker::files::rules;
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
    #[path = "native/access/acl.rs"]
    pub(crate) mod acl;
    pub(crate) use config::{Access, Rule};
}

fuzz_target!(|input: (&[u8], Option<&str>, &str, &str, &str)| {
    let (bytes, user, client, filter, name) = input;
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let read = rules(bytes);
    assert!(read.lines.len() + read.faults.len() <= lines);
    assert!(read.faults.iter().chain(&read.remarks).all(|remark| (1..=lines).contains(&remark.line)));
    let grants = Rules::new(&[], read.lines).for_client(user, client);
    let (Ok(filter), Ok(name)) = (topic::Filter::parse(filter), topic::Topic::parse(name)) else {
        return;
    };
    let may = grants.may_receive(name.as_str());
    let _ = grants.may_publish(name.as_str());
    assert!(!may || grants.may_subscribe(name.as_str()));
    assert!(!may || !filter.matches(&name) || grants.may_subscribe(filter.as_str()));

    // One level for the name, whatever it is.
    let own = Rules::new(&[], rules(b"pattern p/%u/%c\n").lines).for_client(user, client);
    if own.may_receive(name.as_str()) {
        assert_eq!(name.as_str(), format!("p/{}/{client}", user.expect("a pattern with %u is for names")));
        assert_eq!(name.as_str().split('/').count(), 3);
    }
});
