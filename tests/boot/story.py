"""What is tried, in its order: from `apt install` to purge."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import mqtt
from machine import Failed, until

CONFIG = """
[[port]]
name = "air"
path = "/dev/ttyAMA0"
baud = 9600
frame = "line"

[[port.publish]]
topic = "home/{{ port }}/state"
payload = "text"
retain = true

[[port.command]]
topic = "home/air/set"

[[broker.listener]]
address = "0.0.0.0:1883"
allow-anonymous = true
"""

PLUGGED = """
[[port]]
name = "plugged"
path = "/dev/ttyUSB0"
baud = 115200
frame = "line"

[[port.publish]]
topic = "home/{{ port }}/state"
payload = "text"
retain = true
"""

APT = "DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"


def tell(machine, deb, told):
    """The whole of it; the emulated Pi, which has no place for an adapter here and takes long, leaves out some."""
    whole = machine.name == "virt"
    machine.up()
    told("booted")
    install(machine, deb)
    told("installed by apt: it runs, for this machine only, and says what to do next")
    configure(machine)
    told("configured: the UART is open")
    sensor = machine.device("uart")
    speak(machine, sensor, "21.5")
    told("a frame came to a client, a command to the sensor")
    journal(machine)
    told("the journal has the entries and their fields")
    line_break(machine, sensor)
    told("a break on the line: the port stays open, the next line comes")
    wrong_file(machine)
    speak(machine, sensor, "21.75")
    told("`mqttyd reload` with a wrong file: refused with its places, the old configuration goes on")
    clock(machine)
    told("the clock was set, there and back, and the journal says so")
    if whole:
        hot_plug(machine)
        told("an adapter was plugged in, spoke, was unplugged and plugged in again")
        credential(machine)
        told("a password file that only root may read came as a credential")
    watchdog(machine)
    speak(machine, sensor, "22.25")
    told("stopped, it was started again by the watchdog")
    wrong_start(machine)
    told("started with a wrong configuration: it ends with 78, and isn't tried again")
    if whole:
        machine.reboot()
        running(machine)
        speak(machine, sensor, "22.5", before="22.25")
        told("rebooted: it was there by itself, and knew what was retained")
    upgrade(machine, deb)
    speak(machine, sensor, "23")
    told("upgraded: the edited configuration is kept")
    purge(machine)
    told("removed: the configuration was kept; purged: nothing is left")


def expect(what, true):
    if not true:
        raise Failed(what)


def running(machine):
    until("the service runs", lambda: machine.ssh("systemctl is-active -q mqttyd")[0] == 0)


def install(machine, deb):
    machine.run("cat > /root/p.deb", given=Path(deb).read_bytes())
    machine.run(f"{APT} -qq install -y /root/p.deb")
    running(machine)
    [entry] = entries(machine, "MQTTYD_EVENT=no-port")
    for word in ("mqttyd ports", "/etc/mqttyd/mqttyd.toml", "mqttyd reload"):
        expect(f"it says what to do next: {entry}", word in entry["MESSAGE"])
    expect("it listens on loopback alone", machine.run("ss -Hltn sport = :1883").split()[3] == "127.0.0.1:1883")
    expect("the configuration is for its group", "640 root mqttyd" in machine.run("stat -c '%a %U %G' /etc/mqttyd/*.toml"))
    expect("its user is in dialout", "dialout" in machine.run("id -Gn mqttyd"))
    machine.run("systemctl is-enabled mqttyd")


def configure(machine):
    machine.run("cat >> /etc/mqttyd/mqttyd.toml", given=CONFIG.encode())
    machine.run("systemctl reload mqttyd")
    until("the port is open", lambda: mqtt.retained(machine, "mqttyd/port/air/state") == "open")


def speak(machine, sensor, value, before=None):
    """Both ways, with what is retained meanwhile."""
    until("the port is open", lambda: mqtt.retained(machine, "mqttyd/port/air/state") == "open")
    if before:
        expect("what was retained is there", mqtt.retained(machine, "home/air/state") == before)
    sensor.say(f"{value}\n".encode())
    until("the frame comes", lambda: mqtt.retained(machine, "home/air/state") == value)
    expect("the broker takes the command", mqtt.publish(machine, "home/air/set", f"RATE {value}"))
    sensor.hears(f"RATE {value}\n".encode())


def entries(machine, *matches):
    said = machine.run(f"journalctl -u mqttyd -o json --no-pager {' '.join(matches)}")
    return [json.loads(line) for line in said.splitlines()]


def journal(machine):
    [entry] = entries(machine, "MQTTYD_PORT=air", "MQTTYD_EVENT=port-open")
    expect(f"its id: {entry}", len(entry["MESSAGE_ID"]) == 32)
    explained = machine.run(f"journalctl -u mqttyd -x --no-pager MESSAGE_ID={entry['MESSAGE_ID']}")
    expect(f"its explanation: {explained}", "Subject: " in explained)
    expect(f"its path: {entry}", entry.get("MQTTYD_PATH") == "/dev/ttyAMA0")
    expect(f"its baud: {entry}", entry.get("MQTTYD_BAUD") == "9600")
    expect(f"its priority: {entry}", entry["PRIORITY"] in "56")
    expect(f"its unit: {entry}", entry["_SYSTEMD_UNIT"] == "mqttyd.service")
    expect("nothing worse than a notice", not entries(machine, "-p", "warning", "_COMM=mqttyd"))


def hot_plug(machine):
    machine.run("cat >> /etc/mqttyd/mqttyd.toml", given=PLUGGED.encode())
    before = machine.run("systemctl show -P MainPID mqttyd")
    machine.run("systemctl reload mqttyd")
    expect("it is still the same process", machine.run("systemctl show -P MainPID mqttyd") == before)
    expect("the other port was left alone", len(entries(machine, "MQTTYD_PORT=air", "MQTTYD_EVENT=port-open")) == 1)
    state = lambda: mqtt.retained(machine, "mqttyd/port/plugged/state")
    until("it is waited for", lambda: state() == "waiting")
    # The driver is loaded only now: what the unit allows is known by number.
    for value in ("1", "2"):
        adapter = machine.device("usb")
        until("the adapter is opened", lambda: state() == "open")
        adapter.say(f"{value}\n".encode())
        until("it speaks", lambda: mqtt.retained(machine, "home/plugged/state") == value)
        expect("the rule of udev", machine.run("cat /sys/class/tty/ttyUSB0/device/latency_timer").strip() == "1")
        adapter.close()
        until("it is missed", lambda: state() == "waiting")


def credential(machine):
    """A file that mqttyd may not read itself, given by the unit; then users reloaded from it."""
    drop_in = "[Service]\nLoadCredential=users:/root/users\n"
    machine.run("echo secret | mqttyd passwd --stdin --file /root/users home && chmod 600 /root/users")
    machine.run("mkdir -p /etc/systemd/system/mqttyd.service.d")
    machine.run("cat > /etc/systemd/system/mqttyd.service.d/users.conf", given=drop_in.encode())
    users = '[broker]\npassword-file = "/run/credentials/mqttyd.service/users"\n'
    machine.run("cp -p /etc/mqttyd/mqttyd.toml /root/kept.toml")
    machine.run("cat - /root/kept.toml > /etc/mqttyd/mqttyd.toml", given=users.encode())
    machine.run("systemctl daemon-reload && systemctl restart mqttyd")
    login = ("-u", "home", "-P")
    until("the user of the file", lambda: mqtt.publish(machine, "try", "1", *login, "secret"))
    expect("a wrong password is refused", not mqtt.publish(machine, "try", "1", *login, "wrong"))
    machine.run("cat /root/kept.toml > /etc/mqttyd/mqttyd.toml; rm -r /etc/systemd/system/mqttyd.service.d")
    machine.run("systemctl daemon-reload && systemctl restart mqttyd")


def watchdog(machine):
    main = lambda: machine.run("systemctl show -P MainPID mqttyd").strip()
    before = main()
    machine.run(f"kill -STOP {before}")
    until("it is started again", lambda: main() not in ("0", before))
    running(machine)
    machine.run("journalctl -u mqttyd -o cat | grep -q 'Watchdog timeout'")


def line_break(machine, sensor):
    """The line held low for longer than a character: a damaged frame at most."""
    machine.send_break("uart")
    sensor.say(b"\n")
    speak(machine, sensor, "21.625")
    expect("it was not opened again", len(entries(machine, "MQTTYD_PORT=air", "MQTTYD_EVENT=port-open")) == 1)


class WrongFile:
    """The configuration with a key that isn't known; as it was before when it is left."""

    def __init__(self, machine):
        self.machine = machine

    def __enter__(self):
        self.machine.run("cp -p /etc/mqttyd/mqttyd.toml /root/good.toml; echo 'nonsense = 1' >> /etc/mqttyd/mqttyd.toml")
        self.line = self.machine.run("wc -l < /etc/mqttyd/mqttyd.toml").strip()

    def __exit__(self, *_):
        self.machine.run("cat /root/good.toml > /etc/mqttyd/mqttyd.toml")


