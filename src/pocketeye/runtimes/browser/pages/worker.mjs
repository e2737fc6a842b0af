// Time graphs by ONNX Runtime Web, away from the page's own thread so that the page stays alive.
import {clockStep} from './device.mjs';

const CACHE_BYTES = 96 * 2 ** 20; // of graph files: phones give a page a few hundred megabytes in all
const STEPS = 100; // a sample is at least so many steps of the clock long
const TYPES = {float32: Float32Array, uint8: Uint8Array, int8: Int8Array, int32: Int32Array, int64: BigInt64Array};
let ort = null, step = 0, epoch = '';
const open = new Map(); // graph -> {session, feeds, bytes}, the least recently used first

async function start(job) {
  if (ort === null) {
    ort = await import(job.backend === 'webgpu' ? './ort/ort.webgpu.bundle.min.mjs' : './ort/ort.wasm.bundle.min.mjs');
    const wasm = job.backend === 'webgpu' ? 'ort-wasm-simd-threaded.asyncify.wasm' : 'ort-wasm-simd-threaded.wasm';
    ort.env.wasm.wasmPaths = {wasm: new URL(`./ort/${wasm}`, import.meta.url).href};
    ort.env.wasm.numThreads = job.threads;
    ort.env.logLevel = 'error';
    step = clockStep();
  }
  // Numbers of graphs are those of one process of the server.
  if (job.epoch !== epoch) { for (const graph of [...open.keys()]) await close(graph); epoch = job.epoch; }
}

async function close(graph) {
  const held = open.get(graph);
  open.delete(graph);
  await held.session.release();
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.arrayBuffer();
}

/** Make an input of repeated values: what they are changes no latency. */
function filled(spec, values) {
  const size = spec.shape.reduce((a, b) => a * b, 1), array = new TYPES[spec.dtype](size);
  for (let at = 0; at < size; at += values.length) array.set(values.subarray(0, Math.min(values.length, size - at)), at);
  return new ort.Tensor(spec.dtype, array, spec.shape);
}

async function feedsOf(description) {
  const feeds = {};
  const bytes = await fetched(`graphs/${description.graph}.bin`);
  let at = 0;
  for (const spec of description.inputs) {
    const size = spec.values * TYPES[spec.dtype].BYTES_PER_ELEMENT;
    feeds[spec.name] = filled(spec, new TYPES[spec.dtype](bytes.slice(at, at + size)));
    at += size;
  }
  return feeds;
}

async function opened(description, backend) {
  const {graph} = description, held = open.get(graph);
  if (held) { open.delete(graph); open.set(graph, held); return held; }
  const file = new Uint8Array(await fetched(`graphs/${graph}.onnx`));
  for (let sum = [...open.values()].reduce((a, o) => a + o.bytes, file.length); sum > CACHE_BYTES && open.size;) {
    const [oldest, {bytes}] = open.entries().next().value;
    await close(oldest);
    sum -= bytes;
  }
  const session = await ort.InferenceSession.create(file, {executionProviders: [backend], graphOptimizationLevel: 'all'});
  const fresh = {session, feeds: null, bytes: file.length};
  open.set(graph, fresh);
  return fresh;
}

/** Return the milliseconds of `inner` calls in a row. */
async function sample(held, inner, backend) {
  const began = performance.now();
  for (let k = 0; k < inner; k++) {
    const found = await held.session.run(held.feeds);
    // A GPU has only been told what to do until its answer is read.
    if (backend !== 'wasm') for (const name in found) await found[name].getData();
  }
  return performance.now() - began;
}

async function calibrated(held, minMs, backend) {
  const wanted = Math.max(minMs, STEPS * step);
  for (let k = 0; k < 3; k++) await sample(held, 1, backend);
  let inner = 1;
  for (;;) {
    const ms = await sample(held, inner, backend);
    if (ms >= wanted || inner >= 1e6) return inner;
    inner = Math.min(1e6, Math.max(inner + 1, Math.trunc(inner * 1.2 * wanted / Math.max(ms, step))));
  }
}

function decoded(text, spec) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  return new ort.Tensor(spec.dtype, new TYPES[spec.dtype](bytes.buffer), spec.shape);
}

function encoded(data) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = '';
  // In pieces: a call takes a limited number of arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

async function answer(job) {
  await start(job);
  const graphs = new Map(job.graphs.map(g => [g.graph, g]));
  if (job.kind === 'run') {
    const [description] = job.graphs, {session} = await opened(description, job.backend);
    const feeds = Object.fromEntries(description.inputs.map((spec, i) => [spec.name, decoded(job.arrays[i], spec)]));
    const found = await session.run(feeds);
    return {outputs: await Promise.all(session.outputNames.map(async name => encoded(await found[name].getData())))};
  }
  const inner = [], times = [];
  for (const [graph, calls, num] of job.visits) {
    const held = await opened(graphs.get(graph), job.backend);
    held.feeds ??= await feedsOf(graphs.get(graph)); // a graph that only ran was given its inputs
    if (job.kind === 'calibrate') { inner.push(await calibrated(held, job.min_sample_ms, job.backend)); continue; }
    await sample(held, calls, job.backend); // caches of the last graph's data are replaced by ours
    const row = [];
    // A clock that did not move is no time of zero.
    for (let k = 0; k < num; k++) row.push(Math.max(await sample(held, calls, job.backend), step) / calls);
    times.push(row);
  }
  return job.kind === 'calibrate' ? {inner} : {times};
}

onmessage = async ({data: job}) => {
  try { postMessage(await answer(job)); } catch (error) { postMessage({error: String(error?.message ?? error).slice(0, 300)}); }
};
