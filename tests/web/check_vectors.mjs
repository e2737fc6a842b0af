// Hold the rules in JavaScript to the cases that Python made: node check_vectors.mjs PAGES < cases.json
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

const pages = pathToFileURL(`${process.argv[2]}/`);
const load = name => import(new URL(name, pages));
const {AnchorWatch, ObjectMemory} = await load('memory.mjs'), masks = await load('masks.mjs'), {resize, resizeCanvas} = await load('images.mjs');
const cases = JSON.parse(readFileSync(0, 'utf8'));
const f32 = values => Float32Array.from(values);

for (const {rule, num_slots: slots, first, steps} of cases.memory) {
  let memory = new ObjectMemory(1, slots, first, rule);
  for (const {do: what, frame, reverse, name, most, score, anchor, reads} of steps) {
    const before = JSON.stringify(memory.reading(frame, false)), kept = memory;
    memory = memory.copy();
    if (what === 'prompt') {
      memory.prompt(frame, {answer: {map: name, pointer: name, score: 1}}, most);
    } else {
      memory.settle();
      if (memory.isDue(frame, reverse)) {
        memory.tracked.add(frame);
        assert.deepEqual(memory.reading(frame, reverse), reads, `${rule}, frame ${frame}`);
        if (!memory.prompted.has(frame)) memory.remember(frame, {map: name, pointer: name, score}, anchor);
      } else assert.equal(reads, null);
    }
    // What undo goes back to has not changed with its copy.
    assert.equal(JSON.stringify(kept.reading(frame, false)), before);
  }
}
for (const {shape, frames} of cases.anchors) {
  const watch = new AnchorWatch();
  for (const {frame, masks: all, iou, anchor} of frames) assert.equal(watch.isAnchor(frame, all[0], all, iou, shape), anchor, `anchor ${frame}`);
}
for (const {shape, most, logits, filled} of cases.holes) assert.deepEqual(masks.fillHoles(logits, shape, most), f32(filled));
for (const {shape, to, logits, mask} of cases.enlarged) assert.deepEqual([...masks.enlargedMask(f32(logits), shape, to)], mask);
for (const {shape, to, filter, pixels, resized} of cases.resized) {
  assert.deepEqual([...resize(Uint8Array.from(pixels), 3, shape, to, filter)], resized);
  const rgba = Uint8ClampedArray.from({length: pixels.length / 3 * 4}, (_, k) => (k % 4 === 3 ? 255 : pixels[Math.trunc(k / 4) * 3 + k % 4]));
  assert.deepEqual([...resizeCanvas(rgba, shape, to, filter)], resized);
}
for (const {shape, mask, counts} of cases.runs) {
  assert.deepEqual(masks.runLengths(mask, shape), {size: shape, counts});
  assert.deepEqual([...masks.fromRuns({size: shape, counts})], mask);
}
const {detections, labelMap, prepare} = await load('dense.mjs'), {colorOf} = await load('colors.mjs');
const near = (found, wanted, most) => {
  assert.equal(found.length, wanted.length);
  wanted.forEach((x, k) => assert.ok(Math.abs(found[k] - x) <= most, `${found[k]} is not ${x}`));
};
for (const {said, shape, pixels, size, input} of cases.fitted) {
  const found = prepare(said, Uint8Array.from(pixels), shape);
  assert.deepEqual(found.size, size);
  near(found.input, input, 2e-6);
}
for (const {canvas, logits, shape, size, original, small, labels} of cases.labelled) {
  assert.deepEqual([...labelMap({canvas}, f32(logits), shape, size, null)], small);
  assert.deepEqual([...labelMap({canvas}, f32(logits), shape, size, original)], labels);
}
for (const {said, maps, shapes, size, original, boxes, scores, labels} of cases.detected) {
  const found = detections(said, maps.map(f32), shapes, size, original);
  assert.deepEqual(found.map(one => one.label), labels);
  near(found.map(one => one.score), scores, 1e-6);
  near(found.flatMap(one => one.box), boxes.flat(), 1e-4);
}
for (const {id, color} of cases.colors) assert.deepEqual(colorOf(id), color);
console.log('equal');
