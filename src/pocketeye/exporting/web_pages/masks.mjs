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

function neighbours(length, wanted) {
  const f = Math.fround, scale = f(f(length) / f(wanted));
  return Array.from({length: wanted}, (_, k) => {
    const at = Math.max(0, f(f(f(k + 0.5) * scale) - 0.5)), low = Math.min(Math.trunc(at), length - 1);
    return [low, Math.min(low + 1, length - 1), f(at - low)];
  });
}

/** Return where logits, enlarged bilinearly, are above 0, as bytes of 0 and 1. */
export function enlargedMask(logits, [fromHeight, fromWidth], [height, width]) {
  const columns = neighbours(fromWidth, width), found = new Uint8Array(height * width), f = Math.fround;
  const wide = new Map(); // rows of the network's mask, stretched
  const stretched = row => {
    if (!wide.has(row)) {
      wide.set(row, Float32Array.from(columns, ([low, high, share]) => f(logits[row * fromWidth + low] * f(1 - share)) + f(logits[row * fromWidth + high] * share)));
    }
    return wide.get(row);
  };
  neighbours(fromHeight, height).forEach(([low, high, share], y) => {
    const upper = stretched(low), lower = stretched(high), rest = f(1 - share);
    for (let x = 0; x < width; x++) found[y * width + x] = f(f(upper[x] * rest) + f(lower[x] * share)) > 0 ? 1 : 0;
  });
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

/** Return the mask of run lengths, as bytes of 0 and 1. */
export function fromRuns({size: [height, width], counts}) {
  const mask = new Uint8Array(height * width);
  let at = 0, value = 0;
  for (const count of counts) {
    if (value) for (let k = at; k < at + count; k++) mask[(k % height) * width + Math.trunc(k / height)] = 1;
    at += count;
    value ^= 1;
  }
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
