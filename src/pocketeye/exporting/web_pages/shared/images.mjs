// Resize as Pillow does, so that a network sees in the page what it saw in Python.

const BITS = 22; // Pillow's PRECISION_BITS: 32 - 8 - 2
const KERNELS = {
  bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, x => {
    const a = -0.5, t = Math.abs(x);
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
  }],
};

/** Return for every output pixel its first input pixel and its weights, as integers of BITS bits. */
function weightsOf(from, to, [support, kernel]) {
  const scale = from / to, stretch = Math.max(1, scale), reach = support * stretch;
  return Array.from({length: to}, (_, at) => {
    const center = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5)), end = Math.min(from, Math.trunc(center + reach + 0.5));
    const raw = Array.from({length: end - first}, (_, k) => kernel((k + first - center + 0.5) / stretch));
    const sum = raw.reduce((a, b) => a + b, 0);
    return {first, weights: Int32Array.from(raw, w => {
      const scaled = (sum === 0 ? w : w / sum) * 2 ** BITS;
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    })};
  });
}

const laidOut = new Map(); // of the last sizes: frames of a clip share theirs

/** Lay the weights out in flat arrays. */
function flat(from, to, filter) {
  const key = `${from} ${to} ${filter}`;
  if (laidOut.has(key)) return laidOut.get(key);
  if (laidOut.size > 8) laidOut.clear();
  const all = weightsOf(from, to, KERNELS[filter]), first = new Int32Array(to), start = new Int32Array(to + 1);
  all.forEach((one, k) => { first[k] = one.first; start[k + 1] = start[k] + one.weights.length; });
  const weights = new Int32Array(start[to]);
  all.forEach((one, k) => weights.set(one.weights, start[k]));
  laidOut.set(key, {first, start, weights});
  return laidOut.get(key);
}

// Sums of bytes times weights stay within 32 bits, as in Pillow; Math.imul keeps them out of floating point.
const HALF = 1 << (BITS - 1); // not 2 **, which is a floating-point number to compilers

function alongRows(pixels, channels, [height, fromWidth], width, {first, start, weights}) {
  const found = new Uint8ClampedArray(height * width * channels);
  for (let y = 0, to = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const begin = (y * fromWidth + first[x]) * channels, end = start[x + 1];
    for (let c = 0; c < channels; c++) {
      let sum = HALF;
      for (let k = start[x], at = begin + c; k < end; k++, at += channels) sum = sum + Math.imul(pixels[at], weights[k]) | 0;
      found[to++] = sum >> BITS;
    }
  }
  return found;
}

/** As alongRows, of a canvas: one read for all of a pixel's channels. The fourth is left out. */
function alongRowsOfCanvas(rgba, [height, fromWidth], width, {first, start, weights}) {
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4), found = new Uint8ClampedArray(height * width * 3);
  for (let y = 0, to = 0; y < height; y++) for (let x = 0; x < width; x++, to += 3) {
    const end = start[x + 1];
    let r = HALF, g = HALF, b = HALF;
    for (let k = start[x], at = y * fromWidth + first[x]; k < end; k++, at++) {
      const pixel = pixels[at], weight = weights[k];
      r = r + Math.imul(pixel & 255, weight) | 0;
      g = g + Math.imul(pixel >>> 8 & 255, weight) | 0;
      b = b + Math.imul(pixel >>> 16 & 255, weight) | 0;
    }
    found[to] = r >> BITS; found[to + 1] = g >> BITS; found[to + 2] = b >> BITS;
  }
  return found;
}

function alongColumns(rows, stride, height, {first, start, weights}) {
  const found = new Uint8ClampedArray(height * stride), sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    // Row by row, two at a time: memory is read in its order, and sums are touched half as often.
    let k = start[y], at = first[y] * stride;
    for (; k + 1 < start[y + 1]; k += 2, at += 2 * stride) {
      const one = weights[k], two = weights[k + 1], next = at + stride;
      for (let x = 0; x < stride; x++) sums[x] = sums[x] + Math.imul(rows[at + x], one) + Math.imul(rows[next + x], two) | 0;
    }
    if (k < start[y + 1]) for (let x = 0; x < stride; x++) sums[x] = sums[x] + Math.imul(rows[at + x], weights[k]) | 0;
    for (let x = 0, to = y * stride; x < stride; x++) found[to + x] = sums[x] >> BITS;
  }
  return found;
}

/**
 * Resize uint8 pixels of `channels` interleaved channels; returns a Uint8Array of height x width x channels.
 * Antialiased, first along rows and then along columns, each rounded to bytes, as Pillow does.
 *
 */
export function resize(pixels, channels, [fromHeight, fromWidth], [height, width], filter) {
  let rows = pixels;
  if (width !== fromWidth) rows = alongRows(pixels, channels, [fromHeight, fromWidth], width, flat(fromWidth, width, filter));
  return downColumns(rows, channels, [fromHeight, width], height, filter, pixels);
}

/** Resize what a canvas holds, RGBA; returns RGB, as `resize` of its first three channels. */
export function resizeCanvas(rgba, [fromHeight, fromWidth], [height, width], filter) {
  const rows = width === fromWidth ? rgb(rgba) : alongRowsOfCanvas(rgba, [fromHeight, fromWidth], width, flat(fromWidth, width, filter));
  return downColumns(rows, 3, [fromHeight, width], height, filter, rgba);
}

function downColumns(rows, channels, [fromHeight, width], height, filter, given) {
  let found = rows;
  if (height !== fromHeight) found = alongColumns(rows, width * channels, height, flat(fromHeight, height, filter));
  return found === given ? Uint8Array.from(found) : new Uint8Array(found.buffer);
}

/** Return the part of an image that begins at (top, left). */
export function crop(pixels, channels, [, fromWidth], [top, left, height, width]) {
  const found = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * fromWidth + left) * channels;
    found.set(pixels.subarray(start, start + width * channels), y * width * channels);
  }
  return found;
}

/** Round half to even, as Python does. */
export function rounded(x) {
  const low = Math.floor(x), rest = x - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** Drop the fourth channel of a canvas. */
export function rgb(rgba) {
  const found = new Uint8Array(rgba.length / 4 * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    found[to++] = rgba[from]; found[to++] = rgba[from + 1]; found[to++] = rgba[from + 2];
  }
  return found;
}
