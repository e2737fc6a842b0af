// Open graphs by ONNX Runtime Web, with as many threads as the page may have.
import * as ort from './ort/ort.wasm.bundle.min.mjs';

export const MOST_THREADS = 4; // phones have few fast cores, and slow ones hold the fast ones up

export function setUp(threads) {
  ort.env.wasm.wasmPaths = {wasm: new URL('./ort/ort-wasm-simd-threaded.wasm', import.meta.url).href};
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = 'error';
}

export const version = () => ort.env.versions?.web ?? ort.env.versions?.common ?? '';

export async function json(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} could not be loaded (${answer.status})`);
  return answer.json();
}

/** Open a graph; the returned function takes arrays in the order of its inputs and gives those of its outputs. */
export async function openGraph(folder) {
  const said = await json(`${folder}/artifact.json`), answer = await fetch(`${folder}/${said.file}`);
  if (!answer.ok) throw new Error(`${folder}/${said.file} could not be loaded (${answer.status})`);
  const session = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()), {
    executionProviders: ['wasm'], graphOptimizationLevel: 'all',
  });
  const run = async (...arrays) => {
    const feeds = {};
    said.inputs.forEach((spec, k) => { feeds[spec.name] = new ort.Tensor(spec.dtype, arrays[k], spec.shape); });
    const found = await session.run(feeds);
    return said.outputs.map(spec => found[spec.name].data);
  };
  return Object.assign(run, {said});
}
