import { ask, badge, byId, duration, element, moment, say } from "./dom.js";

const REFRESH = 5000;
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
    element("td", { class: "number" }, done + " of " + Math.max(job.spec.budget.trials, job.trials.total)),
    element("td", { class: "quiet" }, moment(job.started_at)),
    element("td", { class: "number" }, duration(job.started_at, job.finished_at)),
  );
}

async function refresh() {
  const [jobs, workers] = await Promise.all([ask("/v1/jobs?limit=50"), ask("/v1/workers")]);
  byId("jobs").replaceChildren(...[...jobs.items, ...older].map(row));
  byId("empty").hidden = jobs.items.length > 0;
  if (!older.length) cursor = jobs.next_cursor;
  byId("more").hidden = cursor === null;
  const number = workers.items.length;
  const busy = workers.items.filter((worker) => worker.trial).length;
  byId("workers").textContent = number + (number === 1 ? " worker, " : " workers, ") + busy + " busy";
  say("");
}

async function more() {
  const page = await ask("/v1/jobs?limit=50&cursor=" + encodeURIComponent(cursor));
  older = older.concat(page.items);
  cursor = page.next_cursor;
  await refresh();
}

function guarded(work) {
  return () => work().catch((problem) => say(problem.message));
}

byId("more").addEventListener("click", guarded(more));
guarded(refresh)();
setInterval(guarded(refresh), REFRESH);
