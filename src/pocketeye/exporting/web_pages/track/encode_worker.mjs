// Encode frames beside the worker that tracks: the next frame is encoded while objects are sought in this one.
import {answering} from './answering.mjs';
import {resizeCanvas} from './images.mjs';
import {json, openGraphs, setUp} from './runtime.mjs';

let graph, said;

const does = {
  async open(threads) {
    await setUp(threads);
    said = await json('tracker.json');
    graph = await (await openGraphs())('image');
    // The first run lays the weights out: now, while the page says that it loads.
    await graph(new Uint8Array(3 * said.image_size[0] * said.image_size[1]));
  },

  /** Return the features of a frame, by name; `pixels` are RGBA as a canvas gives them, `shape` is [height, width]. */
  async encode(pixels, shape) {
    const began = performance.now(), small = resizeCanvas(pixels, shape, said.image_size, 'bicubic'), resized = performance.now();
    const found = await graph(small);
    const features = Object.fromEntries(said.graphs.image.outputs.map((name, k) => [name, found[k]]));
    return {features, stages: {resize: resized - began, image: performance.now() - resized}};
  },
};

answering(does, answer => Object.values(answer?.features ?? {}).map(array => array.buffer));
