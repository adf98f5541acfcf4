// What each group shall run: from the newest timestamp to the signed documents, each blob checked by its SHA-256. A page cannot
// prove signatures without a root of trust of its own: it shows what the broker has; devices believe signatures only.
// SPDX-License-Identifier: Apache-2.0
"use strict";

class Signed {
  // mqtt reads; changed(desired documents by group, releases by model, end of the timestamp) when something is new.
  constructor(mqtt, prefix, changed) {
    Object.assign(this, {mqtt, prefix, changed});
    this.wanted = new Map(); // topic -> what to do with its content
    this.known = new Map(); // topic -> content of what never changes
    this.desired = new Map();
    this.releases = new Map();
  }

  get timestamp() {
    return `${this.prefix}repo/meta/timestamp.json`;
  }

  take(topic, bytes) { // whether it was of the repository
    if (!topic.startsWith(this.prefix + "repo/")) return false;
    try {
      if (topic === this.timestamp && bytes.length) this.begin(JSON.parse(decoder.decode(bytes)).signed);
      else if (this.wanted.has(topic) && bytes.length) this.arrived(topic, bytes.slice());
    } catch (error) {
      console.warn(`${topic} is not sound: ${error}`);
    }
    return true;
  }

  arrived(topic, bytes) {
    const use = this.wanted.get(topic);
    this.wanted.delete(topic);
    const hash = topic.match(/blob\/([0-9a-f]{64})$/);
    if (hash && sha256(bytes) !== hash[1]) throw new Error("it is not what it is called");
    this.known.set(topic, bytes);
    use(JSON.parse(decoder.decode(bytes)));
  }

  ask(path, use) {
    const topic = `${this.prefix}repo/${path}`;
    if (this.known.has(topic)) return use(JSON.parse(decoder.decode(this.known.get(topic))));
    this.wanted.set(topic, use);
    return this.mqtt.read([topic], () => {}).catch(() => {}); // begins anew when the connection does
  }

  begin(signed) {
    this.expires = Date.parse(signed.expires) / 1000;
    this.tell();
    this.ask(`meta/${version(signed.meta["snapshot.json"])}.snapshot.json`, (snapshot) => {
      for (const [file, about] of Object.entries(snapshot.signed.meta)) {
        const [, group] = file.match(/^g-([a-z0-9][a-z0-9_-]*)\.json$/) || [];
        if (group) this.ask(`meta/${version(about)}.${file}`, (role) => this.group(group, role.signed.targets));
      }
    });
  }

  group(group, targets) {
    const blob = (path) => targets[path] && "blob/" + targets[path].hashes.sha256;
    if (!blob(`desired/${group}.json`)) return;
    this.ask(blob(`desired/${group}.json`), (desired) => {
      if (!isSound(desired, group)) throw new Error("it is not sound");
      this.desired.set(group, desired);
      for (const path of Object.keys(targets)) {
        if (path.startsWith(`release/${group}/`)) this.ask(blob(path), (release) => this.release(release));
      }
      this.tell();
    });
  }

  release(release) {
    this.releases.set(String(release.model), {name: words(release.name), version: count(release.version)});
    this.tell();
  }

  tell() {
    this.changed(this.desired, this.releases, this.expires);
  }
}

function version(about) {
  if (count(about.version) === null) throw new Error("it has no version");
  return about.version;
}

function isSound(desired, group) {
  const isPart = (part) => part === null || (Array.isArray(part) && SHA256.test(part[0]) && number(part[1]) !== null);
  const isWave = (wave) => number(wave.share) !== null && Array.isArray(wave.watch) && wave.watch.length <= 500;
  return desired.group === group && SHA256.test(desired.model) && Number.isSafeInteger(desired.generation)
    && Number.isSafeInteger(desired.begun) && isPart(desired.split) && isObject(desired.pins)
    && Object.values(desired.pins).every((model) => SHA256.test(model)) && Array.isArray(desired.waves)
    && desired.waves.every(isWave) && desired.waves.length > 0 && desired.waves.at(-1).share === 1
    && [desired.halt_failures, desired.halt_share, desired.need].every((value) => number(value) !== null);
}

// SHA-256 (FIPS 180-4, 2015) of bytes, in hexadecimal. The browser's own is not there for pages that came without TLS.
function sha256(bytes) {
  const size = bytes.length + 9 + 63 & ~63, view = new DataView(new ArrayBuffer(size)), w = new Uint32Array(64);
  new Uint8Array(view.buffer).set(bytes);
  view.setUint8(bytes.length, 128);
  view.setUint32(size - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(size - 4, bytes.length << 3);
  const state = ROOTS_2.slice();
  for (let at = 0; at < size; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + 4 * i);
    for (let i = 16; i < 64; i++) w[i] = w[i - 16] + s0(w[i - 15]) + w[i - 7] + s1(w[i - 2]);
    compress(state, w);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

function compress(state, w) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + ROOTS_3[i] + w[i] | 0;
    const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word; });
}

const turn = (x, n) => x >>> n | x << 32 - n;
const s0 = (x) => turn(x, 7) ^ turn(x, 18) ^ x >>> 3;
const s1 = (x) => turn(x, 17) ^ turn(x, 19) ^ x >>> 10;

// The first 32 bits behind the point of the roots of the first primes.
function roots(many, root) {
  const primes = [];
  for (let n = 2; primes.length < many; n++) if (primes.every((p) => n % p)) primes.push(n);
  return Uint32Array.from(primes, (p) => (root(p) % 1) * 2 ** 32);
}

const ROOTS_2 = roots(8, Math.sqrt), ROOTS_3 = roots(64, Math.cbrt);
