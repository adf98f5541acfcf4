// What the fleet looks like, from its messages: the page's side of overview.py, standing.py and rollout.py, by the same rules.
// Whoever has a device's key can write there what he likes: every value is checked and bounded, and shown as text only.
// SPDX-License-Identifier: Apache-2.0
"use strict";

const KINDS = ["online", "report", "metrics"]; // retained: what is read of each device
const CODES = ["ok", "testing", "trial", "failed-test", "failed-latency", "failed-memory", "failed-health", "failed-crash",
  "refused-signature", "refused-expired", "refused-rollback", "refused-space", "refused-needs"];
const STATES = ["ok", "failed", "refused", "trying", "waiting"];
const MOST_BYTES = 65536, MOST_STRANGERS = 10000, MOST_METRICS = 100, MOST_TEXT = 300, MOST_EVENTS = 100, MOST_RESULTS = 20;
const MOST_SAMPLES = 360; // of one device, and medians of all: an hour at one every ten seconds
const MOST_KEPT = 100000; // samples of all devices
const SLOT = 10, MOST_IN_SLOT = 200; // seconds that become one median of all devices, and samples that it is made of
const DRAWN = ["latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "fps"];
const DRIFT = 0.25; // population stability index above which a distribution counts as changed
const SILENCE = 300; // seconds without a sign of life of a device that is said to be online
const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/, SHA256 = /^[0-9a-f]{64}$/;

class Fleet {
  // devices: name -> group, as far as they are known.
  constructor(fleet, devices) {
    this.fleet = fleet;
    this.prefix = `tody/v1/${fleet}/`;
    this.devices = new Map();
    this.desired = new Map(); // group -> the signed document
    this.releases = new Map(); // model -> the signed document
    this.events = [];
    this.slots = new Map(); // time -> samples of all devices, and their medians
    this.expires = null;
    for (const [name, group] of Object.entries(devices)) this.devices.set(name, {...blank(name), group, listed: true});
    this.listed = this.devices.size;
  }

  get patterns() {
    return [...[...KINDS, "event"].map((kind) => `${this.prefix}d/+/up/${kind}`), `${this.prefix}ro/+/+`];
  }

  // Topics that may hold a retained message which has not come: wildcards leave gaps. Presence first: who has none has no more.
  lacking() {
    return [...this.devices.values()].flatMap((device) => {
      const kinds = !device.got.has("online") ? ["online"] : device.online === null ? [] : KINDS;
      const topics = kinds.filter((kind) => !device.got.has(kind)).map((kind) => `${this.prefix}d/${device.name}/up/${kind}`);
      if (kinds !== KINDS) return topics;
      const asked = this.asked(device);
      const isLacking = asked && !device.results.has(asked.slice(0, 16));
      return isLacking ? [...topics, `${this.prefix}ro/${asked.slice(0, 16)}/${device.name}`] : topics;
    });
  }

  take(topic, bytes, now, isRetained) {
    if (!topic.startsWith(this.prefix)) return;
    const [, teller, kind] = topic.slice(this.prefix.length).match(/^d\/([^/]+)\/up\/(online|report|metrics|event)$/) || [];
    const [, release, tried] = topic.slice(this.prefix.length).match(/^ro\/([^/]+)\/([^/]+)$/) || [];
    const device = this.device(teller || tried || "");
    if (!device) return;
    try {
      const facts = parse(bytes);
      if (tried) this.result(device, release, facts);
      else this.learn(device, kind, facts, now);
      const said = isRetained ? number(facts.time) : now;
      if (said !== null) device.heard = Math.max(device.heard || 0, Math.min(now, said));
    } catch (error) {
      device.unsound++;
    }
  }

  device(name) {
    let found = this.devices.get(name);
    if (!found && NAME.test(name) && this.devices.size < this.listed + MOST_STRANGERS) {
      this.devices.set(name, found = blank(name));
    }
    return found;
  }

  result(device, release, facts) {
    if (!/^[0-9a-f]{16}$/.test(release)) throw new Error("no release");
    device.results.set(release, {code: code(facts), generation: count(facts.generation) || 0});
    if (device.results.size > MOST_RESULTS) device.results.delete(device.results.keys().next().value);
  }

  learn(device, kind, facts, now) {
    if (KINDS.includes(kind)) device.got.add(kind);
    if (Object.keys(facts).length === 0) { // a retained message was deleted
      if (kind === "online") device.online = null;
      return;
    }
    if (kind === "online") online(device, facts);
    else if (kind === "report") report(device, facts);
    else if (kind === "metrics") this.metrics(device, facts, now);
    else if (kind === "event") this.event(device, facts, now);
  }

  metrics(device, facts, now) {
    const time = Math.min(number(facts.time) ?? now, now), known = {};
    for (const [key, value] of Object.entries(facts).slice(0, MOST_METRICS)) {
      if (key !== "time" && number(value) !== null) known[words(key)] = value;
    }
    const sample = {time, ...pick(known, DRAWN)}, most = Math.min(MOST_SAMPLES, MOST_KEPT / this.devices.size);
    device.samples.push(sample);
    if (time < (device.sampled || 0)) device.samples.sort((a, b) => a.time - b.time); // sent late
    else Object.assign(device, {metrics: known, sampled: time});
    while (device.samples.length > most) device.samples.shift();
    this.gather(sample);
  }

  gather(sample) {
    const time = Math.floor(sample.time / SLOT) * SLOT;
    if (!this.slots.has(time)) this.slots.set(time, {samples: [], median: null});
    const slot = this.slots.get(time);
    if (slot.samples.length < MOST_IN_SLOT) Object.assign(slot, {median: null}).samples.push(sample);
    if (this.slots.size > MOST_SAMPLES) this.slots.delete(Math.min(...this.slots.keys()));
  }

  // The medians over all devices, the oldest first.
  medians() {
    for (const [time, slot] of this.slots) {
      const of = (key) => [key, median(slot.samples.map((sample) => sample[key]))];
      slot.median ??= {time, ...Object.fromEntries(DRAWN.map(of))};
    }
    return [...this.slots.values()].map((slot) => slot.median).sort((a, b) => a.time - b.time);
  }

  event(device, facts, now) {
    const after = isObject(facts.after) ? facts.after : {};
    const time = number(facts.time) ?? number(after.frame_time) ?? now;
    const [type, label, score] = [words(facts.type), words(after.label), number(after.top_score)];
    this.events.push({time, device: device.name, type, label, score});
    this.events.splice(0, this.events.length - MOST_EVENTS);
  }

  asked(device) {
    const desired = this.desired.get(device.group);
    if (!desired) return null;
    if (Object.hasOwn(desired.pins, device.name)) return desired.pins[device.name];
    const split = desired.split;
    return split && position("split/" + split[0], device.name) < split[1] ? split[0] : desired.model;
  }

  code(device) { // of the model that it shall run, in this rollout
    const asked = this.asked(device), found = asked && device.results.get(asked.slice(0, 16));
    return found && found.code && found.generation >= this.desired.get(device.group).begun ? found.code : null;
  }

  title(device) {
    const release = this.releases.get(device.model);
    const {name, version} = release || {name: device.title, version: device.version};
    return device.model ? `${name || device.model.slice(0, 12)}${version === null ? "" : " v" + version}` : "no model";
  }

  standings() {
    return [...this.desired.values()].sort((a, b) => (a.group < b.group ? -1 : 1)).map((desired) => {
      const members = [...this.devices.values()].filter((device) => device.group === desired.group);
      return standing(desired, members.map((d) => [d.name, this.code(d), this.asked(d)]));
    });
  }

  alerts(now) {
    const found = [], add = (kind, about, text) => found.push({kind, about, text});
    const days = this.expires === null ? Infinity : (this.expires - now) / 86400;
    const end = days > 0 ? `expire in ${days.toFixed(0)} days` : "have expired: no device updates";
    if (days < 7) add("expiring", this.fleet, `the signatures ${end}; tody keeper renews them`);
    const strangers = this.devices.size - this.listed;
    const unlisted = `the device list is incomplete: it does not name ${strangers} that speak`;
    if (strangers) add("unlisted", this.fleet, unlisted);
    for (const each of this.standings()) if (each.state === "halted") add("halted", each.group, each.why);
    for (const device of this.devices.values()) this.deviceAlerts(device, now, (kind, text) => add(kind, device.name, text));
    return found;
  }

  deviceAlerts(device, now, add) {
    if (device.online === false) add("offline", "it is not connected");
    else if (device.online === null && device.listed) add("unread", "it has never been heard of");
    else if (device.online && device.heard !== null && now - device.heard > SILENCE) {
      add("silent", `it is connected and has said nothing for ${((now - device.heard) / 60).toFixed(0)} minutes`);
    }
    const code = this.code(device) || device.code, kind = kindOf(code), desired = this.desired.get(device.group);
    const why = device.why ? `${code}: ${device.why}` : code;
    if (kind === "failed" || kind === "refused") add(kind, `${why}; it runs ${this.title(device)}`);
    if (desired && device.observed !== null && device.observed < desired.generation && device.online) {
      add("behind", `it has seen generation ${device.observed} of ${desired.generation}`);
    }
    for (const [key, value] of Object.entries(device.metrics)) {
      if (key.endsWith("drift") && value > DRIFT) add("drift", `${key} ${value.toFixed(2)} is above ${DRIFT}`);
    }
    if (device.metrics.throttled) add("throttled", "it slows down: heat, or a weak power supply");
    if (device.unsound) add("unsound", `${device.unsound} of its messages could not be understood`);
  }
}

function blank(name) {
  return {name, group: null, listed: false, online: null, since: null, heard: null, model: null, title: "", version: null,
    trial: false, observed: null, code: "", why: "", metrics: {}, sampled: null, samples: [], unsound: 0,
    got: new Set(), results: new Map()};
}

function online(device, facts) {
  if (typeof facts.online !== "boolean") throw new Error("neither true nor false");
  Object.assign(device, {online: facts.online, since: number(facts.time)});
}

function report(device, facts) {
  const model = facts.model ?? null;
  if (model !== null && !SHA256.test(model)) throw new Error("no model");
  const group = device.listed ? device.group : NAME.test(facts.group) ? facts.group : null;
  Object.assign(device, {model, group, title: words(facts.name), version: count(facts.version), trial: facts.trial === true,
    observed: count(facts.observed), code: code(facts), why: words(facts.why)});
}

function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known.length ? known[known.length >> 1] : null;
}

