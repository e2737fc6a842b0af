// What a session remembers of an object: the rules of pocketeye's memory.py, tested by the same vectors.
import {boxArea, components} from './masks.mjs';

export const NUM_POINTERS = 16; // SAM 2's max_obj_ptrs_in_encoder; counts the current frame, so 15 are read
// By arXiv 2411.17576: recent frames five apart, and anchors in which a look-alike stands beside the object.
const NUM_SPACED = 3, NUM_ANCHORS = 2, SPACING = 5;
const APART = 0.7, SURE = 0.8, STEADY = 0.2, NUM_AREAS = 10, STEP = 5;

/** Keep the last `capacity` items, by frame number; the one that was put in last is at the end. */
export class Ring extends Map {
  constructor(capacity, items = []) { super(items); this.capacity = capacity; }

  put(frame, item) {
    this.delete(frame);
    this.set(frame, item);
    while (this.size > this.capacity) this.delete(this.keys().next().value);
  }

  copy() { return new Ring(this.capacity, this); }
}

/** Return the tracked frames that `frame` reads, oldest first, as [frame, slot]. */
export function framesToRead(rule, frame, step, kept, count) {
  const there = [...kept];
  if (rule === 'recent') {
    const aged = Array.from({length: count}, (_, k) => [frame - step * (count - k), count - k - 1]);
    return aged.filter(([f]) => there.includes(f));
  }
  const newest = there.filter(f => (frame - f) * step > 0).sort((a, b) => (frame - a) * step - (frame - b) * step).slice(0, count);
  return newest.map((f, slot) => [f, slot]).reverse();
}

const median = values => {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Tell whether an alternative mask covers something away from the chosen one. */
export function showsDistractor(chosen, masks, shape) {
  const own = boxArea(chosen, shape);
  return masks.some(mask => {
    const {labels, areas} = components(mask.map((on, k) => on && !chosen[k]), shape, false);
    if (areas.length === 1) return false;
    let largest = 1;
    for (let k = 2; k < areas.length; k++) if (areas[k] > areas[largest]) largest = k;
    return own < APART * boxArea(chosen.map((on, k) => on || labels[k] === largest), shape);
  });
}

/** Decide frame by frame whether a tracked object's frame is worth keeping as an anchor. */
export class AnchorWatch {
  constructor(areas = [], last = null) { this.areas = areas; this.last = last; }

  copy() { return new AnchorWatch([...this.areas], this.last); }

  isAnchor(frame, mask, masks, expectedIou, shape) {
    const chosen = Array.from(mask, x => x > 0), area = chosen.filter(Boolean).length;
    if (!area) return false;
    const usual = this.areas.length ? median(this.areas) : area;
    this.areas = [...this.areas, area].slice(-NUM_AREAS);
    if (this.last !== null && Math.abs(frame - this.last) < STEP) return false;
    if (Math.abs(area - usual) > STEADY * usual || expectedIou <= SURE) return false;
    if (!showsDistractor(chosen, masks.map(one => Array.from(one, x => x > 0)), shape)) return false;
    this.last = frame;
    return true;
  }
}

/** Remember one object: its prompted frames, its last answers and its last pointers. */
export class ObjectMemory {
  constructor(id, numSlots, frame, rule) {
    Object.assign(this, {id, numSlots, rule, first: frame, last: frame, prompted: new Map(), tracked: new Set()});
    this.answers = new Ring(numSlots - 1);
    this.maps = new Ring(rule === 'distinct' ? Math.min(NUM_SPACED, numSlots - 1) : numSlots - 1);
    this.pointers = new Ring(NUM_POINTERS - 1);
    this.anchors = new Ring(NUM_ANCHORS);
    this.watch = new AnchorWatch();
  }

  /** Return a memory that may be changed without this one; what it holds is never changed itself. */
  copy() {
    const made = Object.assign(Object.create(ObjectMemory.prototype), this);
    made.prompted = new Map([...this.prompted].map(([f, p]) => [f, {...p}]));
    made.tracked = new Set(this.tracked);
    for (const name of ['answers', 'maps', 'pointers', 'anchors', 'watch']) made[name] = this[name].copy();
    return made;
  }

  answer(frame) { return this.prompted.get(frame)?.answer ?? this.answers.get(frame) ?? null; }

  isDue(frame, reverse) { return reverse ? frame <= this.last : frame >= this.first; }

  prompt(frame, prompted, most) {
    this.first = Math.min(this.first, frame);
    this.last = Math.max(this.last, frame);
    this.prompted.set(frame, {...prompted, settled: false});
    // The user's word replaces the network's: no frame reads the old answer beside the new one.
    for (const ring of [this.answers, this.maps, this.pointers, this.anchors]) ring.delete(frame);
    this.limit(most, frame);
  }

  /** Forget prompted frames beyond `most`: the first one and those nearest to `near` stay. */
  limit(most, near) {
    while (this.prompted.size > most) {
      const earliest = Math.min(...this.prompted.keys()), rest = [...this.prompted.keys()].filter(f => f !== near);
      const others = rest.filter(f => f !== earliest), from = others.length ? others : rest;
      this.prompted.delete(from.reduce((a, b) => {
        const [x, y] = [Math.abs(a - near), Math.abs(b - near)];
        return y > x || (y === x && b < a) ? b : a;
      }));
    }
  }

  remember(frame, answer, anchor = false) {
    if (this.rule === 'recent' || answer.score > 0) {
      this.answers.put(frame, answer);
      if (this.rule === 'distinct') this.makeRoom();
      this.maps.put(frame, answer.map);
      if (anchor) this.anchors.put(frame, answer.map);
      this.pointers.put(frame, answer.pointer);
    } else {
      // An empty map would push one that shows the object out of the ring.
      this.answers.put(frame, {...answer, map: null});
      this.maps.delete(frame);
      this.pointers.delete(frame);
    }
  }

  /** Forget the last tracked frame if it is too near to the one kept before it. */
  makeRoom() {
    const kept = [...this.maps.keys()], [before, last] = kept.slice(-2);
    if (kept.length > 1 && Math.abs(last - before) < SPACING) this.maps.delete(last);
  }

  settle() { for (const prompt of this.prompted.values()) prompt.settled = true; }

  /** Return what `frame` reads, {maps, slots, pointers}, or null where nothing is there yet. */
  reading(frame, reverse) {
    const step = reverse ? -1 : 1;
    const settled = [...this.prompted].filter(([, p]) => p.settled).sort(([a], [b]) => a - b);
    const maps = settled.map(([, p]) => p.answer.map).filter(map => map !== null);
    for (const [f, map] of this.anchors) if (f !== frame) maps.push(map);
    const slots = maps.map(() => this.numSlots - 1);
    for (const [f, slot] of framesToRead(this.rule, frame, step, this.maps.keys(), this.numSlots - 1)) {
      maps.push(this.maps.get(f));
      slots.push(slot);
    }
    // Pointers of prompts still to come would tell where the object will be.
    const pointers = settled.filter(([f]) => (f - frame) * step <= 0).map(([, p]) => p.answer.pointer);
    for (const [f] of framesToRead(this.rule, frame, step, this.pointers.keys(), NUM_POINTERS - 1).reverse()) pointers.push(this.pointers.get(f));
    return maps.length ? {maps, slots, pointers} : null;
  }
}
