use super::*;

fn read(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|fault| fault.to_string())
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn nothing_said_is_loopback() {
    let config = read("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.validate(), []);
    let addresses = |config: &Config| -> Vec<String> {
        let listeners = config.listeners();
        assert!(listeners.iter().all(|listener| config.anonymous_at(listener)));
        listeners
            .iter()
            .map(|l| format!("{} {}", l.address, l.version))
            .collect()
    };
    assert_eq!(addresses(&config), ["127.0.0.1:1883 3.1.1"]);
    let config = read("engine = \"rumqttd\"").unwrap();
    assert_eq!(config.validate(), []);
    assert_eq!(addresses(&config), ["127.0.0.1:1883 3.1.1", "127.0.0.1:1884 5"]);
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn reads_every_key() {
    let config = read(
        r#"
        engine = "rumqttd"
        max-connections = 10
        max-packet-size = 1000
        connect-timeout = "2s"
        rumqttd = { segment-size = 4096, segments = 4, max-inflight = 20 }
        [[listener]]
        address = "0.0.0.0:8883"
        version = "5"
        tls = { certfile = "/a.pem", keyfile = "/b.pem" }
        [[listener]]
        address = "localhost:9001"
        transport = "websocket"
        [[user]]
        name = "air"
        password = "secret"
        "#,
    )
    .unwrap();
    assert_eq!(config.validate(), []);
    assert_eq!(config.listener[1].address.to_string(), "127.0.0.1:9001");
    assert!(!format!("{config:?}").contains("secret"));
}

/// The paths of what is wrong.
fn faults(text: &str) -> Vec<String> {
    let faults = read(text).unwrap().validate();
    faults.iter().map(|fault| fault.path.join(".")).collect()
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn the_network_is_let_in_by_a_word_or_with_a_name() {
    let open = "listener = [{ address = \"127.0.0.1:1\" }, { address = \"0.0.0.0:2\" }]\n";
    let user = "user = [{ name = \"a\", password = \"b\" }]\n";
    for engine in ["", "engine = \"rumqttd\"\n"] {
        assert_eq!(faults(&format!("{engine}{open}")), ["listener.1.address"]);
        assert_eq!(faults(&format!("{engine}{open}{user}")), [""; 0]);
        assert_eq!(faults(&format!("{engine}{open}allow-anonymous = true")), [""; 0]);
        let closed = format!("{engine}{open}allow-anonymous = false");
        let wrong: &[&str] = if engine.is_empty() {
            &[]
        } else {
            &["allow-anonymous"]
        };
        assert_eq!(faults(&closed), wrong);
        assert_eq!(faults(&format!("{engine}allow-anonymous = false")), wrong);
        let doubts = read(&closed).unwrap().doubts().len();
        assert_eq!(
            doubts + wrong.len(),
            1,
            "our own broker lets nobody in, and it is told"
        );
    }
    assert_eq!(faults(&format!("{open}password-file = \"/p\"")), [""; 0]);
    let word = open.replace(":2\"", ":2\", allow-anonymous = true");
    assert_eq!(faults(&word), [""; 0]);
    let doubts = read(&word.replace("true", "false")).unwrap().doubts();
    assert_eq!(doubts[0].path.join("."), "listener.1.allow-anonymous");
    let own = open.replace(":2\"", ":2\", password-file = \"/p\"");
    assert_eq!(faults(&own), [""; 0]);
    let own = read(&own).unwrap();
    let anonymous = own
        .listeners()
        .iter()
        .map(|listener| own.anonymous_at(listener))
        .collect::<Vec<_>>();
    assert_eq!(
        anonymous,
        [true, false],
        "who is listed for one listener is not for the other"
    );
    let socket = "listener = [{ address = \"unix:/s\" }]";
    assert_eq!(faults(socket), [""; 0]);
    let badge =
        "tls = { certfile = \"/a\", keyfile = \"/b\", cafile = \"/c\", use-identity-as-username = true }";
    let badges = format!("listener = [{{ address = \"0.0.0.0:2\", {badge} }}]");
    assert_eq!(faults(&badges), [""; 0]);
    let users = read(&format!("{open}{user}")).unwrap();
    assert!(
        users
            .listeners()
            .iter()
            .all(|listener| !users.anonymous_at(listener))
    );
}

#[test]
fn an_origin_is_the_beginning_of_an_address() {
    let of = |transport: &str, origin: &str| {
        faults(&format!(
            "listener = [{{ address = \"127.0.0.1:1\", transport = \"{transport}\", allowed-origins = [\"https://a.example:8443\", \"{origin}\"] }}]"
        ))
    };
    assert_eq!(of("websocket", "http://b"), [""; 0]);
    for bad in ["b", "https://", "https://b/", "*", ""] {
        assert_eq!(of("websocket", bad), ["listener.0.allowed-origins.1"], "{bad}");
    }
    assert_eq!(of("tcp", "http://b"), ["listener.0.allowed-origins"]);
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn rumqttd_does_not_pass_over_what_is_said_of_access() {
    let text = r#"
        engine = "rumqttd"
        password-file = "/p"
        acl-file = "/a"
        allow-anonymous = true
        acl = [{ topic = "a" }]
        [[user]]
        name = "a"
        password = "$7$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
        [[listener]]
        address = "127.0.0.1:1"
        mount-point = "a/"
        acl-file = "/a"
        password-file = "/p"
        tls = { certfile = "/a", keyfile = "/b", cafile = "/c", require-certificate = true }
        "#;
    let wanted = [
        "listener.0.tls.require-certificate",
        "listener.0.password-file",
        "listener.0.acl-file",
        "listener.0.mount-point",
        "user.0.password",
        "password-file",
        "acl.0.topic",
        "acl-file",
        "allow-anonymous",
    ];
    assert_eq!(faults(text), wanted);
    assert_eq!(faults(&text.replace("\"rumqttd\"", "\"native\"")), [""; 0]);
}

#[test]
fn a_password_that_looks_like_a_hash_must_be_one() {
    let fault = read("user = [{ name = \"a\", password = \"$2b$12$abc\" }]").unwrap_err();
    assert!(fault.contains("unknown kind"), "{fault}");
    assert!(read("user = [{ name = \"a\", password = \"$money\" }]").is_ok());
}

#[test]
fn mistakes_read_well() {
    let fault = read("[[listener]]\naddress = \"127.0.0.1\"").unwrap_err();
    assert!(fault.contains("a port is missing"), "{fault}");
    let fault = read("[[listener]]\naddress = \"127.0.0.1:1\"\nversion = \"4\"").unwrap_err();
    assert!(fault.contains("3.1.1"), "{fault}");
    assert!(read("listeners = []").is_err());
    assert!(read("links = 3").is_err());
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn contradictions_are_all_found() {
    let config = read(
        r#"
        engine = "rumqttd"
        allow-anonymous = true
        connect-timeout = "2min"
        rumqttd = { segments = 1 }
        [[listener]]
        address = "127.0.0.1:1883"
        [[listener]]
        address = "0.0.0.0:1883"
        version = "5"
        transport = "websocket"
        "#,
    )
    .unwrap();
    let faults: Vec<String> = config.validate().iter().map(|f| f.path.join(".")).collect();
    assert_eq!(
        faults,
        [
            "listener.1.address",
            "listener.1.version",
            "connect-timeout",
            "rumqttd.segments",
        ]
    );
}

#[test]
fn listeners_have_names_of_their_own() {
    let addresses = ["127.0.0.1:0", "127.0.0.1:1", "127.0.0.1:0", "[::1]:0"];
    let listener = addresses.map(|address| format!("[[listener]]\naddress = \"{address}\"\n"));
    let config = read(&listener.concat()).unwrap();
    let names: Vec<String> = config
        .named_listeners()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["127.0.0.1:0", "127.0.0.1:1", "127.0.0.1:0 #2", "[::1]:0"]);
}

#[test]
fn ports_that_are_chosen_by_the_system_do_not_clash() {
    let listener = vec![
        Listener::loopback(0, Version::V3),
        Listener::loopback(0, Version::V5),
    ];
    let config = Config {
        listener,
        ..Config::default()
    };
    assert_eq!(config.validate(), []);
}

#[test]
fn a_user_is_listed_once_and_by_name() {
    let user = |name: &str| format!("[[user]]\nname = \"{name}\"\npassword = \"b\"\n");
    let text = [user("a"), user(""), user("a")].concat();
    assert_eq!(faults(&text), ["user.1.name", "user.2.name"]);
}
