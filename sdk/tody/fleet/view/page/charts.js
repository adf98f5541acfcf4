// Lines over time as SVG: axes, one line for each series with its name at its end, and the same in words for who cannot see it.
// SPDX-License-Identifier: Apache-2.0
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const TICKS = [1, 2, 5];
const ROOM = {left: 44, right: 48, top: 8, bottom: 20}; // for the words around a chart, in pixels

// series: [{name, points: [[seconds since 1970, value or null], ...]}]; width and height in pixels.
function lineChart(title, unit, series, width, height) {
  const points = series.flatMap((each) => each.points).filter(([, value]) => value !== null);
  if (points.length < 2) return null;
  const [from, to] = extent(points.map(([time]) => time)), most = niceAbove(extent(points.map(([, value]) => value))[1]);
  const x = (time) => ROOM.left + (width - ROOM.left - ROOM.right) * (to > from ? (time - from) / (to - from) : 1);
  const y = (value) => height - ROOM.bottom - (height - ROOM.top - ROOM.bottom) * value / most;
  const told = inWords(title, unit, series);
  const chart = svg("svg", {viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": told});
  for (const value of [0, most / 2, most]) {
    chart.append(svg("line", {x1: ROOM.left, x2: width - ROOM.right, y1: y(value), y2: y(value), class: "grid"}));
    chart.append(svg("text", {x: ROOM.left - 6, y: y(value) + 4, class: "left"}, short(value)));
  }
  chart.append(svg("text", {x: ROOM.left, y: height - 4}, clock(from)));
  chart.append(svg("text", {x: width - ROOM.right, y: height - 4, class: "left"}, clock(to)));
  const ends = apart(series.map((each) => y(latest(each))));
  series.forEach((each, i) => {
    for (const part of unbroken(each.points)) {
      const points = part.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
      chart.append(svg("polyline", {points, class: `line l${i}`}));
    }
    chart.append(svg("text", {x: width - ROOM.right + 6, y: ends[i] + 4, class: `name l${i}`}, each.name));
  });
  return chart;
}

function inWords(title, unit, series) {
  return `${title}: now ${series.map((each) => `${each.name} ${short(latest(each))} ${unit}`.trim()).join(", ")}`;
}

function latest(series) {
  const known = series.points.filter(([, value]) => value !== null);
  return known.length ? known.at(-1)[1] : 0;
}

// A line breaks where a value is not known.
function unbroken(points) {
  const parts = [[]];
  for (const point of points) {
    if (point[1] === null) parts.push([]);
    else parts.at(-1).push(point);
  }
  return parts.filter((part) => part.length);
}

// Places of labels, at least a line's height apart, in the order they came.
function apart(places) {
  const order = places.map((at, i) => [at, i]).sort((a, b) => b[0] - a[0]), found = [];
  let last = Infinity;
  for (const [at, i] of order) found[i] = last = Math.min(at, last - 13);
  return found;
}

function extent(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function niceAbove(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([...TICKS, 10].find((tick) => tick * power >= value));
}

function svg(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function short(value) { // at most three digits and a unit's letter
  if (value === null || value === undefined) return "–";
  const [power, letter] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]].find(([p]) => Math.abs(value) >= p) || [1, ""];
  const scaled = value / (letter === "k" ? 1e3 : power), size = Math.abs(scaled);
  return scaled.toFixed(size >= 100 || Number.isInteger(scaled) ? 0 : size >= 10 ? 1 : 2) + letter;
}

function clock(seconds) {
  const digits = {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false};
  return new Date(1000 * seconds).toLocaleTimeString([], digits);
}

function ago(seconds) {
  if (seconds === null) return "never";
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([s]) => seconds >= s) || [1, "s"];
  return `${Math.floor(Math.max(0, seconds) / size)} ${unit} ago`;
}
