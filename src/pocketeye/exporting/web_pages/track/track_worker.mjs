// Keep a session away from the page's own thread. Features come from the worker that encodes.
import {answering} from './answering.mjs';
import {enlargedMask, extent, runLengths} from './masks.mjs';
import {json, openGraphs, setUp, version} from './runtime.mjs';
import {Session} from './session.mjs';
import {Tracker} from './tracker.mjs';

let tracker, session;

/** Turn answers into masks of the video's size, as the page draws and saves them. */
function shown(results) {
  return results.map(({mask, ...rest}) => {
    const large = enlargedMask(mask, tracker.maskSize, session.shape);
    return {...rest, ...extent(large, session.shape), segmentation: runLengths(large, session.shape)};
  });
}

async function timed(work) {
  tracker.stages = {};
  const began = performance.now(), results = await work(), found = performance.now(), objects = shown(results), ended = performance.now();
  return {objects, ms: ended - began, stages: {...tracker.stages, masks: ended - found}};
}

const does = {
  async open(threads) {
    await setUp(threads);
    tracker = new Tracker(await json('tracker.json'), await openGraphs());
    return {name: tracker.said.variant, size: tracker.imageSize, version: version(), threads};
  },
  begin(shape) { session = new Session(tracker, shape); },
  add: (id, frame, features, prompt) => timed(() => session.add(id, frame, features, prompt)),
  track: (frame, features, reverse) => timed(() => session.track(frame, features, reverse)),
  remove: id => session.remove(id),
  undo: () => session.undo(),
  redo: () => session.redo(),
};

answering(does);
