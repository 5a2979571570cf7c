// Quality on validation over bytes (log), one point per file of the front. Pure drawing, no state.
import { bytes, drawing, percent, score } from "./dom.js";

const BOX = { left: 58, right: 620, top: 16, bottom: 296 };

export function draw(svg, front, choose) {
  const marks = [...front.points, ...front.controls, front.baseline, front.nearest].filter(Boolean);
  if (!marks.length) {
    svg.replaceChildren(text(320, 160, "No file has been measured yet.", "middle"));
    return;
  }
  const across = scale(marks.map((mark) => Math.log10(mark.size_bytes)), BOX.left + 20, BOX.right - 20, 0.12);
  const up = scale(marks.map(quality), BOX.bottom - 16, BOX.top + 12, 0.004);
  const place = (mark) => [across(Math.log10(mark.size_bytes)), up(quality(mark))];
  svg.replaceChildren(
    ...axes(across, up),
    line(front.points.map(place)),
    ...front.controls.map((control) => square(control, place(control))),
    ...front.points.map((point) => dot(point, place(point), "point", choose)),
    ...(front.baseline ? [dot(front.baseline, place(front.baseline), "baseline", choose)] : []),
    ...(front.nearest ? [dot(front.nearest, place(front.nearest), "nearest", choose)] : []),
  );
}

function quality(mark) {
  return score(mark.measurement);
}

function scale(values, from, to, least) {
  const middle = (Math.min(...values) + Math.max(...values)) / 2;
  const half = Math.max(least, (Math.max(...values) - Math.min(...values)) / 2);
  const move = (value) => from + ((value - middle + half) / (2 * half)) * (to - from);
  move.ticks = [0, 1, 2, 3, 4].map((step) => middle - half + (half * step) / 2);
  return move;
}

function axes(across, up) {
  const lines = up.ticks.flatMap((tick) => [
    drawing("line", { class: "axis", x1: BOX.left, x2: BOX.right, y1: up(tick), y2: up(tick) }),
    text(BOX.left - 8, up(tick) + 4, percent(tick), "end"),
  ]);
  const names = across.ticks.map((tick) =>
    text(across(tick), BOX.bottom + 18, bytes(Math.round(10 ** tick)), "middle"),
  );
  return [...lines, ...names, text(BOX.right, BOX.bottom + 38, "bytes of the file, logarithmic", "end")];
}

function line(places) {
  return drawing("polyline", { class: "front", points: places.map((xy) => xy.join(",")).join(" ") });
}

function dot(mark, [cx, cy], kind, choose) {
  const words = kind === "point" ? mark.description : kind + ": " + mark.description;
  const shape = { class: kind === "baseline" ? "baseline" : "point " + kind, cx, cy, r: 6, tabindex: 0 };
  const made = drawing("circle", shape, title(mark, words));
  made.addEventListener("click", () => choose(mark));
  return made;
}

// What a person would try without a search: larger than a point, so that one on the front shows both.
function square(mark, [cx, cy]) {
  const shape = { class: "control", x: cx - 8, y: cy - 8, width: 16, height: 16, tabindex: 0 };
  return drawing("rect", shape, title(mark, "control: " + mark.description));
}

function title(mark, words) {
  const made = drawing("title");
  const test = mark.test ? `${mark.test.metric.unit === "share" ? percent(mark.test.value) : mark.test.value.toPrecision(4)} on test, ` : "";
  made.textContent = `trial ${mark.number}: ${words}\n${test}${percent(quality(mark))} on validation, ${bytes(mark.size_bytes)}`;
  return made;
}

function text(x, y, words, anchor) {
  const made = drawing("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}
