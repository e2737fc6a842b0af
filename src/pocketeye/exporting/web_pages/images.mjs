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

// Sums of bytes times weights stay within 32 bits, as in Pillow.
const clipped = sum => {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
};

/**
 * Resize uint8 pixels of `channels` interleaved channels; returns a Uint8Array of height x width x channels.
 * Antialiased, first along rows and then along columns, each rounded to bytes, as Pillow does.
 */
export function resize(pixels, channels, [fromHeight, fromWidth], [height, width], filter) {
  let rows = pixels, rowWidth = fromWidth;
  const half = 2 ** (BITS - 1);
  if (width !== fromWidth) {
    const taps = weightsOf(fromWidth, width, KERNELS[filter]);
    rows = new Uint8Array(fromHeight * width * channels);
    for (let y = 0, to = 0; y < fromHeight; y++) for (const {first, weights} of taps) {
      const start = (y * fromWidth + first) * channels;
      for (let c = 0; c < channels; c++, to++) {
        let sum = half;
        for (let k = 0, at = start + c; k < weights.length; k++, at += channels) sum += pixels[at] * weights[k];
        rows[to] = clipped(sum);
      }
    }
    rowWidth = width;
  }
  if (height === fromHeight) return rows === pixels ? Uint8Array.from(pixels) : rows;
  const stride = rowWidth * channels, found = new Uint8Array(height * stride);
  weightsOf(fromHeight, height, KERNELS[filter]).forEach(({first, weights}, y) => {
    for (let x = 0; x < stride; x++) {
      let sum = half;
      for (let k = 0, at = first * stride + x; k < weights.length; k++, at += stride) sum += rows[at] * weights[k];
      found[y * stride + x] = clipped(sum);
    }
  });
  return found;
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
