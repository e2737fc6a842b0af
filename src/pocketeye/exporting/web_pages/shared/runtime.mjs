// Open graphs by ONNX Runtime Web, with as many threads as the page may have.
import * as ort from './ort.wasm.bundle.min.mjs';

export const MOST_THREADS = 4; // phones have few fast cores, and slow ones hold the fast ones up

/** Load WebAssembly, which the site holds compressed because plain web servers send files as they are. */
export async function setUp(threads) {
  const answer = await fetch(new URL('./ort-wasm-simd-threaded.wasm.gz', import.meta.url));
  if (!answer.ok) throw new Error(`The runtime could not be loaded (${answer.status}).`);
  const packed = new Uint8Array(await answer.arrayBuffer());
  // A server may have unpacked it by itself: gzip begins with 1f 8b, WebAssembly with 00 61.
  const stream = packed[0] === 0x1f ? new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')) : new Blob([packed]).stream();
  ort.env.wasm.wasmBinary = await new Response(stream).arrayBuffer();
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = 'error';
}

export const version = () => ort.env.versions?.web ?? ort.env.versions?.common ?? '';

export async function json(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} could not be loaded (${answer.status})`);
  return answer.json();
}

async function bytes(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} could not be loaded (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Return the value of every number of half precision, by its 16 bits. */
function halves() {
  const values = new Float32Array(2 ** 16);
  for (let bits = 0; bits < values.length; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
    values[bits] = sign * (exponent === 0 ? rest * 2 ** -24 : exponent === 31 ? (rest ? NaN : Infinity) : (1 + rest / 1024) * 2 ** (exponent - 15));
  }
  return values;
}

/** Unpack the weights that the graphs share. */
export function unpacked({size, parts}, packed) {
  const found = new Uint8Array(size), floats = new Float32Array(found.buffer), table = halves();
  let at = 0;
  for (const {offset, size: length, half} of parts) {
    if (half) for (let k = 0; k < length / 4; k++, at += 2) floats[offset / 4 + k] = table[packed[at] | packed[at + 1] << 8];
    else { found.set(packed.subarray(at, at + length), offset); at += length; }
  }
  return found;
}

/**
 * Open the graphs of the site. The returned function gives the graph of a name: an async function that takes
 * arrays in the order of its inputs and gives those of its outputs; `outputs` on it describes them.
 */
export async function openGraphs() {
  const {graphs, weights} = await json('graphs.json');
  const data = unpacked(weights, await bytes('weights.bin'));
  return async name => {
    const said = graphs[name];
    const session = await ort.InferenceSession.create(await bytes(said.file), {
      executionProviders: ['wasm'], graphOptimizationLevel: 'all', externalData: [{path: 'weights.bin', data}],
    });
    const run = async (...arrays) => {
      const feeds = {};
      said.inputs.forEach((spec, k) => { feeds[spec.name] = new ort.Tensor(spec.dtype, arrays[k], spec.shape); });
      const found = await session.run(feeds);
      return said.outputs.map(spec => found[spec.name].data);
    };
    return Object.assign(run, {outputs: said.outputs});
  };
}
