// An mqtt.js client that a test leads, as client.py is; the same commands and events.
"use strict";
const fs = require("fs");
const readline = require("readline");
const mqtt = require("mqtt");

const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }).replace(/":/g, '": ') + "\n");

const asked = JSON.parse(process.argv[2]);
const v5 = asked.version === 5;
const protocol = { tcp: ["mqtt", "mqtts"], websockets: ["ws", "wss"] }[asked.transport][asked.ca ? 1 : 0];
const client = mqtt.connect({
  protocol,
  host: asked.host,
  port: asked.port,
  path: "/mqtt",
  clientId: asked.id,
  keepalive: asked.keepalive,
  protocolVersion: asked.version,
  protocolId: asked.version === 3 ? "MQIsdp" : "MQTT",
  clean: asked.clean,
  reconnectPeriod: 0,
  ca: asked.ca ? fs.readFileSync(asked.ca) : undefined,
  properties: v5 ? { sessionExpiryInterval: asked.expiry } : undefined,
  will: asked.will
    ? { ...asked.will, payload: Buffer.from(asked.will.payload, "hex") }
    : undefined,
});

const propertiesOf = (given) =>
  given && given.contentType
    ? {
        content: given.contentType,
        response: given.responseTopic,
        correlation: given.correlationData.toString("hex"),
        user: Object.entries(given.userProperties || {}).flatMap(([key, values]) =>
          [values].flat().map((value) => [key, value])),
      }
    : null;

const propertiesFor = (asked) => {
  if (!asked) return undefined;
  const user = {};
  for (const [key, value] of asked.user) user[key] = key in user ? [user[key], value].flat() : value;
  return {
    contentType: asked.content,
    responseTopic: asked.response,
    correlationData: Buffer.from(asked.correlation, "hex"),
    userProperties: user,
  };
};

const must = (then) => (error, ...rest) => {
  if (error) throw error;
  then(...rest);
};

client.on("error", (error) => { throw error; });
client.on("connect", (connack) => tell("connected", { reason: "Success", session: connack.sessionPresent }));
client.on("close", () => tell("disconnected", { reason: "closed" }));
client.on("packetreceive", (packet) => { if (packet.cmd === "pingresp") tell("pong", {}); });
client.on("message", (topic, payload, packet) =>
  tell("message", {
    topic,
    payload: payload.toString("hex"),
    qos: packet.qos,
    retain: packet.retain,
    properties: propertiesOf(packet.properties),
  }));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const wish = JSON.parse(line);
  if (wish.do === "subscribe") {
    client.subscribe(wish.filter, { qos: wish.qos }, must((granted) =>
      tell("subscribed", { codes: granted.map((one) => one.qos) })));
  } else if (wish.do === "unsubscribe") {
    client.unsubscribe(wish.filter, must(() => tell("unsubscribed", {})));
  } else if (wish.do === "publish") {
    const options = { qos: wish.qos, retain: wish.retain, properties: propertiesFor(wish.properties) };
    client.publish(wish.topic, Buffer.from(wish.payload, "hex"), options, must(() =>
      tell("published", { reason: "Success" })));
  } else if (wish.do === "disconnect") {
    client.end();
  }
});
