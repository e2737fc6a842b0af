// Draw what a network answered: a table of classes or objects, boxes over the image, colours of its labels.
import {colorOf, inkOn} from './colors.mjs';

const SURE = 0.3; // score from which a box is shown; the network gives up to a hundred, most of them guesses
const HALF = 128; // opacity of labels over the image
const SHOWN_SHARE = 0.005; // of the image, from which a class has a row

function row(text, share, color) {
  const made = document.createElement('tr'), label = document.createElement('td'), bar = document.createElement('td'), value = document.createElement('td');
  const progress = document.createElement('progress');
  if (color) {
    const swatch = document.createElement('span');
    swatch.className = 'swatch'; swatch.style.background = `rgb(${color.join(',')})`;
    label.append(swatch);
  }
  label.append(text); progress.value = share; progress.setAttribute('aria-label', text);
  value.textContent = `${(100 * share).toFixed(1)} %`; value.className = 'number'; bar.className = 'bar';
  bar.append(progress); made.append(label, bar, value);
  return made;
}

function drawBoxes(canvas, objects, classes) {
  const context = canvas.getContext('2d'), size = Math.max(12, canvas.width / 40);
  context.lineWidth = Math.max(2, canvas.width / 300); context.font = `${size}px system-ui, sans-serif`; context.textBaseline = 'top';
  for (const {box: [x1, y1, x2, y2], label, score} of objects) {
    const color = colorOf(label + 1), text = `${classes[label]} ${score.toFixed(2)}`, {width} = context.measureText(text), top = Math.max(0, y1 - 1.3 * size);
    context.strokeStyle = context.fillStyle = `rgb(${color.join(',')})`;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillRect(x1, top, width + 0.6 * size, 1.3 * size);
    context.fillStyle = inkOn(color); context.fillText(text, x1 + 0.3 * size, top + 0.15 * size);
  }
}

/** Paint labels over the image, enlarged to it. */
function drawLabels(canvas, labels, [height, width]) {
  const layer = document.createElement('canvas'), context = layer.getContext('2d');
  layer.width = width; layer.height = height;
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer), colors = new Map();
  labels.forEach((label, k) => {
    if (!colors.has(label)) { const [red, green, blue] = colorOf(label + 1); colors.set(label, (HALF << 24 | blue << 16 | green << 8 | red) >>> 0); }
    pixels[k] = colors.get(label);
  });
  context.putImageData(image, 0, 0);
  const over = canvas.getContext('2d');
  over.imageSmoothingEnabled = false; // colours between two classes would be those of a third
  over.drawImage(layer, 0, 0, canvas.width, canvas.height);
}

/** Draw an answer over the image on the canvas, and return the rows of the table. */
export const answers = {
  classify: (canvas, {found}) => found.map(({name, share}) => row(name, share)),
  detect(canvas, {objects}, classes) {
    const sure = objects.filter(({score}) => score >= SURE);
    drawBoxes(canvas, sure, classes);
    return sure.map(({label, score}) => row(classes[label], score, colorOf(label + 1)));
  },
  semantic(canvas, {labels, size}, classes) {
    drawLabels(canvas, labels, size);
    const counts = new Map();
    for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    return [...counts].filter(([, count]) => count >= SHOWN_SHARE * labels.length).sort(([, a], [, b]) => b - a)
      .map(([label, count]) => row(classes[label], count / labels.length, colorOf(label + 1)));
  },
};
