// Masks as a session and a page need them: components, holes, enlarging, run lengths.

const FILLED = 0.1; // what official code writes into filled pixels

/** Label connected components from 1 up, in the order of their first pixels; areas[0] counts the rest. */
export function components(mask, [height, width], diagonal) {
  const labels = new Int32Array(height * width), areas = [0], stack = [];
  const steps = diagonal ? [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]] : [[-1, 0], [0, -1], [0, 1], [1, 0]];
  for (let start = 0; start < labels.length; start++) {
    if (!mask[start]) { areas[0]++; continue; }
    if (labels[start]) continue;
    const label = areas.push(0) - 1;
    labels[start] = label;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop(), y = Math.trunc(at / width), x = at % width;
      areas[label]++;
      for (const [dy, dx] of steps) {
        const v = y + dy, u = x + dx, to = v * width + u;
        if (v >= 0 && v < height && u >= 0 && u < width && mask[to] && !labels[to]) { labels[to] = label; stack.push(to); }
      }
    }
  }
  return {labels, areas};
}

/** Fill holes of at most `most` pixels in logits; returns new logits. */
export function fillHoles(logits, shape, most) {
  const filled = Float32Array.from(logits);
  if (!most) return filled;
  const {labels, areas} = components(Array.from(logits, x => !(x > 0)), shape, true);
  for (let k = 0; k < labels.length; k++) if (labels[k] && areas[labels[k]] <= most) filled[k] = FILLED;
  return filled;
}

/** Return the area of the box around a mask that is not empty. */
export function boxArea(mask, [height, width]) {
  let top = height, bottom = -1, left = width, right = -1;
  for (let k = 0; k < mask.length; k++) if (mask[k]) {
    const y = Math.trunc(k / width), x = k % width;
    top = Math.min(top, y); bottom = Math.max(bottom, y); left = Math.min(left, x); right = Math.max(right, x);
  }
  return (bottom - top + 1) * (right - left + 1);
}

/** Return for each wanted place the two it lies between, and the second's share in it. */
function neighbours(length, wanted) {
  const f = Math.fround, scale = f(f(length) / f(wanted));
  const low = new Int32Array(wanted), high = new Int32Array(wanted), share = new Float32Array(wanted), rest = new Float32Array(wanted);
  for (let k = 0; k < wanted; k++) {
    const at = Math.max(0, f(f(f(k + 0.5) * scale) - 0.5));
    low[k] = Math.min(Math.trunc(at), length - 1); high[k] = Math.min(low[k] + 1, length - 1);
    share[k] = at - low[k]; rest[k] = 1 - share[k];
  }
  return {low, high, share, rest};
}

/** Return the range of wanted places of which a neighbour is one of `first` to `last`. */
function near({low, high}, first, last) {
  let begin = 0, end = low.length;
  while (begin < end && high[begin] < first) begin++;
  while (end > begin && low[end - 1] > last) end--;
  return [begin, end];
}

/** Return the rows and columns of what is above 0, [top, bottom, left, right]; null where nothing is. */
function positive(logits, height, width) {
  let top = height, bottom = -1, left = width, right = -1;
  for (let y = 0, k = 0; y < height; y++) for (let x = 0; x < width; x++, k++) if (logits[k] > 0) {
    if (y < top) top = y;
    bottom = y;
    if (x < left) left = x;
    if (x > right) right = x;
  }
  return bottom < 0 ? null : [top, bottom, left, right];
}

/**
 * Return where logits, enlarged bilinearly, are above 0, as bytes of 0 and 1. Only what lies round the positive
 * part is computed: elsewhere a mean of what is not above 0 is not above 0 either.
 */
export function enlargedMask(logits, [fromHeight, fromWidth], [height, width]) {
  const found = new Uint8Array(height * width), f = Math.fround, box = positive(logits, fromHeight, fromWidth);
  if (!box) return found;
  const columns = neighbours(fromWidth, width), rows = neighbours(fromHeight, height);
  const [top, bottom] = near(rows, box[0], box[1]), [left, right] = near(columns, box[2], box[3]);
  const wide = [new Float32Array(width), new Float32Array(width)], held = [-1, -1]; // two stretched rows
  const stretched = row => {
    const line = wide[row & 1];
    if (held[row & 1] !== row) {
      held[row & 1] = row;
      for (let x = left, at = row * fromWidth; x < right; x++) line[x] = f(logits[at + columns.low[x]] * columns.rest[x]) + f(logits[at + columns.high[x]] * columns.share[x]);
    }
    return line;
  };
  for (let y = top; y < bottom; y++) {
    const upper = stretched(rows.low[y]), lower = stretched(rows.high[y]), rest = rows.rest[y], share = rows.share[y];
    for (let x = left, to = y * width + left; x < right; x++, to++) found[to] = f(f(upper[x] * rest) + f(lower[x] * share)) > 0 ? 1 : 0;
  }
  return found;
}

/** Return COCO's run lengths of a mask: counts down the columns, the first of zeros. */
export function runLengths(mask, [height, width]) {
  const counts = [];
  let value = 0, run = 0;
  for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) {
    if (mask[y * width + x] !== value) { counts.push(run); run = 0; value ^= 1; }
    run++;
  }
  counts.push(run);
  return {size: [height, width], counts};
}

/** Call `put` with the place of every pixel of a mask, which is row times width plus column. */
export function runsOver({size: [height, width], counts}, put) {
  let at = 0, value = 0;
  for (const count of counts) {
    if (value) for (let k = at, y = at % height, x = Math.trunc(at / height); k < at + count; k++) {
      put(y * width + x);
      if (++y === height) { y = 0; x++; }
    }
    at += count;
    value ^= 1;
  }
}

/** Return the mask of run lengths, as bytes of 0 and 1. */
export function fromRuns(segmentation) {
  const mask = new Uint8Array(segmentation.size[0] * segmentation.size[1]);
  runsOver(segmentation, at => { mask[at] = 1; });
  return mask;
}

/** Return COCO's bounding box [x, y, width, height], and the area. */
export function extent(mask, [, width]) {
  let top = Infinity, bottom = -1, left = Infinity, right = -1, area = 0;
  for (let k = 0; k < mask.length; k++) if (mask[k]) {
    const y = Math.trunc(k / width), x = k % width;
    area++; top = Math.min(top, y); bottom = Math.max(bottom, y); left = Math.min(left, x); right = Math.max(right, x);
  }
  return {area, bbox: area ? [left, top, right - left + 1, bottom - top + 1] : [0, 0, 0, 0]};
}
