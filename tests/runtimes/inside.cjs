// Answer in ONNX Runtime for browsers, under Node, what a file of questions asks of files beside it.
//
//     node inside.cjs FOLDER onnxruntime-web version
//     node inside.cjs FOLDER onnxruntime-web QUESTIONS.json
//
// FOLDER has the package; one thread. Prints one line of JSON per question, as inside.py does. What
// an engine compiles on its way says nothing of a browser's speed, so costs are not told.

"use strict";

const fs = require("fs");
const path = require("path");

const BATCH = 100;
const [folder, runtime, asked] = process.argv.slice(2);
const ort = require(require.resolve("onnxruntime-web", { paths: [folder] }));
ort.env.wasm.numThreads = 1;
const version = ort.env.versions.web;

// The values of a .npy file of float32, and its shape.
function read(name) {
  const bytes = fs.readFileSync(name);
  const begins = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, begins);
  if (bytes[6] !== 1 || !header.includes("'<f4'") || !header.includes("'fortran_order': False")) {
    throw new Error(`${name} is no array of float32: ${header}`);
  }
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((each) => each.trim()).map(Number);
  return { values: new Float32Array(bytes.buffer.slice(bytes.byteOffset + begins)), shape };
}

function write(name, values, shape) {
  const said = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const header = said.padEnd(64 * Math.ceil((said.length + 11) / 64) - 11) + "\n";
  const head = Buffer.from("\x93NUMPY\x01\x00\x00\x00" + header, "latin1");
  head.writeUInt16LE(header.length, 8);
  fs.writeFileSync(name, Buffer.concat([head, Buffer.from(values.buffer)]));
}

async function answers(beside, question) {
  const { values, shape } = read(path.join(beside, question.images));
  const session = await ort.InferenceSession.create(fs.readFileSync(path.join(beside, question.path)));
  const size = values.length / shape[0];
  const parts = [];
  for (let first = 0; first < shape[0]; first += BATCH) {
    const last = Math.min(first + BATCH, shape[0]);
    const given = new ort.Tensor("float32", values.slice(first * size, last * size), [last - first, ...shape.slice(1)]);
    const found = await session.run({ [session.inputNames[0]]: given });
    parts.push(...found[session.outputNames[0]].data);
  }
  const into = path.join(beside, `${question.name}.${runtime}-${version}.npy`);
  write(into, new Float32Array(parts), [shape[0], parts.length / shape[0]]);
  return { answers: into };
}

async function main() {
  if (asked === "version") {
    console.log(runtime, version);
    return;
  }
  const beside = path.dirname(asked);
  for (const question of JSON.parse(fs.readFileSync(asked))) {
    const told = await answers(beside, question).catch((error) => ({ error: String(error).slice(0, 300) }));
    console.log(JSON.stringify({ name: question.name, version, ...told }));
  }
}

main();
