// What is shown. Everything that came from outside is set as text, never as HTML, and the page is drawn at most twice a second.
// SPDX-License-Identifier: Apache-2.0
"use strict";

const settings = JSON.parse(document.getElementById("settings").textContent);
const PAUSE = 500; // ms between drawings
const ROWS = 100; // devices that are shown before somebody asks for more
const TOLD = 12; // alerts that are shown before somebody asks for more
const WORDS = {ok: "good", failed: "failed", refused: "refused", trying: "trying", waiting: "waiting"};
const PERCENTILES = [["p50", "latency_p50_ms"], ["p95", "latency_p95_ms"], ["p99", "latency_p99_ms"]];
const seen = {fleet: null, mqtt: null, signed: null, link: "connecting", reading: "", chosen: null, filter: ""};
const most = {rows: ROWS, told: TOLD};
const rows = new Map(); // device -> its row and cells
const now = () => Date.now() / 1000;
const $ = (id) => document.getElementById(id);

function start() {
  if (!settings.fleet) return show("link", "this page has no settings: tody fleet dashboard fills them in", "bad");
  const fleet = seen.fleet = new Fleet(settings.fleet, settings.devices || {});
  $("fleet").textContent = document.title = `${settings.fleet} · tody`;
  $("filter").addEventListener("input", (event) => mark("filter", event.target.value.trim().toLowerCase()));
  $("more").addEventListener("click", () => showMore({rows: most.rows + 10 * ROWS}));
  $("all-alerts").addEventListener("click", () => showMore({told: Infinity}));
  addEventListener("resize", draw);
  setInterval(draw, 5000); // times pass
  alone(() => connect(fleet));
}

// A broker lets each name in once: of two tabs with the same one, the second waits for the first to be closed.
function alone(go) {
  if (!settings.once || !navigator.locks) return go();
  mark("link", "another tab shows this fleet: this one goes on when that is closed");
  return navigator.locks.request(`tody ${settings.fleet}`, () => new Promise(go));
}

function connect(fleet) {
  mark("link", "connecting");
  const url = new URL(settings.url, location.href).href.replace(/^http/, "ws");
  seen.mqtt = new Mqtt(url, settings.user, settings.password, {
    connected: () => begin().catch((error) => mark("link", `connected, but ${error.message}`)),
    message(topic, bytes, isRetained) {
      if (!seen.signed.take(topic, bytes)) fleet.take(topic, bytes, now(), isRetained);
      draw();
    },
    closed: (why, delay) => mark("link", `${why}; next try in ${delay} s`),
  });
  seen.signed = new Signed(seen.mqtt, fleet.prefix, (desired, releases, expires) => {
    Object.assign(fleet, {desired, releases, expires});
    draw();
  });
}

async function begin() {
  mark("link", "");
  document.body.classList.remove("unknown");
  const {mqtt, fleet, signed} = seen;
  await mqtt.subscribe(fleet.patterns, 0);
  await mqtt.subscribe([signed.timestamp], 1);
  await mqtt.fence();
  for (let round = 0; round < 3; round++) { // presence, the rest, and results of what is asked, which may come late
    const lacking = fleet.lacking();
    await mqtt.read(lacking, (done) => mark("reading", done < lacking.length ? `reading ${done} of ${lacking.length}` : ""));
  }
}

function mark(key, value) {
  seen[key] = value;
  draw();
}

function showMore(limits) {
  Object.assign(most, limits);
  draw();
}

let planned = 0, drawn = 0;

function draw() {
  if (planned) return;
  planned = setTimeout(() => {
    planned = 0;
    drawn = Date.now();
    if (seen.fleet) drawAll(seen.fleet, now());
  }, Math.max(0, drawn + PAUSE - Date.now()));
}

function drawAll(fleet, at) {
  const alerts = fleet.alerts(at), devices = [...fleet.devices.values()], online = devices.filter((d) => d.online).length;
  show("link", seen.link || (seen.reading || "live"), seen.link ? "bad" : "good");
  document.body.classList.toggle("stale", Boolean(seen.link));
  show("online", `${online} of ${devices.length}`, "");
  show("versions", versions(fleet, devices), "");
  show("alert-count", String(alerts.length), alerts.length ? "bad" : "");
  $("empty").hidden = devices.length > 0;
  drawAlerts(alerts);
  drawRollouts(fleet.standings(), fleet);
  drawChart(fleet);
  drawDevices(fleet, devices, alerts, at);
  drawEvents(fleet.events);
}

function versions(fleet, devices) {
  const counts = new Map();
  for (const device of devices) if (device.model) counts.set(fleet.title(device), (counts.get(fleet.title(device)) || 0) + 1);
  const [[first, many] = [], ...others] = [...counts].sort((a, b) => b[1] - a[1]);
  if (!first) return "none yet";
  return others.length ? `${first} on ${many}, ${others.length} other${others.length > 1 ? "s" : ""}` : first;
}

function drawAlerts(alerts) {
  const told = alerts.slice(0, most.told);
  const line = ({kind, about, text}) => [h("b", {}, about), pill(kind, "bad"), h("span", {}, text)];
  $("alerts").replaceChildren(...told.map((alert) => h("li", {}, ...line(alert))));
  $("no-alerts").hidden = alerts.length > 0;
  $("all-alerts").hidden = alerts.length <= most.told;
  $("all-alerts").textContent = `show all ${alerts.length}`;
}

