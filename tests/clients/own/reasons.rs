//! Reason strings (MQTT 5), which are sent where they are asked for.

use crate::support::{Daemon, Engine, Maker, Options, Outside, Setup, Version};
use serde_json::{Value, json};

const ACL: &str = "acl = [{ topic = 'may/#' }]\nmax-connections = 2";

fn start(more: &str) -> Daemon {
    Setup::new("")
        .engine(Engine::Native)
        .broker(&format!("{ACL}\n{more}"))
        .start()
}

/// What a client is told of a subscription and a message that are not allowed, of its end, and of one client too many.
fn told(daemon: &Daemon, problem: bool) -> Option<[Value; 4]> {
    let options = Options {
        version: Version::V5,
        problem,
        ..Options::default()
    };
    let connect = |name: &str| Outside::connect(Maker::Paho, daemon, name, &options);
    let mut first = connect("same")?;
    let subscribed = first.try_subscribe("not/a", 1);
    assert_eq!(subscribed["codes"], json!([0x87]));
    first.post("not/a", b"1", 1, false);
    let published = first.event("published");
    assert_eq!(published["reason"], "Not authorized");
    let _second = connect("same")?;
    // paho looks at the reason code of a DISCONNECT only if more follows: the test looks at what follows.
    let ended = first.event("disconnected");
    let _third = connect("third")?;
    let refused = Outside::refused(Maker::Paho, daemon, "fourth", &options)?;
    Some([subscribed, published, ended, refused].map(|event| event["why"].clone()))
}

#[test]
fn a_client_is_told_why_where_it_is_configured_and_wanted() {
    let daemon = start("reason-strings = true");
    let Some(why) = told(&daemon, true) else { return };
    let words = [
        "not allowed for this client",
        "not allowed for this client",
        "another connection has its client id",
        "there are as many clients as are allowed",
    ];
    assert_eq!(why, words.map(Value::from));
    let daemon = start("reason-strings = true");
    assert_eq!(
        told(&daemon, false).expect("paho is here"),
        [const { Value::Null }; 4]
    );
    assert_eq!(
        told(&start(""), true).expect("paho is here"),
        [const { Value::Null }; 4]
    );
}
