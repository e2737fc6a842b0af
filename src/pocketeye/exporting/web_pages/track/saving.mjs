// Turn what was found into files: PNG, COCO, MOT, and videos.
import {fromRuns, runsOver} from './masks.mjs';
import {drawMasks} from './view.mjs';
import {webm} from './webm.mjs';

const CODECS = [['vp09.00.31.08', 'V_VP9'], ['vp8', 'V_VP8']]; // that WebM holds, and browsers write without a licence
const BITS_PER_PIXEL = 0.15; // of a frame: clear at the usual sizes, about 4 Mbit/s for 1280x720 at 30
const WHOLE_SECONDS = 2; // from one whole frame to the next
const MOST_WAITING = 8; // frames in an encoder: each is megabytes

const sorted = found => [...found].sort(([a], [b]) => a - b);

/** Return a PNG of one frame: the value of a pixel is its object's number, as in DAVIS and by pocketeye track. */
export function png(objects, [height, width]) {
  const made = document.createElement('canvas'), context = made.getContext('2d');
  made.width = width; made.height = height;
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer).fill(0xff000000);
  for (const {id, segmentation} of objects) runsOver(segmentation, at => { pixels[at] = (0xff000000 | id * 0x010101) >>> 0; });
  context.putImageData(image, 0, 0);
  return new Promise(done => made.toBlob(done));
}

/** Return COCO's JSON of all frames, masks as run lengths. */
export function coco(found, [height, width]) {
  const images = [], annotations = [];
  for (const [at, objects] of sorted(found)) {
    images.push({id: at, file_name: `${String(at).padStart(5, '0')}.jpg`, width, height});
    for (const {id, score, area, bbox, segmentation} of objects) if (area) annotations.push({id: annotations.length + 1, image_id: at, category_id: 1, track_id: id, score, area, bbox, segmentation, iscrowd: 0});
  }
  return JSON.stringify({images, annotations, categories: [{id: 1, name: 'object'}]});
}

/** Return MOTChallenge's text: frame, object, box, confidence; frames and pixels count from 1. */
export function mot(found) {
  const lines = [];
  for (const [at, objects] of sorted(found)) {
    for (const {id, score, area, bbox: [x, y, width, height]} of objects) if (area) lines.push([at + 1, id, x + 1, y + 1, width, height, score.toFixed(4), -1, -1, -1].join(','));
  }
  return `${lines.join('\n')}\n`;
}

/** Return the codec of videos as [for the browser, for the file]; null where this browser writes none. */
export async function videoCodec(width, height, fps) {
  if (!globalThis.VideoEncoder) return null;
  for (const [codec, name] of CODECS) {
    const {supported} = await VideoEncoder.isConfigSupported(configOf(codec, width, height, fps)).catch(() => ({supported: false}));
    if (supported) return [codec, name];
  }
  return null;
}

const configOf = (codec, width, height, fps) => ({codec, width, height, framerate: fps, bitrate: Math.round(BITS_PER_PIXEL * width * height * fps), latencyMode: 'quality'});

/** Encode frames of one plane; `add` takes what a VideoFrame is made of. */
class Plane {
  constructor(codec, width, height, fps) {
    this.fps = fps; this.frames = []; this.error = null;
    this.encoder = new VideoEncoder({
      output: chunk => {
        const data = new Uint8Array(chunk.byteLength);
        chunk.copyTo(data);
        this.frames.push({key: chunk.type === 'key', data});
      },
      error: error => { this.error = error; },
    });
    this.encoder.configure(configOf(codec, width, height, fps));
  }

  async add(source, more, number) {
    if (this.error) throw this.error;
    const frame = new VideoFrame(source, {timestamp: Math.round(1e6 * number / this.fps), duration: Math.round(1e6 / this.fps), ...more});
    this.encoder.encode(frame, {keyFrame: number % Math.max(1, Math.round(WHOLE_SECONDS * this.fps)) === 0});
    frame.close();
    while (this.encoder.encodeQueueSize > MOST_WAITING) await new Promise(done => setTimeout(done, 5));
  }

  async ended() {
    await this.encoder.flush();
    if (this.error) throw this.error;
    return this.frames;
  }

  /** Give back what the encoder holds, also of a video that was stopped or failed. */
  close() {
    if (this.encoder.state !== 'closed') this.encoder.close();
  }
}

/** Return the masks of all objects as one plane of 255 and 0, with the empty colours that a codec wants beside it. */
function alphaPlane(objects, [height, width], [codedHeight, codedWidth]) {
  const plane = new Uint8Array(codedWidth * codedHeight * 3 / 2).fill(128);
  plane.fill(0, 0, codedWidth * codedHeight);
  for (const {segmentation} of objects) {
    const mask = fromRuns(segmentation);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (mask[y * width + x]) plane[y * codedWidth + x] = 255;
  }
  return plane;
}

/**
 * Return a WebM video of frames: with the masks drawn over them, or, by `cutout`, the objects alone with alpha.
 *
 * @param images async function of a frame's number
 * @param stopped tells whether the user ended it; then null is returned
 */
export async function video({from, to, fps, shape, found, cutout, images, codec: [codec, name], stopped, progress}) {
  // Codecs halve the colours' resolution: sides are even.
  const [height, width] = shape.map(side => side + side % 2), canvas = document.createElement('canvas');
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext('2d'), colors = new Plane(codec, width, height, fps), alphas = cutout ? new Plane(codec, width, height, fps) : null;
  try {
    for (let at = from; at <= to; at++) {
      if (stopped()) return null;
      const objects = found.get(at) ?? [], image = await images(at);
      if (!image) break;
      drawMasks(context, image, cutout ? [] : objects);
      await colors.add(canvas, {}, at - from);
      if (cutout) await alphas.add(alphaPlane(objects, shape, [height, width]), {format: 'I420', codedWidth: width, codedHeight: height}, at - from);
      progress(at);
    }
    const frames = await colors.ended(), planes = await alphas?.ended();
    // A whole frame of one plane beside a changed one of the other could not be sought to.
    planes?.forEach(({data}, k) => { frames[k].alpha = data; });
    return webm({codec: name, width, height, fps, frames});
  } finally {
    colors.close(); alphas?.close();
  }
}
