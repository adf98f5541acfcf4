// MQTT 5 over WebSockets, as much as a reader needs: connect, subscribe, receive with QoS 0 and 1, ping, come back.
// It cannot publish: what is shown here is changed by the signing commands only.
// SPDX-License-Identifier: Apache-2.0
"use strict";

const WINDOW = 8; // topics of one SUBSCRIBE: no broker takes fewer
const MOST_PACKET = 8 << 20; // bytes
const KEEP_ALIVE = 20; // seconds
const DELAYS = [1, 2, 4, 8, 15]; // seconds before the next try to connect
const LASTING = 10; // seconds after which a connection counts as a good one
const REASONS = {0x84: "it does not speak MQTT 5", 0x85: "it refuses the client's name", 0x86: "wrong user or password",
  0x87: "not authorized", 0x88: "it is not ready", 0x8b: "it is shutting down", 0x8d: "it heard nothing for too long",
  0x8e: "another page uses the same name, and each needs its own"};
const CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, UNSUBSCRIBE = 10, PINGREQ = 12;
const PINGRESP = 13, DISCONNECT = 14;
const TWICE = "the connection breaks again and again: perhaps another page uses the same name, and each needs its own";
const encoder = new TextEncoder(), decoder = new TextDecoder();

class Mqtt {
  // connected() after every connection, message(topic, bytes, isRetained), closed(why, seconds until the next try).
  constructor(url, user, password, {connected, message, closed}) {
    Object.assign(this, {url, user, password, connected, message, closed});
    this.tries = 0;
    this.packet = 0;
    this.open();
    setInterval(() => this.watch(), 1000 * KEEP_ALIVE / 2);
    addEventListener("online", () => this.again());
  }

  open() {
    this.timer = 0;
    this.rest = new Uint8Array(0);
    this.waiting = new Map(); // packet number -> [resolve, reject]
    this.pings = []; // the same for each ping, in order
    this.why = "";
    this.heard = Date.now();
    const socket = this.socket = new WebSocket(this.url, "mqtt");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send(CONNECT, 0, this.greeting());
    socket.onmessage = (event) => socket === this.socket && this.receive(new Uint8Array(event.data));
    socket.onclose = () => socket === this.socket && this.lost();
  }

  lost() {
    const lasted = this.ready ? (Date.now() - this.since) / 1000 : 0;
    if (lasted > LASTING) this.tries = 0;
    if (this.ready) this.why ||= this.tries > 1 ? TWICE : "the connection broke";
    this.ready = false;
    for (const [, reject] of [...this.waiting.values(), ...this.pings]) reject(new Error("the connection broke"));
    const delay = DELAYS[Math.min(this.tries++, DELAYS.length - 1)];
    this.closed(this.why || "the broker cannot be reached", delay);
    this.timer = setTimeout(() => this.open(), 1000 * delay);
  }

  again() { // at once, if it waits for the next try
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.open();
  }

  hangUp(why) {
    this.why = why;
    this.socket.close();
    this.socket.onclose = null; // a dead link would answer late
    this.lost();
  }

  watch() { // notices a link that died without a word
    if (!this.ready) return;
    if (Date.now() - this.heard > 1500 * KEEP_ALIVE) this.hangUp("the broker does not answer");
    else this.fence().catch(() => {}); // that it broke is told elsewhere
  }

  greeting() {
    const name = "page-" + crypto.getRandomValues(new Uint32Array(2)).join("-");
    const flags = this.user ? 128 | 64 | 2 : 2; // user, password, a clean session
    const words = this.user ? [name, this.user, this.password] : [name];
    const most = [5, 0x27, ...[24, 16, 8, 0].map((bits) => MOST_PACKET >> bits & 255)]; // five bytes of properties
    return [...text("MQTT"), 5, flags, 0, KEEP_ALIVE * 2, ...most, ...words.flatMap(text)];
  }

