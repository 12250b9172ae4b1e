"""An emulated machine: qemu, a shell in it, and its serial ports as sockets here."""

import socket
import subprocess
import time
from pathlib import Path

BOOT = Path(__file__).resolve().parents[2] / "target/boot"
# Nothing here takes so long, even emulated and on a busy machine.
PATIENCE = 600


class Failed(Exception):
    """Something is not as it must be."""


def until(what, ask):
    """What `ask` says as soon as that is something; it is asked each second, for as long as patience lasts."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(1)
    raise Failed(f"not within {PATIENCE} s: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """One of the boards in `BOARDS`, booted from the image that `prepare image NAME` made."""

    def __init__(self, name):
        self.name, self.folder = name, BOOT / name
        self.ssh_port, self.mqtt_port = free_port(), free_port()
        for left in self.folder.glob("*.sock"):
            left.unlink()
        log = open(self.folder / "qemu.log", "w")
        self.qemu = subprocess.Popen(
            self.command(), cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )

    def command(self):
        board = BOARDS[self.name]
        network = (
            f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22,"
            f"hostfwd=tcp:127.0.0.1:{self.mqtt_port}-:1883"
        )
        kernel = "loglevel=4 audit=0 systemd.mask=serial-getty@ttyAMA0.service"
        command = ["qemu-system-aarch64", "-accel", "tcg,thread=multi", "-display", "none"]
        command += ["-monitor", "unix:monitor.sock,server=on,wait=off"]
        command += ["-kernel", "kernel", "-initrd", "initrd.gz", "-append", f"{kernel} {board['kernel']}"]
        command += ["-chardev", "socket,id=uart,path=uart.sock,server=on,wait=off", "-serial", "chardev:uart"]
        command += ["-netdev", network] + board["parts"].split()
        return command

    def ssh(self, command, given=None, timeout=PATIENCE):
        """Runs a command as root; its status, and what it printed."""
        if self.qemu.poll() is not None:
            raise Failed(f"qemu has ended: {(self.folder / 'qemu.log').read_text()}")
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        ssh = ["ssh", "-i", str(BOOT / "key"), "-p", str(self.ssh_port), "-o", "BatchMode=yes"]
        ssh += [word for option in options for word in ("-o", option)] + ["root@127.0.0.1", command]
        try:
            ran = subprocess.run(ssh, input=given or b"", capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return 255, ""
        return ran.returncode, (ran.stdout + ran.stderr).decode(errors="replace")

    def run(self, command, given=None):
        """Runs a command that must succeed; what it printed."""
        status, said = self.ssh(command, given)
        if status != 0:
            raise Failed(f"`{command}` ended with {status}: {said}")
        return said

    def up(self):
        """Waits until it has booted."""
        until(f"{self.name} boots", lambda: self.ssh("true", timeout=20)[0] == 0)

    def reboot(self):
        before = self.run("cat /proc/sys/kernel/random/boot_id")
        self.ssh("systemctl reboot", timeout=20)
        booted = lambda: self.ssh("cat /proc/sys/kernel/random/boot_id", timeout=20)
        until("it reboots", lambda: (lambda told: told[0] == 0 and told[1] != before)(booted()))

    def send_break(self, name):
        """A break on one of its serial ports."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(PATIENCE)
            monitor.connect(str(self.folder / "monitor.sock"))
            monitor.sendall(f"chardev-send-break {name}\n".encode())
            # The prompt before it, and the one after it.
            said = b""
            while said.count(b"(qemu)") < 2:
                said += monitor.recv(4096)

    def device(self, name):
        """What is wired to a serial port."""
        return Device(self.folder / f"{name}.sock")

    def close(self):
        self.qemu.terminate()
        try:
            self.qemu.wait(10)
        except subprocess.TimeoutExpired:
            self.qemu.kill()


class Device:
    """The far end of a serial line. With a USB adapter it is plugged in by being made, and unplugged by `close`."""

    def __init__(self, path):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(path))
        self.heard = b""

    def say(self, text):
        self.line.sendall(text)

    def hears(self, text):
        """Waits for bytes from the machine."""
        end = time.monotonic() + PATIENCE
        while text not in self.heard:
            self.line.settimeout(max(0.1, end - time.monotonic()))
            try:
                self.heard += self.line.recv(4096)
            except TimeoutError:
                raise Failed(f"the device heard {self.heard!r} and not {text!r}") from None

    def close(self):
        self.line.close()


BOARDS = {
    # ttyAMA0 is a PL011, as on a Pi; ttyUSB0 an FTDI adapter that is there while somebody is at its socket.
    "virt": {
        "image": ["700M"],
        "kernel": "disk=/dev/vda console=ttyS0",
        "parts": "-M virt -cpu cortex-a53 -smp 2 -m 1024 -chardev file,id=console,path=console.log"
        " -device pci-serial,chardev=console -drive file=disk,format=raw,if=none,id=disk,cache=unsafe"
        " -device virtio-blk-pci,drive=disk -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci"
        " -device qemu-xhci -chardev socket,id=usb,path=usb.sock,server=on,wait=off -device usb-serial,chardev=usb",
    },
    # A Raspberry Pi 3 with Debian's kernel. Its PL011 would be Bluetooth's: that node is taken from the device tree.
    "raspi3b": {
        "image": ["1G", "sdhci-iproc", "bcm2835", "mmc_block", "dwc2", "usbnet", "cdc_ether", "cdc_subset", "rndis_host"],
        "kernel": "disk=/dev/mmcblk0 console=ttyS1,115200",
        "parts": "-M raspi3b -dtb board.dtb -serial file:console.log -drive file=disk,format=raw,if=sd,cache=unsafe"
        " -device usb-net,netdev=net",
    },
}
