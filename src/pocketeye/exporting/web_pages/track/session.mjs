// Follow objects through a video by the rules of pocketeye's sessions, with a tracker that computes.
import {fillHoles} from './masks.mjs';
import {ObjectMemory} from './memory.mjs';

const HOLE_AREA = 8; // SAM 2's fill_hole_area, in pixels of the network's masks
const MOST_PROMPTED = 4; // corrected frames that each object keeps: 2 anchors and 3 recent maps come beside them
const MASK_PROMPT_LOGIT = 32;
export const [NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT] = [0, 1, 2, 3];

export class Session {
  /** @param shape [height, width] of the video */
  constructor(tracker, shape) {
    Object.assign(this, {tracker, shape, memories: new Map(), reverse: false, past: [], future: []});
  }

  /** Remember the state before a prompt, so that it can be taken back. */
  keepForUndo() {
    this.past.push(this.copied());
    this.past = this.past.slice(-50);
    this.future = [];
  }

  copied() { return new Map([...this.memories].map(([id, memory]) => [id, memory.copy()])); }

  undo() { return this.swap(this.past, this.future); }

  redo() { return this.swap(this.future, this.past); }

  swap(from, to) {
    if (!from.length) return false;
    to.push(this.copied());
    this.memories = from.pop();
    return true;
  }

  remove(id) { this.keepForUndo(); this.memories.delete(id); }

  /**
   * Show an object, or correct it. A box begins anew; points are added to those of the frame.
   *
   * @param features of the frame, by their names
   * @param prompt {points: [[x, y], …], labels: […], box: [x0, y0, x1, y1]} in pixels of the video
   */
  async add(id, frame, features, {points = [], labels = [], box = null}) {
    const known = this.memories.get(id), old = box ? null : known?.prompted.get(frame);
    const at = [...(old?.points ?? []), ...(box ? [box.slice(0, 2), box.slice(2)] : []), ...points];
    const kinds = [...(old?.labels ?? []), ...(box ? [TOP_LEFT, BOTTOM_RIGHT] : []), ...labels];
    const answer = await this.predict(known, frame, features, at, kinds);
    this.keepForUndo();
    const memory = known ?? new ObjectMemory(id, this.tracker.numSlots, frame, this.tracker.rule);
    this.memories.set(id, memory);
    memory.prompt(frame, {answer, points: at, labels: kinds}, MOST_PROMPTED);
    return this.results(frame, false);
  }

  async predict(memory, frame, features, points, labels) {
    const before = memory?.answer(frame) ?? null;
    // SAM 2: a first prompt reads no memory, not even other prompts.
    const reading = memory?.tracked.has(frame) ? memory.reading(frame, this.reverse) : null;
    const mask = before && before.mask.map(x => Math.max(-MASK_PROMPT_LOGIT, Math.min(MASK_PROMPT_LOGIT, x)));
    const [height, width] = this.shape, f = Math.fround, scale = [f(this.tracker.imageSize[1] / width), f(this.tracker.imageSize[0] / height)];
    const scaled = points.map(([x, y]) => [f(f(x) * scale[0]), f(f(y) * scale[1])]);
    const found = await this.tracker.prompt(features, reading, scaled, labels, mask, true);
    const filled = fillHoles(found.mask, this.tracker.maskSize, HOLE_AREA);
    const map = await this.tracker.write(features, filled, true);
    return {mask: filled, score: found.score, iou: found.iou, pointer: found.pointer, map};
  }

  /** Find the objects in the next frame of a pass. */
  async track(frame, features, reverse = false) {
    this.reverse = reverse;
    const due = [];
    for (const memory of this.memories.values()) {
      memory.settle();
      if (!memory.isDue(frame, reverse)) continue;
      memory.tracked.add(frame);
      if (!memory.prompted.has(frame)) due.push([memory, memory.reading(frame, reverse)]);
    }
    for (const [memory, reading] of due) {
      const found = await this.tracker.track(features, reading, true);
      const map = await this.tracker.write(features, found.mask, false); // SAM 2 fills holes after this
      const answer = {mask: fillHoles(found.mask, this.tracker.maskSize, HOLE_AREA), score: found.score, iou: found.iou, pointer: found.pointer, map};
      const anchor = memory.rule === 'distinct' && memory.watch.isAnchor(frame, found.mask, found.masks, found.iou, this.tracker.maskSize);
      memory.remember(frame, answer, anchor);
    }
    return this.results(frame, true);
  }

  /** Return what is known of a frame; unless `onlyDue`, also what an earlier pass found. */
  results(frame, onlyDue) {
    return [...this.memories.values()].filter(memory => !onlyDue || memory.isDue(frame, this.reverse))
      .map(memory => ({id: memory.id, answer: memory.answer(frame), prompted: memory.prompted.has(frame)}))
      .filter(({answer}) => answer !== null)
      .map(({id, answer, prompted}) => ({id, prompted, mask: answer.mask, score: 1 / (1 + Math.exp(-answer.score)), iou: answer.iou}));
  }
}
