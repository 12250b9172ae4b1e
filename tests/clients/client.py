"""A paho client that a test leads: commands are JSON lines on stdin, events JSON lines on stdout.

Its one argument is a JSON object: host, port, version (3, 4 or 5), id, keepalive, transport, ca, will, clean, expiry,
problem (whether reason strings are wanted).
Payloads are hexadecimal digits.
"""
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def tell(event, **facts):
    # One write, so that the lines of paho's thread and of this one don't mix.
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def properties_of(message):
    """What MQTT 5 carries with a message, as the test writes it."""
    given = getattr(message, "properties", None)
    if given is None or not hasattr(given, "ContentType"):
        return None
    return {
        "content": given.ContentType,
        "response": given.ResponseTopic,
        "correlation": given.CorrelationData.hex(),
        "user": [list(pair) for pair in given.UserProperty],
    }


def properties_for(wish):
    asked = wish.get("properties")
    if not asked:
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = asked["content"]
    properties.ResponseTopic = asked["response"]
    properties.CorrelationData = bytes.fromhex(asked["correlation"])
    properties.UserProperty = [tuple(pair) for pair in asked["user"]]
    return properties


def why(properties):
    """The reason string of a packet."""
    return getattr(properties, "ReasonString", None)


def on_log(client, userdata, level, text):
    if "PINGRESP" in text:
        tell("pong")


def on_message(client, userdata, message):
    tell(
        "message",
        topic=message.topic,
        payload=message.payload.hex(),
        qos=message.qos,
        retain=message.retain,
        properties=properties_of(message),
    )


asked = json.loads(sys.argv[1])
version = asked["version"]
session = {} if version == 5 else {"clean_session": asked["clean"]}
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=asked["id"],
    protocol={3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}[version],
    transport=asked["transport"],
    reconnect_on_failure=False,
    **session,
)
client.on_log = on_log
client.on_message = on_message
client.on_connect = lambda c, u, flags, reason, props: tell(
    "connected", reason=str(reason), session=flags.session_present, why=why(props)
)
client.on_disconnect = lambda c, u, flags, reason, props: tell("disconnected", reason=str(reason), why=why(props))
client.on_subscribe = lambda c, u, mid, codes, props: tell(
    "subscribed", codes=[code.value for code in codes], why=why(props)
)
client.on_unsubscribe = lambda c, u, mid, codes, props: tell("unsubscribed")
client.on_publish = lambda c, u, mid, reason, props: tell("published", reason=str(reason), why=why(props))
if asked["will"]:
    will = asked["will"]
    client.will_set(will["topic"], bytes.fromhex(will["payload"]), will["qos"], will["retain"])
if asked["ca"]:
    client.tls_set(ca_certs=asked["ca"])
start = {}
if version == 5:
    start["clean_start"] = asked["clean"]
    start["properties"] = Properties(PacketTypes.CONNECT)
    start["properties"].SessionExpiryInterval = asked["expiry"]
    if not asked["problem"]:
        start["properties"].RequestProblemInformation = 0
client.connect(asked["host"], asked["port"], asked["keepalive"], **start)
client.loop_start()

for line in sys.stdin:
    wish = json.loads(line)
    if wish["do"] == "subscribe":
        client.subscribe(wish["filter"], wish["qos"])
    elif wish["do"] == "unsubscribe":
        client.unsubscribe(wish["filter"])
    elif wish["do"] == "publish":
        client.publish(
            wish["topic"], bytes.fromhex(wish["payload"]), wish["qos"], wish["retain"], properties=properties_for(wish)
        )
    elif wish["do"] == "disconnect":
        client.disconnect()
