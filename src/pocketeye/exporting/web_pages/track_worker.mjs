// Keep a session away from the page's own thread.
import {enlargedMask, extent, runLengths} from './masks.mjs';
import {json, openGraphs, setUp, version} from './runtime.mjs';
import {Session} from './session.mjs';
import {Tracker} from './tracker.mjs';

let tracker, session;

/** Turn answers into masks of the video's size, as the page draws and saves them. */
function shown(results, ms) {
  return {ms, objects: results.map(({mask, ...rest}) => {
    const large = enlargedMask(mask, tracker.maskSize, session.shape);
    return {...rest, ...extent(large, session.shape), segmentation: runLengths(large, session.shape)};
  })};
}

async function timed(work) {
  const began = performance.now(), results = await work();
  return shown(results, performance.now() - began);
}

const does = {
  async open(threads) {
    await setUp(threads);
    tracker = new Tracker(await json('tracker.json'), await openGraphs());
    // The large one now, while the page says that it loads; others when they are first needed.
    const [height, width] = tracker.imageSize;
    await tracker.encode(new Uint8Array(height * width * 3));
    return {name: tracker.said.variant, size: tracker.imageSize, version: version(), threads};
  },
  begin(shape) { session = new Session(tracker, shape); },
  add: (id, frame, pixels, prompt) => timed(() => session.add(id, frame, pixels, prompt)),
  track: (frame, pixels, reverse) => timed(() => session.track(frame, pixels, reverse)),
  remove: (id, frame) => { session.remove(id); return shown(session.results(frame, false), 0); },
  undo: frame => session.undo() && shown(session.results(frame, false), 0),
  redo: frame => session.redo() && shown(session.results(frame, false), 0),
};

onmessage = async ({data: {id, what, with: given}}) => {
  try { postMessage({id, answer: await does[what](...given)}); } catch (error) { postMessage({id, error: String(error?.message ?? error)}); }
};
