#!/usr/bin/env python3
"""What a real driver does around frames: who turns an RS-485 line, breaks, the ninth bit. `line.py PROGRAM`, a mqttyd for
arm64: it is booted with Debian's kernel (from `prepare`) on a machine with a PL011 and a PL061, and qemu's traces show each
write to their registers, in order. No root file system, some two minutes."""

import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

BOOT = Path(__file__).resolve().parents[2] / "target/boot"
PATIENCE = 900

# The PL011's registers and bits (ARM DDI 0183).
DATA, LINE_CONTROL, CONTROL = 0x00, 0x2C, 0x30
RTS, BREAK, PARITY, EVEN, STICK = 0x800, 0x1, 0x2, 0x4, 0x80
# A free line of the board's PL061; 3 is the power button.
PIN = 5

LIBRARIES = ["ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1"]

PORT = """
[gateway]
control = ""

[[broker.listener]]
address = "127.0.0.1:1883"

[[port]]
name = "line"
path = "/dev/ttyAMA0"
baud = 9600
{line}

[[port.publish]]
topic = "line/{{{{ field }}}}"

[[port.device]]
name = "device"
[port.device.profile]
title = "a device that answers a line with a number"
frame = "line"
bus = {{ timeout = "1s", retries = 0 }}
kind = [{{ name = "value", when = {{ matches = "^[0-9]+$" }}, decode = {{ regex = "^(?<value>.*)$" }}, fields = [
  {{ name = "value", type = "decimal" }} ] }}]
poll = [{{ name = "poll", every = "2s", {poll} }}]
"""

ASK = 'text = "ask"'


def moves(log):
    """What was written, in order, and when: `rts`, `pin`, `break` and `parity` when they change, and each byte."""
    state = {}
    for line in log.splitlines():
        if found := re.search(r"@([\d.]+):pl061_set_output.* (\d+) to (\d+)", line):
            now, said = float(found[1]), {"pin": int(found[3])} if int(found[2]) == PIN else {}
        elif found := re.search(r"@([\d.]+):pl011_write .*?addr 0x([0-9a-f]+) value 0x([0-9a-f]+)", line):
            now, register, value = float(found[1]), int(found[2], 16), int(found[3], 16)
            if register == DATA:
                yield now, chr(value & 0xFF)
            said = meaning(register, value)
        else:
            continue
        for name, value in said.items():
            if state.get(name) != value:
                state[name] = value
                yield now, f"{name}={value}"


def meaning(register, value):
    if register == LINE_CONTROL:
        return {"break": value & BREAK, "parity": parity(value)}
    # All of it is 0 for a moment while the speed is set.
    return {"rts": int(bool(value & RTS))} if register == CONTROL and value else {}


def parity(value):
    if not value & PARITY:
        return "none"
    if not value & STICK:
        return "even" if value & EVEN else "odd"
    return 0 if value & EVEN else 1


# What must be seen around each request, for what the port and its poll say. `+2` is a time of 2 ms at least.
CASES = {
    "rts": ('rs485 = { direction = "rts", delay-before = "2ms", delay-after = "1ms" }', ASK, "rts=1 +2 a s k \n +1 rts=0"),
    "rts, inverted": ('rs485 = { direction = "rts", rts-on-send = false }', ASK, "rts=0 a s k \n rts=1"),
    "gpio": (f"rs485 = {{ direction = {{ gpio = {{ line = {PIN} }} }} }}", ASK, "pin=1 a s k \n pin=0"),
    # This driver takes the flag for the level of its pin, which is low where RTS is asserted. That it is set back when the
    # port is closed shows behind it: nothing moves RTS between the bytes of the next cases.
    "kernel": ('rs485 = { direction = "kernel", delay-before = "1ms" }', ASK, "rts=0 a s k \n rts=1"),
    "ninth bit": ('ninth-bit = "address"', ASK, "parity=1 a parity=0 s k \n"),
    "break": ("", 'step = [{ text = "ask", break = "20ms" }]', "break=1 +20 break=0 a s k \n"),
    "mark": ('parity = "mark"', ASK, "a s k \n"),
    # The device sends half an answer, a break, and an answer: only behind the break does a frame begin.
    "on-break": ('on-break = "begin"', 'text = "brk"', "b r k \n"),
}

INIT = """#!/bin/busybox sh
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys; busybox mount -t devtmpfs dev /dev
busybox ifconfig lo 127.0.0.1 up
for case in /cases/*; do
  echo "== ${case##*/}"
  # So that the cases are told apart in the traces, too.
  echo "#" > /dev/ttyAMA0
  busybox timeout 12 /mqttyd run --config "$case" 2>&1
done
echo "== END"
busybox sleep 1
busybox poweroff -f
"""


