// Point at things in a clip or a photo, follow them, take the masks away.
import {Clip, Still} from './frames.mjs';
import {fromRuns} from './masks.mjs';
import {$, asking, grab, installed, openClip, photo, save, threadsHere} from './page.mjs';
import {MOST_THREADS} from './runtime.mjs';

const COLORS = [[11, 132, 165], [235, 110, 52], [110, 168, 60], [193, 76, 150], [214, 176, 30], [110, 92, 200]];
const DRAG = 6; // pixels of the screen from which a click is a box
const LOW_SCORE = 0.5;
const ask = asking('track_worker.mjs'), canvas = $('image'), grabbed = document.createElement('canvas');
let clip = null, frame = 0, pixels = null, shape = null, object = 1, busy = false, cancelled = false, box = null, cursor = null;
let ids = [1], marks = [], found = new Map(); // found: frame -> objects

const say = text => { $('state').textContent = text; };
function warn(text) { $('warning').textContent = text; $('warning').hidden = !text; }
const colorOf = id => COLORS[(id - 1) % COLORS.length];

function draw() {
  if (!shape) return;
  const [height, width] = shape, context = canvas.getContext('2d', {willReadFrequently: true});
  canvas.width = width; canvas.height = height;
  context.drawImage(grabbed, 0, 0);
  const image = context.getImageData(0, 0, width, height);
  for (const {id, segmentation} of found.get(frame) ?? []) {
    const mask = fromRuns(segmentation), color = colorOf(id);
    for (let k = 0; k < mask.length; k++) if (mask[k]) for (let c = 0; c < 3; c++) image.data[4 * k + c] = (image.data[4 * k + c] + color[c]) / 2;
  }
  context.putImageData(image, 0, 0);
  const radius = Math.max(4, width / 120);
  for (const mark of marks.filter(m => m.frame === frame)) {
    context.beginPath(); context.arc(mark.x, mark.y, radius, 0, 7);
    context.fillStyle = mark.label ? '#1a7f37' : '#b91c1c'; context.fill();
    context.lineWidth = radius / 2; context.strokeStyle = '#ffffff'; context.stroke();
  }
  context.lineWidth = radius / 2; context.strokeStyle = '#ffffff';
  if (box) context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  if (cursor && document.activeElement === canvas) {
    context.beginPath(); context.moveTo(cursor[0] - 9, cursor[1]); context.lineTo(cursor[0] + 9, cursor[1]);
    context.moveTo(cursor[0], cursor[1] - 9); context.lineTo(cursor[0], cursor[1] + 9); context.stroke();
  }
}

/** One lane for each object: where it was seen, and fainter where the network doubts it. */
function drawLanes() {
  const lanes = $('lanes'), height = 8;
  lanes.width = Math.max(1, clip.count); lanes.height = height * ids.length;
  lanes.style.width = '100%'; lanes.style.height = `${lanes.height}px`;
  const context = lanes.getContext('2d');
  for (const [at, objects] of found) for (const {id, score, area} of objects) {
    if (!area) continue;
    context.fillStyle = `rgba(${colorOf(id).join(',')},${score < LOW_SCORE ? 0.35 : 1})`;
    context.fillRect(at, ids.indexOf(id) * height + 1, 1, height - 2);
  }
}

function drawObjects() {
  const add = document.createElement('button');
  add.type = 'button'; add.textContent = 'New object'; add.disabled = busy;
  add.onclick = () => { object = Math.max(...ids) + 1; ids.push(object); refresh(); };
  $('objects').replaceChildren(...ids.map(id => {
    const button = document.createElement('button');
    button.type = 'button'; button.textContent = `Object ${id}`; button.setAttribute('aria-pressed', id === object);
    button.onclick = () => { object = id; refresh(); };
    return button;
  }), add);
}

function refresh() {
  draw(); drawLanes(); drawObjects();
  const any = [...found.values()].some(objects => objects.length);
  for (const id of ['png', 'coco']) $(id).disabled = busy || !any;
  $('play').disabled = busy || !any || clip.count < 2;
  for (const id of ['undo', 'redo']) $(id).disabled = busy || !any && !marks.length;
  $('time').disabled = busy && !cancelled;
  $('cancel').hidden = !busy;
}

async function go(to) {
  frame = to;
  $('time').value = frame;
  ({pixels, shape} = grab(grabbed, await clip.at(frame), clip.width, clip.height));
}

async function doing(work) {
  if (busy) return;
  busy = true; cancelled = false;
  warn('');
  if (clip) refresh();
  try { await work(); } catch (error) { warn(error.message); }
  busy = false;
  if (clip) refresh();
}

async function begin(opened) {
  clip = opened;
  [object, ids, marks, found] = [1, [1], [], new Map()];
  $('time').max = clip.count - 1;
  $('work').hidden = false;
  await go(0);
  await ask('begin', shape);
  say(clip.count > 1 ? `${clip.count} frames at ${clip.fps} per second. Click on the thing to follow.` : 'Click on the thing to cut out.');
}

const point = prompt => doing(async () => {
  const answer = await ask('add', object, frame, pixels, prompt);
  if (prompt.box) marks = marks.filter(m => m.frame !== frame || m.object !== object);
  prompt.points?.forEach(([x, y], k) => marks.push({frame, object, x, y, label: prompt.labels[k]}));
  found.set(frame, answer.objects);
  say(`Frame ${frame}: ${answer.ms.toFixed(0)} ms.`);
});

