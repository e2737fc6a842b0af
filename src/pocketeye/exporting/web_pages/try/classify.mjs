// What stands around a classifier's graph: the evaluation's crop before it, classes and shares after it.
import {crop, resize, rounded} from './images.mjs';

const LONGEST = 16; // sides longer than this many short ones are cut before they are resized

/** Cut the middle of `size` pixels out of an image; black where it is smaller is not needed after a resize. */
function middle(pixels, channels, [height, width], [toHeight, toWidth]) {
  const top = rounded((height - toHeight) / 2), left = rounded((width - toWidth) / 2);
  return crop(pixels, channels, [height, width], [top, left, toHeight, toWidth]);
}

function grey(pixels) {
  const found = new Uint8Array(pixels.length / 3);
  // Pillow's L, in 16 bits.
  for (let k = 0, at = 0; k < found.length; k++, at += 3) {
    found[k] = (pixels[at] * 19595 + pixels[at + 1] * 38470 + pixels[at + 2] * 7471 + 0x8000) >> 16;
  }
  return found;
}

/**
 * Turn an image into the network's input.
 *
 * @param info what model.json says
 * @param pixels uint8 RGB
 * @param shape [height, width]
 * @returns Float32Array of in_chans x input_size x input_size
 */
export function prepare(info, pixels, shape) {
  const channels = info.in_chans, side = info.input_size;
  let [height, width] = shape, image = channels === 1 ? grey(pixels) : pixels;
  if (info.crop_mode === 'warp') {
    image = resize(image, channels, [height, width], [side, side], info.interpolation);
  } else {
    const most = LONGEST * Math.min(height, width);
    if (Math.max(height, width) > most) {
      const cut = [Math.min(height, most), Math.min(width, most)];
      image = middle(image, channels, [height, width], cut);
      [height, width] = cut;
    }
    const short = rounded(side / info.crop_pct), shorter = Math.min(height, width);
    const to = [height, width].map(edge => (edge === shorter ? short : Math.trunc(short * edge / shorter)));
    image = resize(image, channels, [height, width], to, info.interpolation);
    image = middle(image, channels, to, [side, side]);
  }
  const found = new Float32Array(image.length), area = side * side;
  for (let c = 0; c < channels; c++) {
    const scale = Math.fround(1 / info.std[c]), shift = Math.fround(-info.mean[c] * scale), step = Math.fround(scale / 255);
    for (let k = 0; k < area; k++) found[c * area + k] = image[k * channels + c] * step + shift;
  }
  return found;
}

/** Return the `count` most likely classes with their shares of the softmax. */
export function likely(info, logits, count = 5) {
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Array.from(logits, x => Math.exp(x - top)), sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power, k) => ({name: info.classes[k], share: power / sum}))
    .sort((a, b) => b.share - a.share).slice(0, count);
}
