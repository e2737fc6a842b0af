// Classify images away from the page's own thread.
import {likely, prepare} from './classify.mjs';
import {json, openGraphs, setUp, version} from './runtime.mjs';

let info, graph, threads;

const does = {
  async open(wanted) {
    threads = wanted;
    await setUp(threads);
    info = await json('model.json');
    graph = await (await openGraphs())('network');
    return {info: {name: info.name, input_size: info.input_size}, version: version(), threads};
  },
  async classify(pixels, shape, count) {
    const began = performance.now(), input = prepare(info, pixels, shape), prepared = performance.now();
    const [logits] = await graph(input), ended = performance.now();
    return {found: likely(info, logits, count), logits: Array.from(logits), prepare_ms: prepared - began, network_ms: ended - prepared};
  },
};

onmessage = async ({data: {id, what, with: given}}) => {
  try { postMessage({id, answer: await does[what](...given)}); } catch (error) { postMessage({id, error: String(error?.message ?? error)}); }
};