def wrong_file(machine):
    process = lambda: machine.run("systemctl show -P MainPID mqttyd")
    before = process()
    wrong = WrongFile(machine)
    with wrong:
        status, said = machine.ssh("mqttyd reload")
        expect(f"it says so: {status} {said}", status == 78 and "the configuration stays as it was" in said)
        expect(f"it names the place: {said}", f"mqttyd.toml:{wrong.line}:" in said and "nonsense" in said)
        refused = entries(machine, "MQTTYD_EVENT=config-refused")
        expect(f"the journal has it: {refused}", "nonsense" in refused[-1]["MESSAGE"])
        expect("systemctl says it, too", machine.ssh("systemctl reload mqttyd")[0] != 0)
        expect("it is told each time", len(entries(machine, "MQTTYD_EVENT=config-refused")) == len(refused) + 1)
    expect("the old one goes on", process() == before)
    machine.run("mqttyd reload")


def clock(machine):
    """Set by hand, as a Pi's is by the network some time after its start."""
    for by, way in (("+1 hour", "forward"), ("-1 hour", "back")):
        machine.run(f"date -s '{by}'")
        # `date` sets whole seconds, so that it may be nearly one less.
        entry = until("the journal says it", lambda: stepped(machine, way))
        expect(f"by how much: {entry}", entry["MQTTYD_STEP"].startswith(("1h", "59m 59s")))
        expect(f"its priority: {entry}", entry["PRIORITY"] == "4")