function where(event) {
  const bounds = canvas.getBoundingClientRect(), scale = Math.min(bounds.width / canvas.width, bounds.height / canvas.height);
  // The canvas is fitted into its place: there may be bars beside it.
  const left = bounds.left + (bounds.width - scale * canvas.width) / 2, top = bounds.top + (bounds.height - scale * canvas.height) / 2;
  const clamp = (x, most) => Math.max(0, Math.min(most - 1, x));
  return [clamp((event.clientX - left) / scale, canvas.width), clamp((event.clientY - top) / scale, canvas.height)];
}

const isOut = () => $('out').getAttribute('aria-pressed') === 'true';
let from = null;
canvas.onpointerdown = event => {
  if (busy) return;
  canvas.setPointerCapture(event.pointerId);
  from = {at: where(event), x: event.clientX, y: event.clientY, out: event.button === 2 || isOut()};
};
canvas.onpointermove = event => {
  if (!from || from.out || Math.hypot(event.clientX - from.x, event.clientY - from.y) < DRAG) return;
  const [x, y] = where(event);
  box = [Math.min(x, from.at[0]), Math.min(y, from.at[1]), Math.max(x, from.at[0]), Math.max(y, from.at[1])];
  draw();
};
canvas.onpointerup = () => {
  if (!from) return;
  const {at, out} = from, drawn = box;
  from = box = null;
  if (drawn && drawn[2] - drawn[0] >= 1 && drawn[3] - drawn[1] >= 1) point({box: drawn}); else point({points: [at], labels: [out ? 0 : 1]});
};
canvas.onpointercancel = () => { from = box = null; draw(); };
canvas.oncontextmenu = event => event.preventDefault();
canvas.onfocus = canvas.onblur = draw;
canvas.onkeydown = event => {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  cursor ??= [canvas.width / 2, canvas.height / 2];
  if (step) {
    const far = event.shiftKey ? 1 : Math.max(2, canvas.width / 60);
    cursor = cursor.map((x, k) => Math.max(0, Math.min((k ? canvas.height : canvas.width) - 1, x + far * step[k])));
    draw();
  } else if (event.key === 'Enter') point({points: [cursor], labels: [event.shiftKey || isOut() ? 0 : 1]});
  else return;
  event.preventDefault();
};

$('out').onclick = () => $('out').setAttribute('aria-pressed', String(!isOut()));
$('time').oninput = () => { if (!busy) doing(() => go(Number($('time').value))); };
$('cancel').onclick = () => { cancelled = true; };
$('play').onclick = () => doing(async () => {
  const began = performance.now();
  let done = 0;
  for (let at = frame; at < clip.count && !cancelled; at++) {
    await go(at);
    const answer = await ask('track', at, pixels, false);
    found.set(at, answer.objects);
    done++;
    draw(); drawLanes();
    say(`Frame ${at}: ${(1000 * done / (performance.now() - began)).toFixed(1)} frames a second`);
  }
});
const back = what => () => doing(async () => {
  const answer = await ask(what, frame);
  if (!answer) { say(`There is nothing to ${what}.`); return; }
  if (what === 'undo') marks.pop();
  found.set(frame, answer.objects);
});
$('undo').onclick = back('undo');
$('redo').onclick = back('redo');
document.addEventListener('keydown', event => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z' && clip) { event.preventDefault(); (event.shiftKey ? $('redo') : $('undo')).click(); }
});

$('png').onclick = () => {
  // Of this frame: the value of a pixel is its object's number, as in DAVIS and by pocketeye track.
  const [height, width] = shape, made = document.createElement('canvas'), context = made.getContext('2d');
  made.width = width; made.height = height;
  const image = context.createImageData(width, height);
  for (const {id, segmentation} of found.get(frame) ?? []) fromRuns(segmentation).forEach((on, k) => { if (on) image.data.fill(id, 4 * k, 4 * k + 3); });
  for (let k = 3; k < image.data.length; k += 4) image.data[k] = 255;
  context.putImageData(image, 0, 0);
  made.toBlob(blob => save(`masks-${String(frame).padStart(5, '0')}.png`, blob));
};
$('coco').onclick = () => {
  const [height, width] = shape, images = [], annotations = [];
  for (const [at, objects] of [...found].sort(([a], [b]) => a - b)) {
    images.push({id: at, file_name: `${String(at).padStart(5, '0')}.jpg`, width, height});
    for (const {id, score, area, bbox, segmentation} of objects) if (area) annotations.push({id: annotations.length + 1, image_id: at, category_id: 1, track_id: id, score, area, bbox, segmentation, iscrowd: 1});
  }
  save('masks.json', JSON.stringify({images, annotations, categories: [{id: 1, name: 'object'}]}));
};
$('clip').onchange = ({target}) => doing(async () => {
  const [file] = target.files;
  target.value = '';
  if (file) { say('Opening the clip…'); await begin(await Clip.of(await openClip($('video'), file))); }
});
$('photo').onchange = ({target}) => doing(async () => {
  const [file] = target.files;
  target.value = '';
  if (file) await begin(new Still(await photo(file)));
});

if (!await installed()) {
  try {
    const opened = await ask('open', threadsHere(MOST_THREADS));
    say(`Ready: ${opened.name}, ${opened.threads} thread${opened.threads > 1 ? 's' : ''} of WebAssembly. Open a clip or a photo.`);
    for (const id of ['clip', 'photo']) $(id).disabled = false;
  } catch (error) { say('This did not load.'); warn(error.message); }
}
