//! mosquitto_pub, _sub and _rr over each way that they know, and what MQTT 5 carries.

use super::story::House;
use crate::support::{
    Device, Engine, Maker, MosquittoSub, Options, Outside, Route, Setup, Version, mosquitto,
};

/// How to reach our own broker over each way that mosquitto's clients know; they speak no WebSocket.
fn ways(house: &House) -> Vec<Vec<String>> {
    let port = |route| house.daemon.address_over(route, Version::V3).port().to_string();
    let (plain, secure) = (port(Route::Tcp), port(Route::Tls));
    let ca = house.ca.to_str().expect("a path in UTF-8");
    let ways = [
        vec!["-h", "127.0.0.1", "-p", &plain],
        vec!["-h", "localhost", "-p", &secure, "--cafile", ca],
        vec!["--unix", house.socket.to_str().expect("a path in UTF-8")],
    ];
    ways.map(|way| way.into_iter().map(String::from).collect()).into()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

#[test]
fn every_way_and_version_with_sessions_that_stay() {
    let house = House::open();
    for way in ways(&house) {
        for version in ["mqttv31", "mqttv311", "mqttv5"] {
            let with = |args: &str| [way.clone(), words("-V"), words(version), words(args)].concat();
            let reader = with("-i keeper -c -q 2 -t a/#");
            let send = |args: &str| {
                let mut sent = mosquitto("mosquitto_pub", &with(args)).expect("it was there before");
                assert!(sent.wait().success(), "{args}: {}", sent.err.text());
            };
            let Some(mut keeper) = MosquittoSub::with(&reader) else {
                return;
            };
            for qos in 0..=2 {
                send(&format!("-t a/b -m now -q {qos}"));
                let message = keeper.next();
                assert_eq!(
                    (&message.payload[..], message.qos),
                    (&b"now"[..], qos),
                    "{way:?} {version}"
                );
            }
            keeper.program.kill();
            for qos in 1..=2 {
                send(&format!("-t a/c -m missed -q {qos}"));
            }
            let mut keeper = MosquittoSub::with(&reader).expect("one is installed");
            for qos in 1..=2 {
                let message = keeper.next();
                let got = (message.topic.as_str(), &message.payload[..], message.qos);
                assert_eq!(got, ("a/c", &b"missed"[..], qos), "{way:?} {version}");
            }
            // Clean again, for the next one.
            drop(keeper);
            let forgets = with("-i keeper -t a/# -W 1 -E");
            assert!(
                mosquitto("mosquitto_sub", &forgets)
                    .expect("one is installed")
                    .wait()
                    .success()
            );
        }
    }
}

#[test]
fn requests_are_answered() {
    let house = House::open();
    for way in ways(&house) {
        for version in [Version::V3, Version::V5] {
            let options = Options {
                version,
                ..Options::default()
            };
            let mut answers = Outside::connect(Maker::Rumqttc, &house.daemon, "answers", &options)
                .expect("it is part of the tests");
            answers.subscribe("ask/it", 1);
            let word = if version == Version::V5 {
                "mqttv5"
            } else {
                "mqttv311"
            };
            let ask = words(&format!(
                "-V {word} -t ask/it -e answer/it -m question -q 1 -W 30"
            ));
            let Some(mut asks) = mosquitto("mosquitto_rr", &[way.clone(), ask].concat()) else {
                return;
            };
            assert_eq!(answers.next().payload, b"question");
            answers.publish("answer/it", b"answer", 1, false);
            assert!(asks.wait().success(), "{}", asks.err.text());
            assert_eq!(asks.out.text(), "answer", "{way:?} {version:?}");
        }
    }
}

#[test]
fn what_mqtt_5_carries_with_a_message_arrives() {
    let daemon = Setup::new("").engine(Engine::Native).start();
    let port = daemon.address(Version::V5).port();
    let args = format!("-V mqttv5 -p {port} -t a -q 1 -C 1 -d -D subscribe subscription-identifier 77");
    let format = words("-F")
        .into_iter()
        .chain(["got %C|%D|%F|%P|%R|%S|%p".into()])
        .collect();
    let Some(mut reader) = mosquitto("mosquitto_sub", &[words(&args), format].concat()) else {
        return;
    };
    reader.out.wait(&["Subscribed"]);
    let args = format!(
        "-V mqttv5 -p {port} -t a -q 1 -m payload -D publish content-type text/plain -D publish correlation-data id \
         -D publish payload-format-indicator 1 -D publish user-property unit kg -D publish user-property unit lb \
         -D publish response-topic answers -D publish message-expiry-interval 60"
    );
    let mut sent = mosquitto("mosquitto_pub", &words(&args)).expect("one is installed");
    assert!(sent.wait().success(), "{}", sent.err.text());
    let line = reader.out.wait(&["got "]);
    assert_eq!(line, "got text/plain|id|1|unit:kg unit:lb|answers|77|payload");
    assert!(reader.wait().success());
}

/// A request of MQTT 5 to a device: its end comes to the response topic with its correlation data, and one that comes
/// twice is done once.
#[test]
fn a_command_with_a_response_topic_is_answered_there() {
    let device = Device::new();
    let ports = format!(
        "[[port]]\nname = 'valve'\npath = {:?}\n[[port.command]]\ntopic = 'valve/set'\n",
        device.path()
    );
    let daemon = Setup::new(&ports).engine(Engine::Native).start();
    daemon.wait_ports(&["valve"], "open");
    let port = daemon.address(Version::V5).port();
    let args = words(&format!("-V mqttv5 -p {port} -t answers -q 1 -C 2 -d -F"));
    let Some(mut reader) = mosquitto("mosquitto_sub", &[args, vec!["got %D %p".into()]].concat()) else {
        return;
    };
    reader.out.wait(&["Subscribed"]);
    let send = |payload: &str, id: &str| {
        let args = format!(
            "-V mqttv5 -p {port} -t valve/set -q 1 -m {payload} -D publish response-topic answers -D publish \
             correlation-data {id}"
        );
        let mut sent = mosquitto("mosquitto_pub", &words(&args)).expect("one is installed");
        assert!(sent.wait().success(), "{}", sent.err.text());
    };
    send("open", "one");
    device.expect(b"open\n");
    let line = reader.out.wait(&["got one "]);
    assert!(
        line.contains("\"state\":\"sent\"") && line.contains("\"final\":true"),
        "{line}"
    );
    send("open", "one");
    send("shut", "two");
    device.expect(b"shut\n");
    reader.out.wait(&["got two "]);
    assert!(reader.wait().success());
}
