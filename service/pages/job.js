import { ask, badge, bar, byId, bytes, duration, element, paced, percent, say, score, time } from "./dom.js";
import { draw } from "./plot.js";

const JOB = location.pathname.split("/").pop();
const API = "/v1/jobs/" + encodeURIComponent(JOB);
const SHOWN_EVENTS = 200;
const TYPES = [
  ...["queued", "running", "paused", "stopping", "succeeded", "failed", "cancelled", "deleted", "phase"].map((s) => "job." + s),
  ...["created", "running", "rung", "waiting", "complete", "stopped", "failed"].map((s) => "trial." + s),
  "candidate.refused",
  "candidate.proposed",
  "spec.warning",
];
const FINAL = new Set(["job.succeeded", "job.failed", "job.cancelled"]);
const warned = { job: [], front: [] };
const REFRESH = 3000;
const LISTEN_AGAIN = 15000;
// Metrics that every file has a column for.
const SHOWN_METRICS = new Set(["accuracy", "quality", "size_bytes", "download_bytes", "peak_memory_bytes", "latency_ms"]);
let stream = null;
let seen = 0;
let over = false;
let isNamed = false;

function tile(value, words) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", { class: "quiet small" }, words));
}

function showJob(job) {
  document.title = job.name + " – Featherweight";
  byId("name").textContent = job.name;
  byId("state").replaceChildren(badge(job.state));
  const now = job.stop_reason ? job.stop_reason.replaceAll("_", " ") : job.phase;
  byId("phase").textContent = job.stop_detail ? `${now} (${job.stop_detail})` : now;
  byId("id").textContent = job.id;
  if (!isNamed) showSubject(job.spec);
  const trials = job.trials;
  byId("tiles").replaceChildren(
    tile(trials.complete, "complete"),
    tile(trials.stopped, "stopped early"),
    tile(trials.failed, "failed"),
    tile(trials.running, "running"),
    tile(trials.waiting, "waiting"),
    tile(job.baseline ? bytes(job.baseline.size_bytes) : "–", "baseline"),
    tile(duration(job.started_at, job.finished_at), "time"),
    ...left(job),
  );
  showWarnings("job", job.warnings);
  const notes = job.baseline ? job.baseline.notes : [];
  byId("notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
  const done = trials.complete + trials.stopped + trials.failed;
  byId("progress").replaceChildren(bar(done / Math.max(job.spec.budget.trials, trials.total, 1)));
}

// Which network on which data: what was uploaded may be meant by its id, and be gone by now.
async function showSubject(spec) {
  isNamed = true;
  const { model, data } = spec;
  const network = typeof model === "string" ? nameOf("models", model) : model.architecture.family;
  const names = await Promise.all([network, nameOf("datasets", data)]);
  byId("subject").textContent = names.join(" on ");
}

async function nameOf(kind, reference) {
  const found = await ask(`/v1/${kind}/${encodeURIComponent(reference)}`).catch(() => null);
  return found ? found.name : reference;
}

function epochs(number) {
  return number === 1 ? "1 epoch" : number + " epochs";
}

function left(job) {
  const seconds = job.finished_at || !job.forecast ? null : job.forecast.remaining_seconds;
  if (seconds === null) return [];
  const about = seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  return [tile("≈ " + about, "left")];
}

function showFront(front) {
  draw(byId("plot"), front, select);
  byId("legend").textContent = front.blocked_by
    ? "Nothing meets every constraint yet; the nearest file is blocked by: " + front.blocked_by
    : `${front.points.length} files that no other file beats; hypervolume ${front.hypervolume.toFixed(3)}. The ring is the baseline, dashed squares are controls.`;
  const shown = front.points.length ? front.points : [front.nearest].filter(Boolean);
  showColumns(front);
  byId("files").replaceChildren(...shown.map((point) => row(point, front)));
  byId("figures").textContent = figures(shown, front);
  showWarnings("front", front.warnings);
  byId("recommended").hidden = !front.recommended;
  byId("recommended").textContent = "Recommended: " + front.recommendation;
  byId("empty").hidden = shown.length > 0;
}

// Of the job and of its front: some are said of both.
function showWarnings(source, found) {
  warned[source] = found;
  const warnings = [...new Set([...warned.job, ...warned.front])];
  byId("warnings").hidden = warnings.length === 0;
  byId("warnings").replaceChildren(...warnings.map((warning) => element("li", {}, warning)));
}

// How many images the accuracies are shares of, and why some are missing.
function figures(points, front) {
  const counted = ["test", "validation"].flatMap((split) => {
    const known = points.map((point) => point[split]).filter(Boolean);
    return known.length ? [`${split} of ${known[0].images.toLocaleString("en")} ${known[0].examples ?? "images"}`] : [];
  });
  const parts = counted.length ? ["Accuracies: " + counted.join(", ") + "; 95 % intervals (Wilson)."] : [];
  const forms = new Set(points.map(form));
  if (forms.size) parts.push("Files for " + [...forms].join("; ") + ".");
  if (front.test_note) parts.push("Test: " + front.test_note + ".");
  return parts.join(" ");
}

// Where a file is for, and the oldest runtimes that were tried with such files.
function form(point) {
  const { target, runtimes } = point.measurement;
  return `the target ${target}${runtimes.length ? ` (${runtimes.join(", ")})` : ""}`;
}

function showClasses(report) {
  const share = (value) => (value === null ? "–" : percent(value));
  byId("classes").hidden = report.classes.length === 0;
  byId("recalls").replaceChildren(
    ...report.classes.map((found) =>
      element(
        "tr",
        {},
        element("td", { class: "number" }, found.name || found.label),
        element("td", {}, found.split),
        element("td", { class: "number" }, found.images),
        element("td", { class: "number" }, share(found.recommended)),
        element("td", { class: "number" }, share(found.baseline)),
      ),
    ),
  );
}

function withInterval(found) {
  if (!found) return "–";
  return found.metric.unit === "share"
    ? `${percent(found.value)} (${(100 * found.low).toFixed(1)} to ${(100 * found.high).toFixed(1)})`
    : `${found.value.toPrecision(4)} (${found.low.toPrecision(3)} to ${found.high.toPrecision(3)})`;
}

function row(point, front) {
  const baseline = front.baseline;
  const measured = point.measurement;
  const smaller = baseline ? (baseline.size_bytes / point.size_bytes).toFixed(1) + " x" : "–";
  const links = [element("a", { href: point.url, title: "for " + form(point) }, "download")];
  if (point.manifest_url) links.push(" · ", element("a", { href: point.manifest_url }, "manifest"));
  const made = element(
    "tr",
    { id: "file-" + point.artifact, class: point.artifact === front.recommended ? "recommended" : "" },
    element("td", { class: "number" }, point.number),
    element("td", { class: "words" }, point.description, " ", element("span", { class: "quiet small" }, epochs(point.epochs))),
    element("td", { class: "number" }, withInterval(point.test)),
    element("td", { class: "number" }, percent(score(measured))),
    element("td", { class: "number" }, bytes(point.size_bytes)),
    element("td", { class: "number" }, smaller),
    element("td", { class: "number" }, known(measured.download_bytes)),
    element("td", { class: "number" }, known(measured.peak_memory_bytes)),
    element(
      "td",
      { class: "number", title: where(measured.latency) },
      (measured.latency.busy ? "~" : "") + measured.latency.median_ms.toFixed(2) + " ms",
    ),
    ...others(front).map((metric) => element("td", { class: "number" }, figure(metric, point.figures[metric.name]))),
    ...metered(front).map((column) => onMeter(point, column)),
    element("td", { class: "small" }, ...links),
  );
  return made;
}

// What else the job compares has a column before that of the links.
function others(front) {
  return front.compared.filter((metric) => !SHOWN_METRICS.has(metric.name));
}

function showColumns(front) {
  const head = byId("columns");
  head.querySelectorAll(".compared").forEach((cell) => cell.remove());
  const compared = others(front).map((metric) => element("th", { class: "number compared" }, metric.words));
  const meters = metered(front).map((column) => element("th", { class: "number compared" }, `${column.meter} (${column.runtime})`));
  head.lastElementChild.before(...compared, ...meters);
}

// Each runtime of each meter that has measured one of the files has a column.
function metered(front) {
  const columns = new Map();
  for (const point of [front.baseline, ...front.points].filter(Boolean))
    for (const reading of point.meters)
      for (const { runtime } of reading.figures)
        columns.set(reading.meter + " " + runtime.name, { meter: reading.meter, runtime: runtime.name });
  return [...columns.keys()].sort().map((key) => columns.get(key));
}

function onMeter(point, column) {
  const reading = point.meters.find((one) => one.meter === column.meter);
  const found = reading && reading.figures.find((one) => one.runtime.name === column.runtime);
  if (!found) return element("td", { class: "number", title: reading ? reading.detail : "" }, "–");
  const place = `${found.runtime.name} ${found.runtime.version} on ${reading.device}, ${reading.cpu}, ${reading.threads} thread(s)`;
  if (found.refusal) return element("td", { class: "number", title: `${place}: ${found.refusal}` }, "refused");
  const memory = found.peak_memory_bytes ? `, ${bytes(found.peak_memory_bytes)} of memory` : "";
  const busy = found.busy ? "; measured on a busy machine" : "";
  const title = `${place}: wall p50 ${found.wall_p50_ms.toFixed(2)} ms, p95 ${found.wall_p95_ms.toFixed(2)} ms, loads in ${found.load_ms.toFixed(1)} ms${memory}${busy}`;
  return element("td", { class: "number", title }, (found.busy ? "~" : "") + found.latency_ms.toFixed(2) + " ms");
}

function figure(metric, value) {
  if (value === undefined) return "–";
  if (metric.unit === "share") return percent(value);
  if (metric.unit === "bytes") return bytes(value);
  return metric.unit === "ms" ? value.toFixed(2) + " ms" : Math.round(value).toLocaleString("en");
}

function where(latency) {
  const times = latency.baseline_ms ? `, ${(latency.median_ms / latency.baseline_ms).toFixed(2)} x baseline` : "";
  const doubt = latency.busy
    ? `; measured on a busy machine, right within a factor of ${(Math.ceil(Number((10 * latency.within).toFixed(6))) / 10).toFixed(1)}`
    : "";
  const by = latency.runtime ? `, ${latency.runtime} ${latency.runtime_version}` : "";
  return `${latency.device || "an unnamed device"}, ${latency.threads} thread(s)${by}${times}${doubt}`;
}

function known(count) {
  return count ? bytes(count) : "–";
}

function select(point) {
  const found = byId("file-" + point.artifact);
  if (found) found.scrollIntoView({ behavior: "smooth", block: "center" });
}

const refresh = paced(async () => {
  const [job, front] = await Promise.all([ask(API), ask(API + "/front")]);
  showJob(job);
  showFront(front);
  if (FINAL.has("job." + job.state)) showClasses(await ask(API + "/report"));
  say("");
}, REFRESH);

function words(event) {
  const data = event.data;
  const parts = [event.type.replace(".", " ")];
  if (data.number !== undefined) parts[0] = `trial ${data.number} ${event.type.split(".")[1]}`;
  if (data.description) parts.push(data.description);
  if (data.phase && event.type === "job.phase") parts.push(data.phase);
  const tested = data.test_quality ?? data.test_accuracy;
  const quality = data.quality ?? data.accuracy;
  if (tested !== undefined) parts.push(percent(tested) + " on test");
  else if (quality !== undefined) parts.push(percent(quality));
  if (data.size_bytes !== undefined) parts.push(bytes(data.size_bytes));
  if (data.reason) parts.push(data.reason);
  if (data.detail) parts.push(data.detail);
  return parts.join(" · ");
}

function showEvent(event) {
  const log = byId("log");
  log.prepend(
    element("li", {}, element("span", { class: "quiet small mono" }, time(event.at)), element("span", { class: "small" }, words(event))),
  );
  while (log.children.length > SHOWN_EVENTS) log.lastChild.remove();
}

// A page that nobody looks at holds no stream: it goes on after the last event when it is seen again.
function watch() {
  if (document.hidden || over) {
    if (stream) stream.close();
    stream = null;
  } else if (!stream) {
    stream = listen();
  }
}

function listen() {
  const opened = new EventSource(API + "/events?after=" + seen);
  for (const type of TYPES) {
    opened.addEventListener(type, (message) => {
      seen = Number(message.lastEventId);
      showEvent(JSON.parse(message.data));
      over = FINAL.has(type);
      watch();
      refresh();
    });
  }
  opened.addEventListener("reset", () => byId("log").replaceChildren());
  opened.addEventListener("error", () => lose(opened));
  return opened;
}

// The browser connects again by itself, except if it was refused: too many streams, or no token.
function lose(lost) {
  if (lost.readyState !== EventSource.CLOSED || lost !== stream) return;
  stream = null;
  setTimeout(watch, LISTEN_AGAIN);
  refresh();
}

refresh().then(watch);
document.addEventListener("visibilitychange", watch);
