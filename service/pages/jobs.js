import { ask, badge, byId, duration, element, moment, paced, say } from "./dom.js";

const REFRESH = 5000;
let newest = [];
let older = [];
let cursor = null;

function row(job) {
  const link = element("a", { href: "/ui/jobs/" + encodeURIComponent(job.id) }, job.name);
  const done = job.trials.total - job.trials.waiting - job.trials.running;
  return element(
    "tr",
    {},
    element("td", {}, link),
    element("td", {}, badge(job.state)),
    element("td", { class: "quiet" }, job.phase),
    element("td", { class: "quiet" }, job.owner || ""),
    element("td", { class: "number" }, done + " of " + Math.max(job.spec.budget.trials, job.trials.total)),
    element("td", { class: "quiet" }, moment(job.started_at)),
    element("td", { class: "number" }, duration(job.started_at, job.finished_at)),
  );
}

function show() {
  byId("jobs").replaceChildren(...[...newest, ...older].map(row));
  byId("empty").hidden = newest.length > 0;
  byId("more").hidden = cursor === null;
}

const refresh = paced(async () => {
  const [jobs, workers] = await Promise.all([ask("/v1/jobs?limit=50"), ask("/v1/workers")]);
  newest = jobs.items;
  if (!older.length) cursor = jobs.next_cursor;
  show();
  const number = workers.items.length;
  const busy = workers.items.filter((worker) => worker.trial).length;
  byId("workers").textContent = number + (number === 1 ? " worker, " : " workers, ") + busy + " busy";
  say("");
}, REFRESH / 2);

async function more() {
  const page = await ask("/v1/jobs?limit=50&cursor=" + encodeURIComponent(cursor));
  older = older.concat(page.items);
  cursor = page.next_cursor;
  show();
}

byId("more").addEventListener("click", () => more().catch((problem) => say(problem.message)));
refresh();
setInterval(refresh, REFRESH);
