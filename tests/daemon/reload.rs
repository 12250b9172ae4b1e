//! Another configuration while the gateway runs: what has not changed in it goes on.

use crate::support::{Client, Daemon, Device, Engine, Setup, Version, mqttyd, pause};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A port that publishes each line.
fn port(name: &str, path: &Path, topic: &str) -> String {
    format!("[[port]]\nname = '{name}'\npath = {path:?}\n[[port.publish]]\ntopic = '{topic}'\n")
}

/// Changes the text of a gateway's configuration.
fn edit(daemon: &Daemon, from: &str, to: &str) {
    let text = fs::read_to_string(&daemon.config).expect("the configuration");
    assert!(text.contains(from), "{from:?} in {text}");
    fs::write(&daemon.config, text.replacen(from, to, 1)).expect("the configuration written");
}

/// `mqttyd reload`, as its user runs it.
fn reload(daemon: &Daemon) -> Output {
    let mut command = mqttyd();
    command.args(["reload", "--socket"]).arg(&daemon.control);
    command.output().expect("the command run")
}

/// What a reload that went well says.
#[track_caller]
fn reloaded(daemon: &Daemon) -> String {
    let output = reload(daemon);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn ports_come_go_and_change_and_the_others_stay_as_they_are() {
    let (air, scale, door) = (Device::new(), Device::new(), Device::new());
    let daemon =
        Daemon::start(&[port("air", air.path(), "air"), port("scale", scale.path(), "old")].concat());
    daemon.wait_ports(&["air", "scale"], "open");
    let mut reader = daemon.client("reader");
    reader.subscribe("air", 0);
    reader.subscribe("new", 0);
    reader.subscribe("door", 0);

    // A line of which half is here already is not lost to a port that does not change.
    air.send(b"half a ");
    edit(&daemon, "'old'", "'new'");
    assert_eq!(reloaded(&daemon), "port scale changed; 1 port untouched\n");
    air.send(b"line\n");
    assert_eq!(reader.next_on("air").text(), "half a line");
    scale.send(b"1 kg\n");
    assert_eq!(reader.next_on("new").text(), "1 kg");

    let text = fs::read_to_string(&daemon.config).expect("the configuration");
    let without_scale = text.replace(&port("scale", scale.path(), "new"), "");
    fs::write(
        &daemon.config,
        without_scale + port("door", door.path(), "door").as_str(),
    )
    .unwrap();
    daemon.program.signal(Signal::HUP);
    daemon
        .log()
        .wait(&["configuration read again: port door added; port scale removed; 1 port untouched"]);
    door.send(b"open\n");
    assert_eq!(reader.next_on("door").text(), "open");
    reader.subscribe("mqttyd/port/scale/state", 0);
    assert_eq!(reader.next_on("mqttyd/port/scale/state").text(), "closed");
    assert_eq!(
        reloaded(&daemon),
        "no port and no listener has changed; 2 ports untouched\n"
    );
    assert_eq!(daemon.log().count(&["air: port open"]), 1, "it was opened once");
}

#[test]
fn a_wrong_file_is_refused_whole_with_its_faults() {
    let (air, scale) = (Device::new(), Device::new());
    let daemon = Daemon::start(
        &[
            port("air", air.path(), "air"),
            port("scale", scale.path(), "scale"),
        ]
        .concat(),
    );
    daemon.wait_ports(&["air", "scale"], "open");
    let mut reader = daemon.client("reader");
    reader.subscribe("#", 0);
    edit(&daemon, "'scale'\npath", "'weight'\npath");
    edit(&daemon, "topic = 'air'", "tropic = 'air'");
    let output = reload(&daemon);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the configuration stays as it was"), "{said}");
    assert!(said.contains("mqttyd.toml:") && said.contains("tropic"), "{said}");
    daemon.log().wait(&["tropic"]);
    scale.send(b"1 kg\n");
    assert_eq!(reader.next_on("scale").text(), "1 kg");
    edit(&daemon, "tropic", "topic");
    assert_eq!(
        reloaded(&daemon),
        "port weight added; port scale removed; 1 port untouched\n"
    );
}

#[test]
fn listeners_come_and_go_and_clients_of_the_others_stay() {
    if Engine::tested() == Engine::Rumqttd {
        return;
    }
    let daemon = Daemon::start("");
    let mut old = daemon.client("old");
    old.subscribe("a", 1);
    let more = "[[broker.listener]]\naddress = '127.0.0.1:0'\ntransport = 'websocket'\n";
    fs::write(
        &daemon.config,
        fs::read_to_string(&daemon.config).expect("the configuration") + more,
    )
    .unwrap();
    let said = reloaded(&daemon);
    assert!(said.starts_with("listening: ws://127.0.0.1:"), "{said}");

    // A listener that can't be: nothing has changed, and that one is not missed.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    edit(&daemon, more, &more.replace("127.0.0.1:0", &address.to_string()));
    let output = reload(&daemon);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&address.to_string()), "{said}");
    drop(taken);
    let said = reloaded(&daemon);
    assert!(said.contains("no longer listening: ws://"), "{said}");

    // The same address with another manner: who was there is sent away, who is elsewhere is not.
    let plain = format!("[[broker.listener]]\naddress = '{address}'\n");
    edit(
        &daemon,
        &more.replace("127.0.0.1:0", &address.to_string()),
        &plain,
    );
    let said = reloaded(&daemon);
    assert!(
        said.contains(&format!("no longer listening: ws://{address}")),
        "{said}"
    );
    assert!(said.contains(&format!("listening: mqtt://{address}")), "{said}");
    let mut guest = Client::connect(address, "guest");
    guest.subscribe("a", 0);
    edit(&daemon, &plain, "");
    reloaded(&daemon);
    assert!(guest.is_gone(), "its listener is closed");
    assert!(std::net::TcpStream::connect(address).is_err());
    let mut publisher = Client::connect(daemon.address(Version::V3), "publisher");
    publisher.publish("a", b"still here", 1, false);
    assert_eq!(old.next().text(), "still here");
}

