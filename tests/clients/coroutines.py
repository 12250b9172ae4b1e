"""An aiomqtt client that a test leads, as client.py is; the same commands and events."""
import asyncio
import json
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def tell(event, **facts):
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def properties_of(message):
    given = message.properties
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


async def listen(client):
    async for message in client.messages:
        tell(
            "message",
            topic=message.topic.value,
            payload=message.payload.hex(),
            qos=message.qos,
            retain=message.retain,
            properties=properties_of(message),
        )


async def lead(asked):
    version = asked["version"]
    will = asked["will"] and aiomqtt.Will(
        asked["will"]["topic"], bytes.fromhex(asked["will"]["payload"]), asked["will"]["qos"], asked["will"]["retain"]
    )
    session = {"clean_session": asked["clean"]}
    if version == 5:
        session = {"clean_start": asked["clean"], "properties": Properties(PacketTypes.CONNECT)}
        session["properties"].SessionExpiryInterval = asked["expiry"]
    lines = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with aiomqtt.Client(
        asked["host"],
        asked["port"],
        identifier=asked["id"],
        protocol=aiomqtt.ProtocolVersion(version),
        transport=asked["transport"],
        keepalive=asked["keepalive"],
        tls_params=aiomqtt.TLSParameters(ca_certs=asked["ca"]) if asked["ca"] else None,
        will=will or None,
        **session,
    ) as client:
        # Whether there was a session is not for aiomqtt's users to know.
        tell("connected", reason="Success")
        listener = asyncio.create_task(listen(client))
        while line := await lines.readline():
            wish = json.loads(line)
            if wish["do"] == "subscribe":
                codes = await client.subscribe(wish["filter"], qos=wish["qos"])
                tell("subscribed", codes=[getattr(code, "value", code) for code in codes])
            elif wish["do"] == "unsubscribe":
                await client.unsubscribe(wish["filter"])
                tell("unsubscribed")
            elif wish["do"] == "publish":
                await client.publish(
                    wish["topic"],
                    bytes.fromhex(wish["payload"]),
                    qos=wish["qos"],
                    retain=wish["retain"],
                    properties=properties_for(wish),
                )
                tell("published", reason="Success")
            elif wish["do"] == "disconnect":
                break
        listener.cancel()
    tell("disconnected", reason="Success")


asyncio.run(lead(json.loads(sys.argv[1])))
