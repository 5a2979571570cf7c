// The few things every page needs. Text only ever enters the page as text.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  fill(made, properties, children);
  return made;
}

export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function fill(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key === "href") made.href = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
}

export function byId(id) {
  return document.getElementById(id);
}

export async function ask(path, options = {}) {
  // no-cache: the browser asks with the tag of what it has, and gets 304 if nothing has changed.
  const answer = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-cache", ...options });
  if (answer.status === 401) {
    location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
    return new Promise(() => {});
  }
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export function badge(state) {
  return element("span", { class: "badge " + state }, state);
}

export function bytes(count) {
  if (count >= 1e6) return (count / 1e6).toFixed(count >= 1e7 ? 1 : 2) + " MB";
  if (count >= 1e3) return (count / 1e3).toFixed(count >= 1e4 ? 1 : 2) + " kB";
  return count + " B";
}

// The task's primary metric on validation, 0 to 1.
export function score(measurement) {
  const primary = measurement.primary ?? "accuracy";
  if (primary === "accuracy") return measurement.accuracy.validation;
  return Math.min(1, Math.max(0, measurement.quality.validation[primary]));
}

export function percent(share) {
  return (100 * share).toFixed(2) + " %";
}

export function time(text) {
  return new Date(text).toLocaleTimeString([], { hour12: false });
}

export function moment(text) {
  return text ? new Date(text).toLocaleString([], { hour12: false }) : "–";
}

export function duration(from, to) {
  if (!from) return "–";
  const seconds = Math.max(0, Math.round(((to ? new Date(to) : new Date()) - new Date(from)) / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return seconds + " s";
  if (minutes < 60) return minutes + " min " + (seconds % 60) + " s";
  return Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
}

export function say(problem) {
  const notice = byId("notice");
  notice.textContent = problem;
  notice.hidden = !problem;
}

export function bar(share) {
  const width = Math.round(1000 * Math.min(1, Math.max(0, share)));
  return element(
    "div",
    { class: "bar" },
    drawing(
      "svg",
      { viewBox: "0 0 1000 10", preserveAspectRatio: "none" },
      drawing("rect", { width, height: 10 }),
    ),
  );
}

// Calls work now and after every call of the function that is returned: at most once in so many
// milliseconds, never twice at a time, and not while nobody looks at the page.
export function paced(work, milliseconds) {
  let wanted = false;
  let waiting = false;

  async function run() {
    if (waiting || document.hidden || !wanted) return;
    wanted = false;
    waiting = true;
    try {
      await work();
    } catch (problem) {
      say(problem.message);
      wanted = true;
    }
    setTimeout(() => {
      waiting = false;
      run();
    }, milliseconds);
  }

  document.addEventListener("visibilitychange", run);
  return () => {
    wanted = true;
    return run();
  };
}
