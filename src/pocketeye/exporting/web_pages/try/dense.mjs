// What stands around the graph of a detector or semantic segmenter: pocketeye's artifacts/*_numpy.py in JavaScript.

const MAX_LOG_SCALE = Math.log(1000 / 16); // torchvision's limit: exp(dw) makes a box at most so many times wider
const f = Math.fround;

/** Return for each wanted place the two it lies between, and the second's share: centres of pixels are aligned. */
function between(length, wanted) {
  const low = new Int32Array(wanted), high = new Int32Array(wanted), share = new Float32Array(wanted);
  for (let k = 0; k < wanted; k++) {
    const place = Math.max((k + 0.5) * (length / wanted) - 0.5, 0);
    low[k] = Math.min(Math.trunc(place), length - 1); high[k] = Math.min(low[k] + 1, length - 1);
    share[k] = place - low[k];
  }
  return {low, high, share};
}

/**
 * Fit an image into the network's input, normalised, with zeros right of it and below.
 *
 * @param said what dense.json holds
 * @param pixels uint8 RGB
 * @param shape [height, width]
 * @returns {input: Float32Array of 3 x canvas, size: [height, width] that the image takes of it}
 */
export function prepare({canvas, mean, std}, pixels, [height, width]) {
  const scale = Math.min(canvas[0] / height, canvas[1] / width), size = [height, width].map(side => Math.max(1, Math.trunc(side * scale)));
  const input = new Float32Array(3 * canvas[0] * canvas[1]), rows = between(height, size[0]), columns = between(width, size[1]);
  for (let c = 0; c < 3; c++) {
    const value = Float32Array.from({length: 256}, (_, byte) => f(f(f(byte / 255) - f(mean[c])) / f(std[c])));
    for (let y = 0; y < size[0]; y++) {
      const upper = rows.low[y] * width, lower = rows.high[y] * width, down = rows.share[y], up = f(1 - down);
      for (let x = 0, to = (c * canvas[0] + y) * canvas[1]; x < size[1]; x++, to++) {
        const left = columns.low[x], right = columns.high[x], share = columns.share[x];
        const a = f(f(value[pixels[3 * (upper + left) + c]] * up) + f(value[pixels[3 * (lower + left) + c]] * down));
        const b = f(f(value[pixels[3 * (upper + right) + c]] * up) + f(value[pixels[3 * (lower + right) + c]] * down));
        input[to] = f(a * f(1 - share)) + f(b * share);
      }
    }
  }
  return {input, size};
}

/** Resize maps of `channels` x height x width bilinearly, and keep the first `kept` rows and columns. */
export function resizeMaps(values, channels, [height, width], to, kept = to) {
  const found = new Float32Array(channels * kept[0] * kept[1]), rows = between(height, to[0]), columns = between(width, to[1]);
  for (let c = 0, at = 0; c < channels; c++) for (let y = 0; y < kept[0]; y++) {
    const upper = (c * height + rows.low[y]) * width, lower = (c * height + rows.high[y]) * width, down = rows.share[y], up = f(1 - down);
    for (let x = 0; x < kept[1]; x++, at++) {
      const left = columns.low[x], right = columns.high[x], share = columns.share[x];
      const a = f(f(values[upper + left] * up) + f(values[lower + left] * down)), b = f(f(values[upper + right] * up) + f(values[lower + right] * down));
      found[at] = f(a * f(1 - share)) + f(b * share);
    }
  }
  return found;
}

/**
 * Return the best class of every pixel.
 *
 * @param shape [classes, height, width] of the logits
 * @param size that the image takes of the canvas; the rest of it is cut off
 * @param original of the image before; null leaves the map at `size`
 */
export function labelMap({canvas}, logits, [classes, height, width], size, original) {
  let values = resizeMaps(logits, classes, [height, width], canvas, size);
  if (original) values = resizeMaps(values, classes, size, original);
  const area = values.length / classes, labels = new Uint8Array(area), best = values.slice(0, area);
  for (let c = 1; c < classes; c++) for (let k = 0, at = c * area; k < area; k++, at++) if (values[at] > best[k]) { best[k] = values[at]; labels[k] = c; }
  return labels;
}

