"""A paho client that a test leads: commands are JSON lines on stdin, events JSON lines on stdout.

Its one argument is a JSON object: host, port, version (4 or 5), id, keepalive, transport, ca, will. Payloads are hexadecimal digits.
"""
import json
import sys

import paho.mqtt.client as mqtt


def tell(event, **facts):
    # One write, so that the lines of paho's thread and of this one don't mix.
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def on_log(client, userdata, level, text):
    if "PINGRESP" in text:
        tell("pong")


def on_message(client, userdata, message):
    tell("message", topic=message.topic, payload=message.payload.hex(), qos=message.qos, retain=message.retain)


asked = json.loads(sys.argv[1])
session = {} if asked["version"] == 5 else {"clean_session": True}
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=asked["id"],
    protocol=mqtt.MQTTv5 if asked["version"] == 5 else mqtt.MQTTv311,
    transport=asked["transport"],
    reconnect_on_failure=False,
    **session,
)
client.on_log = on_log
client.on_message = on_message
client.on_connect = lambda c, u, flags, reason, props: tell("connected", reason=str(reason))
client.on_disconnect = lambda c, u, flags, reason, props: tell("disconnected", reason=str(reason))
client.on_subscribe = lambda c, u, mid, codes, props: tell("subscribed", codes=[str(code) for code in codes])
client.on_unsubscribe = lambda c, u, mid, codes, props: tell("unsubscribed")
client.on_publish = lambda c, u, mid, reason, props: tell("published", reason=str(reason))
if asked["will"]:
    will = asked["will"]
    client.will_set(will["topic"], bytes.fromhex(will["payload"]), will["qos"], will["retain"])
if asked["ca"]:
    client.tls_set(ca_certs=asked["ca"])
client.connect(asked["host"], asked["port"], asked["keepalive"])
client.loop_start()

for line in sys.stdin:
    wish = json.loads(line)
    if wish["do"] == "subscribe":
        client.subscribe(wish["filter"], wish["qos"])
    elif wish["do"] == "unsubscribe":
        client.unsubscribe(wish["filter"])
    elif wish["do"] == "publish":
        client.publish(wish["topic"], bytes.fromhex(wish["payload"]), wish["qos"], wish["retain"])
    elif wish["do"] == "disconnect":
        client.disconnect()