def initrd(program, path):
    """The program, what it needs, busybox, and the cases."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("bin", "lib", "dev", "proc", "sys", "tmp", "cases"):
            (root / name).mkdir()
        with tarfile.open(BOOT / "root.tar") as system:
            for name in LIBRARIES:
                library = system.extractfile(f"./usr/lib/aarch64-linux-gnu/{name}")
                (root / "lib" / name).write_bytes(library.read())
        (root / "bin/busybox").write_bytes((BOOT / "kernel/bin/busybox").read_bytes())
        (root / "mqttyd").write_bytes(Path(program).read_bytes())
        (root / "init").write_text(INIT)
        for number, (line, poll, _) in enumerate(CASES.values()):
            (root / f"cases/{number}").write_text(PORT.format(line=line, poll=poll))
        for program in ("bin/busybox", "mqttyd", "init", "lib/ld-linux-aarch64.so.1"):
            (root / program).chmod(0o755)
        names = "\n".join(str(file.relative_to(root)) for file in sorted(root.rglob("*")))
        archive = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=root, stdout=subprocess.PIPE, check=True
        )
        path.write_bytes(archive.stdout)


def answer(folder):
    """The device."""
    line, monitor = (socket.socket(socket.AF_UNIX) for _ in range(2))
    line.connect(str(folder / "uart"))
    monitor.connect(str(folder / "monitor"))
    heard = b""
    while byte := next_byte(line):
        heard = (heard + byte)[-4:]
        if heard == b"ask\n":
            line.sendall(b"17\n")
        elif heard == b"brk\n":
            line.sendall(b"99")
            time.sleep(0.1)
            monitor.sendall(b"chardev-send-break uart\n")
            time.sleep(0.1)
            line.sendall(b"17\n")


def next_byte(line):
    try:
        return line.recv(1)
    except ConnectionResetError:
        # The machine is off.
        return b""


def boot(folder):
    """What was said on the console, and what qemu traced."""
    [kernel] = (BOOT / "kernel/boot").glob("vmlinuz-*")
    chardevs = ["socket,id=uart,path=uart,server=on,wait=off", "file,id=console,path=console"]
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-display", "none"]
    command += ["-kernel", str(kernel), "-initrd", "initrd", "-append", "console=ttyS0 loglevel=4 rdinit=/init"]
    command += [word for chardev in chardevs for word in ("-chardev", chardev)]
    command += ["-serial", "chardev:uart", "-device", "pci-serial,chardev=console"]
    command += ["-monitor", "unix:monitor,server=on,wait=off", "-no-reboot"]
    command += ["-trace", "pl011_write", "-trace", "pl061_set_output", "-D", "registers", "-msg", "timestamp=on"]
    with subprocess.Popen(command, cwd=folder) as qemu:
        while not (folder / "monitor").exists():
            time.sleep(0.1)
        threading.Thread(target=answer, args=(folder,), daemon=True).start()
        try:
            qemu.wait(PATIENCE)
        finally:
            qemu.kill()
    return (folder / "console").read_text(errors="replace"), (folder / "registers").read_text(errors="replace")


def fits(wanted, seen):
    """Whether what was seen begins with what is wanted."""
    before = least = 0
    for word in wanted:
        if word.startswith("+"):
            least = int(word[1:]) / 1000
            continue
        if not seen or seen[0][1] != word or seen[0][0] < before + least:
            return False
        (before, _), least, seen = seen[0], 0, seen[1:]
    return True


def look(wanted, seen, said):
    """What is wrong with a case; nothing, if each request was as it must be, and its answer was understood."""
    as_wanted = sum(fits(wanted.split(" "), seen[at:]) for at in range(len(seen)))
    requests = sum(what == "k" for _, what in seen)
    if not requests or as_wanted < requests:
        return f"{as_wanted} of {requests} requests were as they must be, in {seen}"
    if "the device answers" not in said or "does not answer" in said:
        return f"the device was not understood: {said}"
    return None


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        initrd(program, folder / "initrd")
        console, registers = boot(folder)
    said = re.split("== .*\n", console)[1:]
    cases = []
    for now, what in moves(registers):
        if what == "#":
            cases.append([])
        elif cases:
            cases[-1].append((now, what))
    wrong = 0
    for number, (name, (_, _, wanted)) in enumerate(CASES.items()):
        fault = look(wanted, cases[number], said[number]) if number < len(cases) else f"not run: {console}"
        requests = sum(what == "k" for _, what in cases[number]) if number < len(cases) else 0
        print(f"{name}: {fault or f'{requests} requests, each {wanted!r}'}")
        wrong += fault is not None
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
