//! How the process starts, says that it lives, and ends.

use crate::support::{Client, Daemon, Device, PATIENCE, Program, Setup, Version, mqttyd, pause};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn ready_is_said_when_the_broker_takes_connections_whether_or_not_ports_are_there() {
    let absent = Device::absent();
    let daemon = Daemon::start(&format!("[[port]]\nname = 'absent'\npath = {:?}", absent.path()));
    // `start` waited for READY; this connects at once and tries only once.
    for version in [Version::V3, Version::V5] {
        drop(std::net::TcpStream::connect(daemon.address(version)).expect("a broker that takes connections"));
    }
    let mut client = daemon.client("reader");
    client.subscribe("mqttyd/state", 0);
    assert_eq!(client.next().text(), "online");
}

#[test]
fn the_watchdog_is_fed_while_broker_and_ports_answer() {
    let device = Device::new();
    let absent = Device::absent();
    let ports = format!(
        "[[port]]\nname = 'here'\npath = {:?}\n[[port]]\nname = 'absent'\npath = {:?}",
        device.path(),
        absent.path(),
    );
    let daemon = Setup::new(&ports).env("WATCHDOG_USEC", "400000").start();
    for _ in 0..5 {
        daemon.notify.wait("WATCHDOG=1");
    }
}

#[test]
fn sigterm_under_load_says_offline_and_is_over_in_two_seconds_with_the_ports_free() {
    let devices: Vec<Device> = (0..4).map(|_| Device::new()).collect();
    let mut ports = String::new();
    for (n, device) in devices.iter().enumerate() {
        ports += &format!(
            "[[port]]\nname = 'p{n}'\npath = {:?}\n[[port.publish]]\ntopic = 'load/{n}'\n",
            device.path(),
        );
    }
    let mut daemon = Daemon::start(&ports);
    daemon.wait_ports(&["p0", "p1", "p2", "p3"], "open");
    let addresses = [daemon.address(Version::V3), daemon.address(Version::V5)];
    let mut state = daemon.client("state");
    state.subscribe("mqttyd/state", 1);
    assert_eq!(state.next().text(), "online");
    let mut load = daemon.client("load");
    load.subscribe("load/#", 0);

    let stop = AtomicBool::new(false);
    let (status, took) = std::thread::scope(|scope| {
        for device in &devices {
            scope.spawn(|| {
                let mut lines = 0_u64;
                while !stop.load(Ordering::Relaxed) && device.try_send(b"a line of the load\n") {
                    lines += 1;
                }
                lines
            });
        }
        for _ in 0..1000 {
            load.next();
        }
        let ended = daemon.terminate();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let last = state.next();
    assert_eq!(
        (last.topic.as_str(), last.text().as_str()),
        ("mqttyd/state", "offline")
    );
    for address in addresses {
        TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is not free: {error}"));
    }
    daemon.notify.wait("STOPPING=1");
}

#[test]
fn sigterm_is_obeyed_in_time_though_a_device_and_a_client_have_stopped_reading() {
    let (deaf, loud) = (Device::new(), Device::new());
    let mut daemon = Daemon::start(&format!(
        "[[port]]\nname = 'deaf'\npath = {:?}\n[[port.command]]\ntopic = 'deaf/set'\nqueue = 1000\n\
         [[port]]\nname = 'loud'\npath = {:?}\n[[port.publish]]\ntopic = 'loud/raw'",
        deaf.path(),
        loud.path(),
    ));
    daemon.wait_ports(&["deaf", "loud"], "open");
    let mut client = daemon.client("stalls");
    for _ in 0..100 {
        client.publish("deaf/set", &[b'x'; 4000], 1, false);
    }
    client.subscribe("loud/raw", 1);
    for n in 0..20_000 {
        loud.send(format!("{n} {:x<100}\n", "").as_bytes());
    }
    let (status, took) = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

#[test]
fn a_client_that_stops_reading_harms_itself_alone() {
    let device = Device::new();
    let daemon = Setup::new(&format!(
        "[[port]]\nname = 'loud'\npath = {:?}\n[[port.publish]]\ntopic = 'loud/raw'",
        device.path(),
    ))
    .rumqttd("segments = 64")
    .start();
    daemon.wait_ports(&["loud"], "open");
    let mut stalls = daemon.client("stalls");
    stalls.subscribe("loud/raw", 1);
    let mut reads = daemon.client("reads");
    reads.subscribe("loud/raw", 0);
    let line = |n: usize| format!("{n} {:x<200}", "");
    let frames = 100_000;
    std::thread::scope(|scope| {
        scope.spawn(|| (0..frames).for_each(|n| device.send(format!("{}\n", line(n)).as_bytes())));
        for n in 0..frames {
            assert_eq!(reads.next().text(), line(n));
        }
    });
    let data = daemon.data();
    assert!(data < 100 << 20, "{} MiB are held", data >> 20);
}

/// Reading a configuration runs through much of the program; what is needed of it later comes back.
#[test]
fn the_code_of_the_start_does_not_stay() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        "[[port]]\nname = 'air'\npath = {:?}\n[[port.publish]]\ntopic = 'air'",
        device.path()
    ));
    let begin = Instant::now();
    while daemon.resident() * 3 > daemon.most_resident() * 2 {
        let (now, most) = (daemon.resident(), daemon.most_resident());
        assert!(begin.elapsed() < PATIENCE, "{now} bytes of {most} are resident");
        pause(Duration::from_millis(20));
    }
    daemon.wait_ports(&["air"], "open");
    let mut client = daemon.client("reader");
    client.subscribe("air", 1);
    device.send(b"still here\n");
    assert_eq!(client.next().text(), "still here");
}