function drawRollouts(standings, fleet) {
  $("no-rollouts").hidden = standings.length > 0;
  $("rollouts").replaceChildren(...standings.map((each) => {
    const release = fleet.releases.get(each.model), look = {done: "good", halted: "bad"}[each.state] || "busy";
    const name = release ? `${release.name} v${release.version}` : each.model.slice(0, 12);
    const generation = h("small", {}, `generation ${each.generation}`);
    const head = h("h3", {}, `${each.group} → ${name}`, pill(each.state, look), generation);
    return h("article", {}, head, each.why ? h("p", {class: "why"}, each.why) : "", ...each.waves.map(waveRow));
  }));
}

function waveRow(wave, i) {
  const parts = STATES.filter((state) => wave[state]), told = parts.map((state) => `${wave[state]} ${WORDS[state]}`).join(", ");
  const bar = h("div", {class: "bar", role: "img", "aria-label": told || "no devices"});
  for (const state of parts) {
    const part = h("i", {class: state});
    part.style.flexGrow = wave[state];
    bar.append(part);
  }
  const label = h("span", {class: "wave"}, `wave ${i + 1}`, h("small", {}, `to ${short(100 * wave.share)} %`));
  return h("div", {class: "row"}, label, bar, h("span", {class: "told"}, told || "no devices"));
}

function drawChart(fleet) {
  const chosen = fleet.devices.get(seen.chosen), width = $("chart").clientWidth || 600;
  const samples = chosen ? chosen.samples : fleet.medians();
  const series = PERCENTILES.map(([name, key]) => ({name, points: samples.map((sample) => [sample.time, sample[key]])}));
  const fps = [{name: "fps", points: samples.map((sample) => [sample.time, sample.fps])}];
  const title = chosen ? chosen.name : "median of all devices";
  $("chart-of").textContent = title;
  $("chart-all").hidden = !chosen;
  $("chart-all").onclick = () => mark("chosen", null);
  const each = width > 640 ? (width - 24) / 2 : width; // two beside each other, as page.css has it
  const charts = [["Latency in ms", "ms", series], ["Frames a second", "", fps]].map(([name, unit, lines]) => {
    const chart = lineChart(`${name}, ${title}`, unit, lines, each, 190);
    return chart && h("figure", {}, h("figcaption", {}, name), chart);
  }).filter(Boolean);
  $("chart").replaceChildren(...charts);
  $("no-chart").hidden = charts.length > 0;
}

function drawDevices(fleet, devices, alerts, at) {
  const troubled = new Set(alerts.map((alert) => alert.about));
  const fits = (d) => [d.name, d.group, fleet.title(d), fleet.code(d)].join("\n").toLowerCase().includes(seen.filter);
  const order = (d) => `${troubled.has(d.name) ? 0 : 1} ${d.name}`;
  const ranked = devices.filter(fits).map((device) => [order(device), device]).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const found = ranked.map(([, device]) => device);
  const shown = found.slice(0, most.rows);
  for (const name of rows.keys()) if (!shown.some((device) => device.name === name)) rows.delete(name);
  const wanted = shown.map((device) => deviceRow(fleet, device, at));
  if (wanted.some((row, i) => $("devices").children[i] !== row) || wanted.length !== $("devices").children.length) {
    $("devices").replaceChildren(...wanted);
  }
  $("more").hidden = found.length <= shown.length;
  $("more").textContent = `show more: ${found.length - shown.length} are left`;
}

function deviceRow(fleet, device, at) {
  if (!rows.has(device.name)) rows.set(device.name, newRow(device.name));
  const {row, cells} = rows.get(device.name), code = fleet.code(device) || device.code, m = device.metrics;
  const drift = Math.max(...Object.entries(m).filter(([key]) => key.endsWith("drift")).map(([, value]) => value), -Infinity);
  const state = device.online ? ["online", "good"] : device.online === false ? ["offline", "bad"] : ["unknown", "busy"];
  const result = {ok: "good", failed: "bad", refused: "bad"}[kindOf(code)] || "busy";
  set(cells.group, device.group || "–");
  set(cells.state, state[0], "pill " + state[1]);
  set(cells.model, fleet.title(device) + (device.trial ? ", on trial" : ""));
  set(cells.result, code || "–", code ? "pill " + result : "");
  set(cells.fps, short(m.fps));
  set(cells.latency, short(m.latency_p95_ms));
  set(cells.heat, short(m.temperature_c), m.throttled ? "pill bad" : "");
  set(cells.drift, Number.isFinite(drift) ? drift.toFixed(2) : "–", drift > DRIFT ? "pill bad" : "");
  set(cells.heard, ago(device.heard === null ? null : at - device.heard));
  for (const cell of Object.values(cells)) cell.parentElement.classList.toggle("none", cell.textContent === "–");
  row.setAttribute("aria-selected", String(seen.chosen === device.name));
  return row;
}

function newRow(name) {
  const button = h("button", {type: "button"}, name);
  button.addEventListener("click", () => mark("chosen", seen.chosen === name ? null : name));
  const row = h("tr", {}, h("th", {scope: "row"}, button)), cells = {};
  for (const column of document.querySelectorAll("thead th[data-cell]")) {
    const cell = cells[column.dataset.cell] = h("span", {});
    row.append(h("td", {"data-label": column.textContent, class: column.className}, cell));
  }
  return {row, cells};
}

function drawEvents(events) {
  $("no-events").hidden = events.length > 0;
  $("events").replaceChildren(...events.slice(-20).reverse().map(({time, device, type, label, score}) => {
    const what = [h("b", {}, device), h("span", {}, `${type} ${label}`), h("small", {}, score === null ? "" : short(score))];
    return h("li", {}, h("time", {}, clock(time)), ...what);
  }));
}

function pill(text, look) {
  return h("span", {class: `pill ${look}`}, text);
}

function show(id, text, look) {
  set($(id), text, look);
}

function set(element, text, look = "") {
  if (element.textContent !== text) element.textContent = text;
  if (element.className !== look) element.className = look;
}

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

start();
