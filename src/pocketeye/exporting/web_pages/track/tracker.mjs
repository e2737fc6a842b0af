// Compute what a session asks by the graphs of an exported tracker: pocketeye's engine/artifact.py in JavaScript.

const NOTHING = -3e4; // the bias of an empty place: its weight is zero
const FILL = -2, NO_POINT = -1; // labels of a place that holds no point at all, and of a prompt without points
const ABSENT = -1024; // SAM 2's NO_OBJ_SCORE, for every pixel of an object that is not there

const size = shape => shape.reduce((a, b) => a * b, 1);
const bias = (places, filled) => Float32Array.from({length: places}, (_, k) => (k < filled ? 0 : NOTHING));

/** Solve a x = b for one right side, in place, by elimination with pivots; `a` has n rows of n + 1. */
export function solve(a, n) {
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i][k]) > Math.abs(a[pivot][k])) pivot = i;
    [a[k], a[pivot]] = [a[pivot], a[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = a[i][k] / a[k][k];
      if (factor) for (let j = k; j <= n; j++) a[i][j] -= factor * a[k][j];
    }
  }
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = a[i][n];
    for (let j = i + 1; j < n; j++) sum -= a[i][j] * x[j];
    x[i] = sum / a[i][i];
  }
  return x;
}

/** Hold the inputs of a reading graph, in which only what changed is written from frame to frame. */
class Bank {
  constructor(shapes, numMaps) {
    this.shapes = shapes; this.numMaps = numMaps; this.held = Array(numMaps).fill(null); this.arrays = {};
    for (const name of ['keys', 'values', 'pointers', 'match_keys', 'match_masks']) if (shapes[name]) this.arrays[name] = new Float32Array(size(shapes[name]));
  }

  fill({maps, slots, pointers}, ageOf, whole) {
    for (let place = 0; place < this.numMaps; place++) {
      // An empty place repeats the first map, so that no likeness changes; its bias hides it.
      const n = place < maps.length ? place : 0, held = this.held[place];
      if (held === null || held[0] !== maps[n] || held[1] !== slots[n]) {
        this.put(place, maps[n], ageOf(slots[n]), whole);
        this.held[place] = [maps[n], slots[n]];
      }
    }
    const [, numPointers, width] = this.shapes.pointers;
    pointers.forEach((pointer, k) => this.arrays.pointers.set(pointer, k * width));
    this.arrays.map_bias = bias(this.numMaps, maps.length);
    this.arrays.pointer_bias = bias(numPointers, pointers.length);
  }

  put(place, map, age, whole) {
    const keys = whole ? map.whole_keys : map.keys, values = whole ? map.whole_values : map.values;
    const [depth, , rows, width] = this.shapes.keys, length = values.length / this.shapes.values[2];
    for (let d = 0; d < depth; d++) {
      const from = d * length * width, to = (d * rows + place * length) * width;
      for (let k = 0; k < length * width; k++) this.arrays.keys[to + k] = keys[from + k] + age[from + k];
    }
    this.arrays.values.set(values, place * values.length);
    if (map.match_masks) {
      this.arrays.match_keys.set(map.match_keys, place * map.match_keys.length);
      this.arrays.match_masks.set(map.match_masks, place * map.match_masks.length);
    }
  }
}

export class Tracker {
  /**
   * @param said what tracker.json holds
   * @param open gives the graph of a name: an async function of arrays
   */
  constructor(said, open) {
    this.said = said; this.open = open; this.graphs = new Map(); this.banks = new Map(); this.ages = new Map();
    this.stages = {}; // milliseconds of graphs, by kind, since a caller emptied it
    this.imageSize = said.image_size;
    this.maskSize = said.image_size.map(side => Math.trunc(side / 4));
    this.numSlots = said.ages.length;
    this.rule = said.session_rule;
    this.noMemory = Float32Array.from(said.no_mem_embed);
    this.noPointer = Float32Array.from(said.no_obj_ptr);
  }

  async run(name, given) {
    if (!this.graphs.has(name)) this.graphs.set(name, await this.open(name));
    const {inputs, outputs} = this.said.graphs[name], began = performance.now();
    const found = await this.graphs.get(name)(...inputs.map(key => given[key])), stage = name.split('-')[0];
    this.stages[stage] = (this.stages[stage] ?? 0) + performance.now() - began;
    return Object.fromEntries(outputs.map((key, k) => [key, found[k]]));
  }

  async track(features, reading, stable) {
    return this.choose(await this.run('decode', await this.condition(features, reading)), true, stable);
  }

  /** Find the object that points of the network's input show: [[x, y], …] with labels, after `mask` if not null. */
  async prompt(features, reading, points, labels, mask, stable) {
    let known;
    if (reading === null) { // SAM 2: a first prompt reads no memory
      const width = this.noMemory.length;
      known = {...features, known: features.feat.map((x, k) => x + this.noMemory[k % width])};
    } else {
      known = await this.condition(features, reading);
      known.known = known.read;
    }
    // SAM 2's multimask_max_pt_num: two points or more, so also a box, say enough for one mask.
    return this.choose(await this.prompted(known, points, labels, mask), points.length <= 1, stable);
  }

