// Follow objects through a video by the rules of pocketeye's sessions, with a tracker that computes.
import {resize} from './images.mjs';
import {fillHoles} from './masks.mjs';
import {ObjectMemory, Ring} from './memory.mjs';

const HOLE_AREA = 8; // SAM 2's fill_hole_area, in pixels of the network's masks
const MOST_PROMPTED = 4; // corrected frames that each object keeps: 2 anchors and 3 recent maps come beside them
const MASK_PROMPT_LOGIT = 32;
const KEPT_FRAMES = 4; // whose features stay: a user corrects a few of them in turn
export const [NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT] = [0, 1, 2, 3];

export class Session {
  /** @param shape [height, width] of the video */
  constructor(tracker, shape) {
    Object.assign(this, {tracker, shape, memories: new Map(), features: new Ring(KEPT_FRAMES), reverse: false, past: [], future: []});
  }

  async seen(frame, pixels) {
    if (!this.features.has(frame)) {
      const small = resize(pixels, 3, this.shape, this.tracker.imageSize, 'bicubic');
      this.features.put(frame, await this.tracker.encode(small));
    }
    return this.features.get(frame);
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
   * @param prompt {points: [[x, y], …], labels: […], box: [x0, y0, x1, y1]} in pixels of the video
   */
  async add(id, frame, pixels, {points = [], labels = [], box = null}) {
    const known = this.memories.get(id), old = box ? null : known?.prompted.get(frame);
    const at = [...(old?.points ?? []), ...(box ? [box.slice(0, 2), box.slice(2)] : []), ...points];
    const kinds = [...(old?.labels ?? []), ...(box ? [TOP_LEFT, BOTTOM_RIGHT] : []), ...labels];
    const answer = await this.predict(known, frame, await this.seen(frame, pixels), at, kinds);
    this.keepForUndo();
    const memory = known ?? new ObjectMemory(id, this.tracker.numSlots, frame, this.tracker.rule);
    this.memories.set(id, memory);
    memory.prompt(frame, {answer, points: at, labels: kinds}, MOST_PROMPTED);
    return this.results(frame, false);
  }

  async predict(memory, frame, seen, points, labels) {
    const before = memory?.answer(frame) ?? null;
    // SAM 2: a first prompt reads no memory, not even other prompts.
    const reading = memory?.tracked.has(frame) ? memory.reading(frame, this.reverse) : null;
    const mask = before && before.mask.map(x => Math.max(-MASK_PROMPT_LOGIT, Math.min(MASK_PROMPT_LOGIT, x)));
    const [height, width] = this.shape, f = Math.fround, scale = [f(this.tracker.imageSize[1] / width), f(this.tracker.imageSize[0] / height)];
    const scaled = points.map(([x, y]) => [f(f(x) * scale[0]), f(f(y) * scale[1])]);
    const found = await this.tracker.prompt(seen, reading, scaled, labels, mask, true);
    const filled = fillHoles(found.mask, this.tracker.maskSize, HOLE_AREA);
    const map = await this.tracker.write(seen, filled, true);
    return {mask: filled, score: found.score, iou: found.iou, pointer: found.pointer, map};
  }

  /** Find the objects in the next frame of a pass. */
  async track(frame, pixels, reverse = false) {
    this.reverse = reverse;
    const due = [];
    for (const memory of this.memories.values()) {
      memory.settle();
      if (!memory.isDue(frame, reverse)) continue;
      memory.tracked.add(frame);
      if (!memory.prompted.has(frame)) due.push([memory, memory.reading(frame, reverse)]);
    }
    const seen = due.length ? await this.seen(frame, pixels) : null;
    for (const [memory, reading] of due) {
      const found = await this.tracker.track(seen, reading, true);
      const map = await this.tracker.write(seen, found.mask, false); // SAM 2 fills holes after this
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