#[test]
fn a_gateway_that_was_killed_starts_again() {
    let device = Device::new();
    let ports = format!("[[port]]\nname = 'air'\npath = {:?}", device.path());
    let mut daemon = Daemon::start(&ports);
    daemon.wait_ports(&["air"], "open");
    daemon.program.kill();
    // The control socket's file and the port's lock were left behind.
    let again = daemon.start_again();
    again.wait_ports(&["air"], "open");
    let mut watch = mqttyd();
    let mut watch = Program::start(
        watch
            .args(["watch", "--json", "-n", "1", "--socket"])
            .arg(&again.control),
    );
    watch.out.wait(&["hello"]);
    device.send(b"here\n");
    assert!(watch.wait().success());
}

#[test]
fn sigint_ends_it_as_well() {
    let mut daemon = Daemon::start("");
    daemon.program.signal(rustix::process::Signal::INT);
    assert_eq!(daemon.program.wait().code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let setup = Setup::new("").listeners(&format!("[[broker.listener]]\naddress = '{address}'"));
    let mut daemon = setup.spawn();
    assert_eq!(daemon.program.wait().code(), Some(1));
    assert!(
        daemon.log().count(&["error", &address.to_string()]) > 0,
        "{}",
        daemon.log().text()
    );
    assert!(
        daemon
            .notify
            .wait_within(Duration::from_millis(1), "READY=1")
            .is_err()
    );
}

#[test]
fn a_wrong_configuration_ends_with_78_and_every_fault() {
    let ports = "[[port]]\nname = 'a'\npath = '/dev/null'\nbuad = 9600\n[[port.publish]]\ntopic = 'a/+'";
    let mut daemon = Setup::new(ports).spawn();
    assert_eq!(daemon.program.wait().code(), Some(78));
    for part in ["buad", "baud", "a/+", "mqttyd.toml"] {
        assert!(
            daemon.log().count(&[part]) > 0,
            "nothing about {part}:\n{}",
            daemon.log().text()
        );
    }
    let mut check = Program::start(mqttyd().arg("check").arg(&daemon.config));
    assert_eq!(check.wait().code(), Some(78), "`mqttyd check` of the same file");
}

#[test]
fn a_configuration_that_is_not_there_ends_with_78() {
    let mut program = Program::start(mqttyd().args(["run", "--config", "/nowhere/mqttyd.toml"]));
    assert_eq!(program.wait().code(), Some(78));
    assert!(
        program.err.count(&["/nowhere/mqttyd.toml"]) > 0,
        "{}",
        program.err.text()
    );
}

/// A client can make the server's task of its connection panic; that must end the client, not the gateway.
#[test]
fn a_client_that_sends_rubbish_harms_itself_alone() {
    let device = Device::new();
    let mut daemon = Daemon::start(&format!(
        "[[port]]\nname = 'air'\npath = {:?}\n[[port.publish]]\ntopic = 'air/raw'",
        device.path(),
    ));
    let mut reader = daemon.client("reader");
    reader.subscribe("air/raw", 0);
    let rubbish: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        // A CONNECT, and then what only a server may send: CONNACK.
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x\x20\x02\x00\x00",
        b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01y\x20\x03\x00\x00\x00",
        // A length that never ends.
        b"\x30\xff\xff\xff\xff\xff",
    ];
    for version in [Version::V3, Version::V5] {
        for bytes in rubbish {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(daemon.address(version)).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut [0; 256]).is_ok_and(|count| count > 0) {}
        }
    }
    assert!(daemon.program.is_running());
    device.send(b"still here\n");
    assert_eq!(reader.next().text(), "still here");
    let _: Client = daemon.client("another");
}
