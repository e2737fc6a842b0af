// Look at images away from the page's own thread: classify, detect, or label every pixel.
import {answering} from './answering.mjs';
import {likely, prepare as prepareCrop} from './classify.mjs';
import {detections, labelMap, prepare as prepareCanvas} from './dense.mjs';
import {json, openGraphs, setUp, version} from './runtime.mjs';

let said, look, graph;

/** Run the parts of one look and tell how long they took. */
async function timed(prepare, finish) {
  const began = performance.now(), prepared = prepare(), ready = performance.now();
  const outputs = await graph(prepared.input), ran = performance.now(), answer = finish(outputs, prepared);
  return {...answer, prepare_ms: ready - began, network_ms: ran - ready, finish_ms: performance.now() - ran};
}

// What a page of each task asks; `pixels` are RGB, `shape` is [height, width].
const looks = {
  classify: (pixels, shape, count) => timed(
    () => ({input: prepareCrop(said, pixels, shape)}),
    ([logits]) => ({found: likely(said, logits, count), logits: Array.from(logits)}),
  ),
  detect: (pixels, shape) => timed(
    () => prepareCanvas(said, pixels, shape),
    (outputs, {size}) => ({objects: detections(said.decoder, outputs, graph.outputs.map(spec => spec.shape.slice(-2)), size, shape)}),
  ),
  // `whole` labels every pixel of the image; without it those of the network's input, which a page enlarges.
  semantic: (pixels, shape, whole) => timed(
    () => prepareCanvas(said, pixels, shape),
    ([logits], {size}) => ({labels: labelMap(said, logits, graph.outputs[0].shape.slice(-3), size, whole ? shape : null), size: whole ? shape : size}),
  ),
};

const does = {
  async open(threads) {
    await setUp(threads);
    const {task} = await json('site.json');
    said = await json(task === 'classify' ? 'model.json' : 'dense.json');
    look = looks[task];
    graph = await (await openGraphs())('network');
    return {info: {name: said.name ?? '', input_size: said.input_size ?? said.canvas}, task, classes: said.classes, version: version(), threads};
  },
  look: (...given) => look(...given),
};

answering(does, answer => (answer?.labels ? [answer.labels.buffer] : []));