/** Return the sides [width, height] of a cell's anchors, by ratio and then by size. */
function anchorSides(sizes, ratios) {
  // Equal areas at each ratio, as torchvision makes them.
  return ratios.flatMap(ratio => sizes.map(size => [f(1 / Math.sqrt(ratio) * size), f(Math.sqrt(ratio) * size)]));
}

function level(said, number, classes, boxes, [height, width], size) {
  const area = height * width, sides = anchorSides(said.sizes[number], said.aspect_ratios), depth = said.num_classes, stride = said.strides[number];
  const thresh = said.score_thresh <= 0 ? -Infinity : said.score_thresh < 1 ? Math.log(said.score_thresh / (1 - said.score_thresh)) : Infinity;
  const above = [];
  for (let k = 0; k < classes.length; k++) if (classes[k] > thresh) {
    const map = Math.trunc(k / area), cell = k % area;
    above.push({anchor: Math.trunc(map / depth), label: map % depth, cell, logit: classes[k]});
  }
  // Of equal logits the one comes first that torchvision's order of anchors has first.
  const place = ({cell, anchor, label}) => (cell * sides.length + anchor) * depth + label;
  above.sort((one, other) => other.logit - one.logit || place(one) - place(other));
  return above.slice(0, said.topk_candidates).map(({anchor, label, cell, logit}) => {
    const delta = n => boxes[(anchor * 4 + n) * area + cell], center = [cell % width, Math.trunc(cell / width)].map(k => f(k * stride)), box = [0, 0, 0, 0];
    for (let n = 0; n < 2; n++) {
      const middle = f(center[n] + f(delta(n) * sides[anchor][n])), half = f(f(f(Math.exp(Math.min(delta(n + 2), f(MAX_LOG_SCALE)))) * sides[anchor][n]) / 2);
      const most = n ? size[0] : size[1], clipped = x => Math.max(0, Math.min(most, f(x)));
      box[n] = clipped(middle - half); box[n + 2] = clipped(middle + half);
    }
    return {box, label, score: f(1 / f(1 + f(Math.exp(-logit))))};
  });
}

/** Return the boxes that stay, best first: each overlaps no better one by more than the threshold. */
function nms(found, threshold) {
  const kept = [], areaOf = ([x1, y1, x2, y2]) => f(f(x2 - x1) * f(y2 - y1));
  for (const one of [...found].sort((a, b) => b.score - a.score)) {
    const dropped = kept.some(({box}) => {
      const width = Math.max(0, f(Math.min(box[2], one.box[2]) - Math.max(box[0], one.box[0])));
      const height = Math.max(0, f(Math.min(box[3], one.box[3]) - Math.max(box[1], one.box[1]))), shared = f(width * height);
      return shared > f(threshold * f(f(areaOf(box) + areaOf(one.box)) - shared));
    });
    if (!dropped) kept.push(one);
  }
  return kept;
}

/**
 * Turn the maps of a RetinaNet into objects, best first: [{box: [x1, y1, x2, y2], label, score}].
 *
 * @param said what dense.json says of the decoder
 * @param outputs the class maps of all levels, then the box maps
 * @param shapes [height, width] of the levels
 * @param size that the image takes of the canvas
 * @param original [height, width] of the image before: boxes are of that size
 */
export function detections(said, outputs, shapes, size, original) {
  const levels = said.strides.length;
  const all = said.strides.flatMap((_, k) => level(said, k, outputs[k], outputs[levels + k], shapes[k], size)).map((one, order) => ({...one, order}));
  const kept = [...new Set(all.map(({label}) => label))].flatMap(label => nms(all.filter(one => one.label === label), said.nms_thresh));
  kept.sort((one, other) => other.score - one.score || one.order - other.order);
  const scale = [f(original[1] / size[1]), f(original[0] / size[0])];
  return kept.slice(0, said.detections_per_img).map(({box, label, score}) => ({box: box.map((x, k) => f(x * scale[k % 2])), label, score}));
}