def stepped(machine, way):
    found = [entry for entry in entries(machine, "MQTTYD_EVENT=clock-stepped") if way in entry["MQTTYD_STEP"]]
    return found[-1] if found else None


def wrong_start(machine):
    with WrongFile(machine):
        expect("it doesn't start", machine.ssh("systemctl restart mqttyd")[0] != 0)
        shown = machine.run("systemctl show -P ExecMainStatus -P ActiveState mqttyd").split()
        expect(f"it has failed for good: {shown}", sorted(shown) == ["78", "failed"])
    machine.run("systemctl restart mqttyd")


def next_version(deb, folder):
    """The same package, one version on, with another configuration in it."""
    root = Path(folder) / "root"
    subprocess.run(["dpkg-deb", "-R", deb, root], check=True)
    control = root / "DEBIAN/control"
    text = control.read_text()
    control.write_text("".join(f"{line}+1\n" if line.startswith("Version:") else f"{line}\n" for line in text.splitlines()))
    with open(root / "etc/mqttyd/mqttyd.toml", "a") as config:
        config.write("# One line more.\n")
    shutil.rmtree(root / "usr/share/doc")
    made = Path(folder) / "next.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", root, made], check=True, stdout=subprocess.DEVNULL)
    return made.read_bytes()


def upgrade(machine, deb):
    config = machine.run("cat /etc/mqttyd/mqttyd.toml")
    running_now = machine.run("systemctl show -P MainPID mqttyd")
    with tempfile.TemporaryDirectory() as folder:
        machine.run("cat > /root/q.deb", given=next_version(deb, folder))
    machine.run(f"{APT} -qq install -y /root/q.deb")
    running(machine)
    expect("it was started anew", machine.run("systemctl show -P MainPID mqttyd") != running_now)
    expect("the edited configuration is kept", machine.run("cat /etc/mqttyd/mqttyd.toml") == config)
    expect("for its group", "640 root mqttyd" in machine.run("stat -c '%a %U %G' /etc/mqttyd/mqttyd.toml"))
    machine.run("grep -q 'One line more' /etc/mqttyd/mqttyd.toml.dpkg-dist")


def purge(machine):
    config = machine.run("cat /etc/mqttyd/mqttyd.toml")
    machine.run("touch /etc/mqttyd/beside")
    machine.run(f"{APT} -qq remove -y mqttyd")
    expect("it is gone", machine.ssh("pgrep -x mqttyd || test -e /usr/bin/mqttyd")[0] != 0)
    expect("the configuration is kept", machine.run("cat /etc/mqttyd/mqttyd.toml") == config)
    machine.run("test -e /var/lib/mqttyd")
    machine.run(f"{APT} -qq purge -y mqttyd")
    left = machine.run("find / -xdev -path /proc -prune -o -path /sys -prune -o -iname '*mqttyd*' -print")
    expect(f"nothing is left: {left}", not left.strip())
    expect("its user is gone", machine.ssh("getent passwd mqttyd || getent group mqttyd")[0] != 0)
    expect("its unit is forgotten", "not-found" in machine.run("systemctl show -P LoadState mqttyd"))
