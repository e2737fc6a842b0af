// Draw a frame with its masks and marks, and the lanes of a timeline.
import {colorOf} from './colors.mjs';
import {runsOver} from './masks.mjs';

const HALF = 128; // opacity of a mask over the image
const LOW_SCORE = 0.5, FAINT = 0.35;
const LANE = 12; // pixels of the screen
const HIDDEN = 'rgba(128,128,128,0.6)'; // seen on a light page and on a dark one

const layer = document.createElement('canvas');

/** Draw an image, {canvas, shape}, and over it the masks of its objects. */
export function drawMasks(context, {canvas, shape: [height, width]}, objects) {
  context.drawImage(canvas, 0, 0);
  if (!objects.some(({area}) => area)) return;
  layer.width = width; layer.height = height;
  const over = layer.getContext('2d'), image = over.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  for (const {id, segmentation} of objects) {
    const [red, green, blue] = colorOf(id);
    runsOver(segmentation, at => { pixels[at] = HALF << 24 | blue << 16 | green << 8 | red; });
  }
  over.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0);
}

function cross(context, [x, y], reach) {
  context.beginPath(); context.moveTo(x - reach, y); context.lineTo(x + reach, y);
  context.moveTo(x, y - reach); context.lineTo(x, y + reach); context.stroke();
}

/**
 * Draw the stage.
 *
 * @param canvas what is shown
 * @param image {canvas, shape}
 * @param what {objects, marks, box, cursor}: of this frame; box and cursor may be null
 */
export function drawStage(canvas, image, {objects, marks, box, cursor}) {
  const [height, width] = image.shape, context = canvas.getContext('2d');
  // A canvas that is given a size anew is laid out anew, even where it is the same.
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  drawMasks(context, image, objects);
  const radius = Math.max(4, width / 120);
  context.lineWidth = radius / 2; context.strokeStyle = '#ffffff';
  for (const {x, y, label} of marks) {
    context.beginPath(); context.arc(x, y, radius, 0, 7);
    context.fillStyle = label ? '#1a7f37' : '#b91c1c'; context.fill(); context.stroke();
  }
  if (box) context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  if (cursor) {
    // Dark below light: seen on any image.
    context.lineWidth = radius; context.strokeStyle = '#000000'; cross(context, cursor, 2.5 * radius);
    context.lineWidth = radius / 2; context.strokeStyle = '#ffffff'; cross(context, cursor, 2.5 * radius);
  }
}

/**
 * Draw one lane for each object: full where it is seen, faint where the network doubts it, a thin grey line where it
 * is hidden. Prompted frames have a tick, the shown frame a line through all lanes.
 */
export function drawLanes(canvas, {count, ids, found, frame}) {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio)), context = canvas.getContext('2d');
  canvas.width = width; canvas.height = LANE * ids.length * devicePixelRatio;
  canvas.style.height = `${LANE * ids.length}px`;
  const step = width / count, lane = LANE * devicePixelRatio, thick = Math.ceil(step) + 1; // no seams
  const ink = getComputedStyle(canvas).color;
  for (const [at, objects] of found) for (const {id, score, area, prompted} of objects) {
    const top = ids.indexOf(id) * lane;
    context.fillStyle = area ? `rgba(${colorOf(id).join(',')},${score < LOW_SCORE ? FAINT : 1})` : HIDDEN;
    if (area) context.fillRect(at * step, top + 0.2 * lane, thick, 0.6 * lane); else context.fillRect(at * step, top + 0.45 * lane, thick, 0.1 * lane);
    if (prompted) { context.fillStyle = ink; context.fillRect((at + 0.5) * step - devicePixelRatio, top, 2 * devicePixelRatio, lane); }
  }
  context.fillStyle = ink;
  context.fillRect((frame + 0.5) * step - 0.5 * devicePixelRatio, 0, devicePixelRatio, canvas.height);
}