// Of one group; members: [device, code or null, model that is asked of it].
function standing(desired, members) {
  const codes = new Map(members.map(([device, code]) => [device, code])), asked = new Map(members.map(([d, , a]) => [d, a]));
  const none = Object.fromEntries(STATES.map((state) => [state, 0]));
  const waves = desired.waves.map((wave) => ({share: wave.share, devices: 0, ...none}));
  const waiting = desired.waves.map(() => []);
  for (const [device, code] of members) {
    const at = ownWave(desired, device), kind = kindOf(code);
    waves[at].devices++;
    waves[at][kind]++;
    if (kind === "waiting" && !Object.hasOwn(desired.pins, device)) waiting[at].push(device);
  }
  const [state, why] = judge(desired, waves, waiting, codes, asked);
  return {group: desired.group, generation: desired.generation, model: desired.model, state, why, waves};
}

function judge(desired, waves, waiting, codes, asked) {
  if (desired.paused) return ["paused", "no device begins until somebody resumes it"];
  const isFinal = (code) => code === "ok" || (code || "").startsWith("failed-");
  for (const [i, devices] of waiting.entries()) {
    const each = new Map(devices.map((device) => [asked.get(device), device])); // the same model, the same turn
    let isLater = each.size > 0, reported = 0, before = 0;
    for (const [model, device] of each) {
      const peers = (upTo) => desired.waves.slice(0, upTo).flatMap((wave) => wave.watch)
        .filter((other) => other !== device && asked.get(other) === model).map((other) => codes.get(other));
      const seen = peers(i + 1).filter(isFinal), failed = seen.filter((code) => code !== "ok");
      if (failed.length >= desired.halt_failures && failed.length > desired.halt_share * seen.length) {
        return ["halted", halted(desired, seen, failed)];
      }
      [reported, before] = [peers(i).filter(isFinal).length, peers(i).length];
      isLater &&= reported < desired.need * before;
    }
    if (isLater) return ["running", `wave ${i + 1} waits for those before: ${reported} of ${before} have reported`];
    if (each.size) return ["running", `wave ${i + 1} of ${waves.length}`];
  }
  const left = waves.reduce((sum, wave) => sum + wave.trying + wave.waiting, 0);
  return left ? ["running", `${left} ${left === 1 ? "device has" : "devices have"} not finished`] : ["done", ""];
}

