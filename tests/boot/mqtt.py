"""A client on this side of the network: mosquitto's."""

import subprocess

from machine import PATIENCE


def publish(machine, topic, text, *options):
    """Publishes with QoS 1: it has been taken when this returns."""
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(machine.mqtt_port), "-q", "1", "-t", topic, "-m", text]
    return subprocess.run(command + list(options), capture_output=True, timeout=PATIENCE).returncode == 0


def retained(machine, topic, *options):
    """The message that is kept for a topic, or None."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(machine.mqtt_port), "-C", "1", "-W", "30", "-t", topic]
    ran = subprocess.run(command + list(options), capture_output=True, text=True, timeout=PATIENCE)
    return ran.stdout.rstrip("\n") if ran.returncode == 0 else None
