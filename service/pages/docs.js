import { ask, byId, element, say } from "./dom.js";

function parameters(operation) {
  const found = operation.parameters || [];
  if (!found.length) return [];
  const rows = found.map((one) =>
    element(
      "tr",
      {},
      element("td", { class: "mono" }, one.name),
      element("td", { class: "quiet" }, one.in + (one.required ? ", required" : "")),
      element("td", {}, one.description || ""),
    ),
  );
  return [element("table", {}, element("tbody", {}, ...rows))];
}

function body(operation, document) {
  const content = operation.requestBody && operation.requestBody.content;
  if (!content) return [];
  return Object.entries(content).map(([type, one]) => {
    const schema = resolve(one.schema, document);
    return element("pre", { class: "mono small" }, type + "\n" + JSON.stringify(one.example || schema, null, 2));
  });
}

function resolve(schema, document) {
  if (!schema || !schema.$ref) return schema;
  return schema.$ref.split("/").slice(1).reduce((node, key) => node[key], document);
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, one]) =>
    element("tr", {}, element("td", { class: "mono" }, status), element("td", {}, one.description)),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

function show(path, method, operation, document) {
  const scopes = (operation.security || []).flatMap((one) => one.token || []).join(", ");
  return element(
    "details",
    {},
    element(
      "summary",
      {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("span", { class: "mono" }, path),
      element("span", { class: "quiet small" }, scopes || "public"),
    ),
    element("p", {}, operation.description || operation.summary || ""),
    ...parameters(operation),
    ...body(operation, document),
    answers(operation),
  );
}

async function load() {
  const document = await ask("/openapi.json");
  byId("about").textContent = document.info.description.split("\n")[0];
  const groups = new Map();
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (method === "head") continue; // Every GET is answered to HEAD, too.
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, element("div", { class: "card" }, element("h2", {}, tag)));
      groups.get(tag).append(show(path, method, operation, document));
    }
  }
  byId("operations").replaceChildren(...groups.values());
}

load().catch((problem) => say(problem.message));