function halted(desired, seen, failed) {
  const counts = [...new Set(failed)].map((code) => [code, failed.filter((other) => other === code).length]);
  const told = counts.sort((a, b) => b[1] - a[1]).map(([code, many]) => `${code} ${many}`).join(", ");
  return `${failed.length} of ${seen.length} that reported failed (${told}); ` +
    `it halts at ${desired.halt_failures} and above ${(100 * desired.halt_share).toFixed(0)}%`;
}

function kindOf(code) {
  if (!code) return "waiting";
  const kind = code.split("-")[0];
  return STATES.includes(kind) ? kind : "trying";
}

function ownWave(desired, device) {
  const at = position(desired.model, device);
  return desired.waves.findIndex((wave) => at < wave.share || wave.share === 1);
}

const places = new Map();

function position(model, device) { // 0 to 1, by chance, but the same for everybody
  const key = `${model}/${device}`;
  if (!places.has(key)) places.set(key, Number(BigInt("0x" + sha256(encoder.encode(key)).slice(0, 16))) / 2 ** 64);
  return places.get(key);
}

function parse(bytes) {
  if (bytes.length > MOST_BYTES) throw new Error("too long");
  const facts = bytes.length ? JSON.parse(decoder.decode(bytes)) : {};
  if (!isObject(facts)) throw new Error("no object");
  return facts;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const number = (value) => (typeof value === "number" && Math.abs(value) < 1e15 ? value : null);
const words = (value) => String(value ?? "").slice(0, MOST_TEXT).replace(/\p{C}/gu, " ");
const pick = (facts, keys) => Object.fromEntries(keys.map((key) => [key, facts[key] ?? null]));

function count(value) {
  if (value === undefined || value === null) return null;
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("no count");
  return value;
}

function code(facts) {
  const found = facts.code ?? "";
  if (found !== "" && !CODES.includes(found)) throw new Error("no code");
  return found;
}