#[test]
fn who_has_no_user_any_more_is_sent_away_and_limits_hold_at_once() {
    if Engine::tested() == Engine::Rumqttd {
        return;
    }
    let users = "allow-anonymous = true\n[[broker.user]]\nname = 'anna'\npassword = 'a'\n\
                 [[broker.user]]\nname = 'ben'\npassword = 'b'\n";
    let daemon = Setup::new("").broker(users).start();
    let address = daemon.address(Version::V3);
    let mut anna = Client::connect_as(address, "anna", "anna", "a");
    let mut ben = Client::connect_as(address, "ben", "ben", "b");
    let mut nobody = Client::connect(address, "nobody");
    edit(&daemon, "password = 'b'", "password = 'c'");
    assert_eq!(reloaded(&daemon), "no port and no listener has changed\n");
    assert!(ben.is_gone(), "his password is another one");
    anna.subscribe("a", 0);
    nobody.publish("a", b"for anna", 1, false);
    assert_eq!(anna.next().text(), "for anna");
    let mut ben = Client::connect_as(address, "ben", "ben", "c");
    ben.publish("a", b"from ben", 1, false);
    assert_eq!(anna.next().text(), "from ben");

    edit(
        &daemon,
        "[broker]\n",
        "[broker]\npersistence = false\nmessage-size-limit = 4\n",
    );
    let said = reloaded(&daemon);
    assert_eq!(
        said,
        "no port and no listener has changed; from the next start on only: broker.persistence\n"
    );
    nobody.publish("a", b"short", 0, false);
    nobody.publish("a", b"tiny", 0, false);
    assert_eq!(anna.next().text(), "tiny");
}

/// mosquitto's own test `09-acl-change` asks for it.
#[test]
fn who_connects_behind_the_signal_meets_the_new_rules() {
    if Engine::tested() == Engine::Rumqttd {
        return;
    }
    let user = "[[broker.user]]\nname = 'anna'\npassword = 'p0'\n";
    let daemon = Setup::new("").broker(user).start();
    let address = daemon.address(Version::V3);
    for n in 0..10 {
        let password = format!("p{}", n + 1);
        edit(&daemon, &format!("'p{n}'"), &format!("'{password}'"));
        daemon.program.signal(Signal::HUP);
        let mut anna = Client::connect_as(address, "anna", "anna", &password);
        anna.subscribe("a", 1);
        anna.publish("a", password.as_bytes(), 1, false);
        assert_eq!(anna.next().text(), password);
    }
}

/// Two hundred reloads, of which each changes a port and every other one a listener, while eight other ports flow and
/// fifty clients are connected.
#[test]
fn two_hundred_reloads_lose_no_byte_and_no_client() {
    const PORTS: usize = 8;
    const CLIENTS: usize = 50;
    let devices: Vec<Device> = (0..PORTS).map(|_| Device::new()).collect();
    let changing = Device::new();
    let mut ports = port("changing", changing.path(), "changing/0");
    for (n, device) in devices.iter().enumerate() {
        ports += &port(&format!("p{n}"), device.path(), &format!("flow/{n}"));
    }
    let daemon = Daemon::start(&ports);
    let names: Vec<String> = (0..PORTS).map(|n| format!("p{n}")).collect();
    daemon.wait_ports(&names.iter().map(String::as_str).collect::<Vec<_>>(), "open");
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|n| daemon.client(&format!("client-{n}")))
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.subscribe(&format!("flow/{}", n % PORTS), 0);
    }

    let stop = AtomicBool::new(false);
    let sent: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = devices
            .iter()
            .map(|device| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut line = 0;
                    // What a line of 115,200 baud carries, about: eleven bytes each millisecond.
                    while !stop.load(Ordering::Relaxed) {
                        device.send(format!("{line:010}\n").as_bytes());
                        pause(Duration::from_millis(1));
                        line += 1;
                    }
                    line
                })
            })
            .collect();
        let readers: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    let mut expected = 0;
                    loop {
                        let text = client.next().text();
                        if text == "end" {
                            break expected;
                        }
                        assert_eq!(text.parse(), Ok(expected), "the lines in order, and all of them");
                        expected += 1;
                    }
                })
            })
            .collect();
        for round in 0..200 {
            edit(
                &daemon,
                &format!("'changing/{round}'"),
                &format!("'changing/{}'", round + 1),
            );
            let native = Engine::tested() == Engine::Native;
            let listener = "[[broker.listener]]\naddress = '127.0.0.1:0'\nmount-point = 'm/'\n";
            match round % 2 {
                0 if native => edit(&daemon, "[[port]]", &format!("{listener}[[port]]")),
                1 if native => edit(&daemon, listener, ""),
                _ => {}
            }
            let said = reloaded(&daemon);
            assert!(said.starts_with("port changing changed; "), "{said}");
            assert!(said.contains(&format!("{PORTS} ports untouched")), "{said}");
        }
        stop.store(true, Ordering::Relaxed);
        let sent = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        for device in &devices {
            device.send(b"end\n");
        }
        for (n, reader) in readers.into_iter().enumerate() {
            let sent: &Vec<u64> = &sent;
            assert_eq!(reader.join().unwrap(), sent[n % PORTS]);
        }
        sent
    });
    assert!(sent.iter().all(|count| *count > 200), "{sent:?}");
    for name in &names {
        let opened = format!("{name}: port open");
        assert_eq!(daemon.log().count(&[&opened]), 1, "{name} was opened once");
    }
}