  send(kind, flags, body) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const length = [];
    let rest = body.length;
    do length.push(rest & 127 | (rest > 127 ? 128 : 0)); while (rest >>= 7);
    this.socket.send(new Uint8Array([kind << 4 | flags, ...length, ...body]));
  }

  // Go on hearing of these topics, which may hold wildcards. Rejects when the broker refuses one.
  async subscribe(topics, qos) {
    for (let i = 0; i < topics.length; i += WINDOW) {
      const id = this.number();
      this.send(SUBSCRIBE, 2, [...id, 0, ...topics.slice(i, i + WINDOW).flatMap((topic) => [...text(topic), qos])]);
      const codes = await new Promise((...ends) => this.waiting.set(id[0] << 8 | id[1], ends));
      if (codes.some((code) => code > 127)) throw new Error("the broker does not let this page read");
    }
  }

  // Have what is retained at these exact topics sent once, a few at a time. done(how many) after each window.
  async read(topics, done) {
    for (let i = 0; i < topics.length; i += WINDOW) {
      const window = topics.slice(i, i + WINDOW);
      await this.subscribe(window, 1);
      await this.fence();
      this.send(UNSUBSCRIBE, 2, [...this.number(), 0, ...window.flatMap((topic) => [...text(topic)])]);
      done(i + window.length);
    }
  }

  fence() { // brokers answer in order: when the ping comes back, so has what was asked for before
    this.send(PINGREQ, 0, []);
    return new Promise((...ends) => this.pings.push(ends));
  }

  number() {
    this.packet = this.packet % 65535 + 1;
    return [this.packet >> 8, this.packet & 255];
  }

  receive(bytes) {
    this.heard = Date.now();
    const all = new Uint8Array(this.rest.length + bytes.length);
    all.set(this.rest);
    all.set(bytes, this.rest.length);
    let at = 0;
    for (let end; (end = packetEnd(all, at)) && end.at <= all.length; at = end.at) {
      this.handle(all[at] >> 4, all[at] & 15, all.subarray(end.body, end.at));
    }
    const next = packetEnd(all, at);
    if (next && next.at - at > MOST_PACKET) return this.hangUp("the broker sent a message that is too large");
    this.rest = all.slice(at);
  }

  handle(kind, flags, body) {
    if (kind === CONNACK) this.welcomed(body[1]);
    else if (kind === PUBLISH) this.received(flags, body);
    else if (kind === SUBACK) this.acknowledged(body[0] << 8 | body[1], [...body.subarray(behindProperties(body, 2))]);
    else if (kind === DISCONNECT) this.why = reason(body[0]);
    else if (kind === PINGRESP) this.pings.shift()?.[0]();
  }

  welcomed(code) {
    if (code) return this.hangUp(reason(code));
    this.ready = true;
    this.since = Date.now();
    this.connected();
  }

  received(flags, body) {
    const qos = flags >> 1 & 3, end = 2 + (body[0] << 8 | body[1]);
    if (qos) this.send(PUBACK, 0, [body[end], body[end + 1]]);
    const content = body.subarray(behindProperties(body, qos ? end + 2 : end));
    this.message(decoder.decode(body.subarray(2, end)), content, (flags & 1) === 1);
  }

  acknowledged(id, codes) {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    found?.[0](codes);
  }
}

function text(string) {
  const bytes = encoder.encode(string);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}

const reason = (code) => `the broker says no: ${REASONS[code] || "code " + code}`;

// Where the packet at this place has its body and its end; null: not known yet.
function packetEnd(bytes, at) {
  const length = number7(bytes, at + 1);
  return length && {body: length.at, at: length.at + length.value};
}

function behindProperties(body, at) {
  const length = number7(body, at);
  return length ? length.at + length.value : body.length;
}

// A number of seven bits a byte, and the place behind it; null: it is not all there.
function number7(bytes, at) {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    if (at + i >= bytes.length) return null;
    value |= (bytes[at + i] & 127) << 7 * i;
    if (bytes[at + i] < 128) return {value, at: at + i + 1};
  }
  return {value: Infinity, at: at + 4}; // no length is that long: refused as too large
}