  /** Return what an object leaves in a frame. */
  async write(features, mask, binarize) {
    const written = await this.run('write', {...features, mask, binarize: Float32Array.of(binarize ? 1 : 0)});
    return {
      keys: written.pooled_keys ?? written.keys, values: written.pooled_values ?? written.values,
      whole_keys: written.keys, whole_values: written.values,
      match_keys: written.match_masks ? features.match_key : null, match_masks: written.match_masks ?? null,
      target_sums: written.target_sums ?? null,
    };
  }

  /** Return the features with `read`, which knows the memory, and the solved `target`. */
  async condition(features, reading) {
    const {maps, slots, pointers} = reading, whole = maps.length === 1;
    const capacity = Math.min(...this.said.capacities.filter(number => number >= maps.length));
    if (!Number.isFinite(capacity) || pointers.length > this.said.num_pointers) throw new Error('An object was corrected in too many frames: begin it anew.');
    const name = `read-${capacity}`;
    if (!this.banks.has(capacity)) this.banks.set(capacity, new Bank(this.said.graphs[name].shapes, capacity));
    const ages = new Map();
    for (const slot of new Set(slots)) ages.set(slot, await this.age(slot, whole));
    const bank = this.banks.get(capacity);
    bank.fill(reading, slot => ages.get(slot), whole);
    const known = {...features, ...await this.run(name, {...features, ...bank.arrays})};
    if (this.said.prompted !== null) { known.target = this.solved(maps, slots); known.target_on = Float32Array.of(1); }
    return known;
  }

  async age(slot, whole) {
    const key = `${slot} ${whole}`;
    if (!this.ages.has(key)) {
      const placed = await this.run('place', {embedding: Float32Array.from(this.said.ages[slot])});
      this.ages.set(`${slot} true`, placed.keys);
      this.ages.set(`${slot} false`, placed.pooled_keys ?? placed.keys);
    }
    return this.ages.get(key);
  }

  /** Solve the target model's regression over the maps that a frame reads. */
  solved(maps, slots) {
    const f = Math.fround, n = Math.round(Math.sqrt(maps[0].target_sums.length + 0.25) - 0.5);
    let total = new Float32Array(maps[0].target_sums.length), weight = 0;
    maps.forEach((map, k) => {
      const own = slots[k] === this.numSlots - 1 ? this.said.prompted : 1;
      for (let i = 0; i < total.length; i++) total[i] += f(f(own) * map.target_sums[i]);
      weight += own;
    });
    total = total.map(x => x / f(weight));
    const rows = Array.from({length: n}, (_, i) => Float64Array.from(total.subarray(i * (n + 1), (i + 1) * (n + 1))));
    for (let i = 0; i < n; i++) rows[i][i] = f(rows[i][i] + f(this.said.ridge));
    return Float32Array.from(solve(rows, n));
  }

  prompted(known, points, labels, mask) {
    const places = this.said.num_points, at = new Float32Array(2 * places), kinds = new Float32Array(places).fill(FILL);
    if (points.length > places) throw new Error(`At most ${places} points are taken in one frame.`);
    if (points.length === 0) kinds[0] = NO_POINT;
    points.forEach(([x, y], k) => { at[2 * k] = x; at[2 * k + 1] = y; kinds[k] = labels[k]; });
    const given = {
      points: at, labels: kinds, mask: mask ?? new Float32Array(size(this.maskSize)), mask_on: Float32Array.of(mask ? 1 : 0),
    };
    if (this.said.prompted !== null) {
      given.target = new Float32Array(size(this.said.graphs.prompt.shapes.target));
      given.target_on = Float32Array.of(0);
    }
    return this.run('prompt', {...given, ...known});
  }

  /** Choose among the masks of one object, as the network was trained to be read. */
  choose({masks, ious, pointers, score}, multimask, stable) {
    const area = size(this.maskSize), width = this.noPointer.length, mask = k => masks.slice(k * area, (k + 1) * area);
    let candidates = [0];
    if (multimask) candidates = Array.from({length: ious.length - 1}, (_, k) => k + 1);
    else if (stable) candidates = [this.single(mask(0), ious)];
    const best = candidates.reduce((a, b) => (ious[b] > ious[a] ? b : a));
    if (score[0] > 0) {
      // Of a single mask the pointer is that of mask 0, even where another one was taken.
      const from = multimask ? best : 0;
      return {masks: candidates.map(mask), iou: ious[best], mask: mask(best), pointer: pointers.slice(from * width, (from + 1) * width), score: score[0]};
    }
    const absent = new Float32Array(area).fill(ABSENT);
    return {masks: candidates.map(() => absent), iou: ious[best], mask: absent, pointer: this.noPointer, score: score[0]};
  }

  /** Return the mask that stands alone where it is stable, else the best of the others. */
  single(mask, ious) {
    const delta = this.said.stability_delta, inner = mask.filter(x => x > delta).length, outer = mask.filter(x => x > -delta).length;
    if (inner >= this.said.stability_threshold * outer) return 0;
    let best = 1;
    for (let k = 2; k < ious.length; k++) if (ious[k] > ious[best]) best = k;
    return best;
  }
}
