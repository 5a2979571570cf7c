// Runs the network of run.mjs on a picture. Files are chosen on the page, or named in its address:
// index.html?model=FILE.onnx&picture=PICTURE.png, or &values=VALUES.f32.

import { answers, best, fromPicture, load, IS_CLASSIFIER } from "./run.mjs";

const [model, picture, said, list] = ["model", "picture", "said", "best"].map((id) =>
  document.getElementById(id),
);
let session = null;

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) {
    throw new Error(address + ": HTTP " + answer.status);
  }
  return answer;
}

async function use(bytes) {
  const before = performance.now();
  session = await load(new Uint8Array(bytes));
  say("loaded in " + (performance.now() - before).toFixed(0) + " ms: choose a picture");
}

async function show(values) {
  if (session === null) {
    throw new Error("choose a network first");
  }
  const before = performance.now();
  const scores = await answers(session, values);
  const took = performance.now() - before;
  const lines = IS_CLASSIFIER
    ? best(scores).map(([score, name]) => score.toFixed(5) + "\t" + name)
    : scores.map(String);
  list.replaceChildren(
    ...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
  );
  say("answered in " + took.toFixed(1) + " ms");
}

async function seen(blob) {
  const image = await createImageBitmap(blob);
  await show(fromPicture(image));
}

function say(text) {
  said.textContent = text;
}

/** Does one thing after the other, and says what went wrong. */
function telling(action) {
  return async () => {
    try {
      await action();
    } catch (error) {
      say("failed: " + error.message);
    }
  };
}

model.addEventListener("change", telling(async () => use(await model.files[0].arrayBuffer())));
picture.addEventListener("change", telling(async () => seen(picture.files[0])));

await telling(async () => {
  const asked = new URLSearchParams(location.search);
  if (asked.has("model")) {
    await use(await (await fetched(asked.get("model"))).arrayBuffer());
  }
  if (asked.has("values")) {
    await show(new Float32Array(await (await fetched(asked.get("values"))).arrayBuffer()));
  }
  if (asked.has("picture")) {
    await seen(await (await fetched(asked.get("picture"))).blob());
  }
})();
document.body.dataset.state = "ready";
