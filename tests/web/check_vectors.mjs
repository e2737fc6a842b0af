// Hold the rules in JavaScript to the cases that Python made: node check_vectors.mjs PAGES < cases.json
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

const pages = pathToFileURL(`${process.argv[2]}/`);
const load = name => import(new URL(name, pages));
const {AnchorWatch, ObjectMemory} = await load('memory.mjs'), masks = await load('masks.mjs'), {resize} = await load('images.mjs');
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
for (const {shape, to, filter, pixels, resized} of cases.resized) assert.deepEqual([...resize(Uint8Array.from(pixels), 3, shape, to, filter)], resized);
for (const {shape, mask, counts} of cases.runs) {
  assert.deepEqual(masks.runLengths(mask, shape), {size: shape, counts});
  assert.deepEqual([...masks.fromRuns({size: shape, counts})], mask);
}
console.log('equal');
