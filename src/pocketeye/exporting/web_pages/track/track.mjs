// Point at things in a clip, a photo or before a camera, follow them, take the masks away.
import {Camera, Clip, Still} from './frames.mjs';
import {Ring} from './memory.mjs';
import {$, asking, closeCamera, installed, openCamera, openClip, photo, save, threadsHere} from './page.mjs';
import {MOST_THREADS} from './runtime.mjs';
import {coco, mot, png, video as videoOf, videoCodec} from './saving.mjs';
import {drawLanes, drawStage} from './view.mjs';

const DRAG = 6; // pixels of the screen from which a click is a box
const KEPT_FRAMES = 4; // whose features stay: a user corrects a few of them in turn
const KEPT_STEPS = 50; // that can be undone, as session.mjs keeps them
const AHEAD = 2; // frames that are read and encoded before they are sought in
// Two workers share the threads: while one encodes the next frame, the other seeks objects in this one.
const threads = threadsHere(MOST_THREADS), encodes = Math.ceil(threads / 2), tracks = Math.max(1, threads - encodes);
const encoder = asking('encode_worker.mjs'), ask = asking('track_worker.mjs'), canvas = $('image'), video = $('video');

let clip = null, image = null, shape = null, busy = false, following = false, seeking = false, cancelled = false, box = null, corner = null, cursor = null;
let state = null; // what undo takes back
let past = [], future = [], waiting = [], features = new Ring(KEPT_FRAMES), codec = null;
const STAGES = {
  image: 'image encoder', resize: 'resizing', read: 'memory attention', decode: 'mask decoder', write: 'memory encoder', place: 'ages of memory', masks: 'masks',
};
const fresh = () => ({frame: 0, object: 1, ids: [1], marks: [], found: new Map()}); // found: frame -> objects
const copied = () => ({...state, ids: [...state.ids], marks: [...state.marks], found: new Map(state.found)});

const say = text => { $('state').textContent = text; };
function warn(text) { $('warning').textContent = text; $('warning').hidden = !text; }
const objects = () => state.found.get(state.frame) ?? [];

function draw() {
  if (image) drawStage(canvas, image, {objects: objects(), marks: state.marks.filter(mark => mark.frame === state.frame), box, cursor: document.activeElement === canvas ? cursor : null});
}

const lanes = () => drawLanes($('lanes'), {...state, count: clip.count});

function button(text, act, more = {}) {
  const made = Object.assign(document.createElement('button'), {type: 'button', textContent: text, onclick: act, disabled: busy && !following});
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  return made;
}

function drawObjects() {
  $('objects').replaceChildren(
    ...state.ids.map(id => button(`Object ${id}`, () => { state.object = id; refresh(); }, {'aria-pressed': id === state.object})),
    button('New object', () => { state.object = Math.max(0, ...state.ids) + 1; state.ids.push(state.object); refresh(); }),
    button(`Remove object ${state.object}`, () => doing(remove), busy ? {disabled: ''} : {}),
  );
}

function refresh() {
  const focused = document.activeElement?.textContent;
  draw(); lanes(); drawObjects();
  // Its buttons are new ones: the one that was pressed keeps the keyboard.
  if (document.activeElement === document.body) [...$('objects').children].find(one => one.textContent === focused)?.focus();
  const any = [...state.found.values()].some(all => all.length);
  for (const id of ['png', 'coco', 'mot']) $(id).disabled = busy || !any;
  for (const id of ['overlay', 'alpha']) { $(id).disabled = busy || !any || !codec; $(id).hidden = clip.count < 2 || Boolean(clip.live); }
  $('play').disabled = busy || !any || clip.count < 2 || Boolean(clip.live);
  $('undo').disabled = busy || !past.length;
  $('redo').disabled = busy || !future.length;
  for (const id of ['camera', 'clip', 'photo']) $(id).disabled = busy && !following;
  $('time').disabled = busy && !seeking; $('time').hidden = clip.count < 2 || Boolean(clip.live);
  $('lanes').hidden = clip.count < 2 && !clip.live;
  $('time').value = state.frame;
  $('cancel').hidden = !busy;
}

async function go(to) {
  state.frame = to;
  image = await clip.at(to);
  ({shape} = image);
}

const spent = new Map(); // milliseconds of each stage since objects are followed

function spend(stages) {
  for (const [stage, ms] of Object.entries(stages)) spent.set(stage, (spent.get(stage) ?? 0) + ms);
}

/** Show what a frame cost; two workers share the stages, so that a frame takes less than their sum. */
function showSpeed(frames, ms) {
  const each = Object.fromEntries([...spent].map(([stage, sum]) => [stage, sum / frames]));
  const parts = Object.entries(each).sort(([, a], [, b]) => b - a).map(([stage, one]) => `${STAGES[stage] ?? stage} ${one.toFixed(1)}`);
  $('speed').textContent = `${(1000 * frames / ms).toFixed(1)} frames a second; milliseconds a frame: ${parts.join(', ')}`;
  $('speed').dataset.stages = JSON.stringify({frames, ms, stages: each}); // a benchmark reads it
}

/** Return the features of a frame; those of the last few frames are kept. */
async function seen(frame, from) {
  if (!features.has(frame)) {
    const {features: made, stages} = await encoder('encode', from.pixels, from.shape);
    features.put(frame, made);
    spend(stages);
  }
  return features.get(frame);
}

async function doing(work) {
  if (busy) return;
  const held = document.activeElement;
  busy = true; cancelled = false;
  warn('');
  if (clip) refresh();
  if (held === $('play')) $('cancel').focus();
  try { await work(); } catch (error) { warn(error.message); }
  busy = following = false;
  if (clip) refresh();
  // What is disabled loses the keyboard, and gets it back.
  if (held.isConnected && [document.body, $('cancel')].includes(document.activeElement)) held.focus();
}

async function begin(opened) {
  clip = opened;
  $('speed').textContent = '';
  [state, past, future, waiting, features] = [fresh(), [], [], [], new Ring(KEPT_FRAMES)];
  box = corner = cursor = null;
  $('time').max = Math.max(0, clip.count - 1);
  $('work').hidden = false;
  await go(0);
  await ask('begin', shape);
  codec = clip.count > 1 ? await videoCodec(shape[1], shape[0], clip.fps) : null;
  $('note').textContent = clip.live ? 'Frames of a camera are not kept: masks can be saved, videos need a clip.'
    : clip.count > 1 && !codec ? 'This browser writes no videos (WebCodecs is missing): masks can be saved.' : '';
  say(clip.live ? 'Click on the thing to follow.' : clip.count > 1 ? `${clip.count} frames at ${clip.fps} per second. Click on the thing to follow.` : 'Click on the thing to cut out.');
}

/** Remember where undo goes back to. */
function step() {
  past = [...past, copied()].slice(-KEPT_STEPS);
  future = [];
}

async function add(object, prompt) {
  const {frame} = state;
  const answer = await ask('add', object, frame, await seen(frame, image), prompt);
  step();
  if (!state.ids.includes(object)) state.ids.push(object);
  if (prompt.box) state.marks = state.marks.filter(mark => mark.frame !== frame || mark.object !== object);
  prompt.points?.forEach(([x, y], k) => state.marks.push({frame, object, x, y, label: prompt.labels[k]}));
  state.found.set(frame, answer.objects);
  say(`Frame ${frame}: ${answer.ms.toFixed(0)} ms.`);
}

function point(prompt) {
  // While frames are followed a click waits for the end of its frame, and is meant for that.
  if (following) waiting.push([state.object, prompt]); else doing(() => add(state.object, prompt));
}

async function remove() {
  const {object} = state;
  await ask('remove', object);
  step();
  for (const [at, all] of state.found) state.found.set(at, all.filter(one => one.id !== object));
  state.ids = state.ids.filter(id => id !== object);
  state.marks = state.marks.filter(mark => mark.object !== object);
  if (!state.ids.length) state.ids.push(object);
  state.object = state.ids.at(-1);
}

/** Return a promise whose failure whoever waits for it is told, and nobody else. */
function handled(promise) {
  promise.catch(() => {});
  return promise;
}

const hidden = all => {
  const gone = all.filter(({area}) => !area).map(({id}) => id);
  return gone.length ? `; hidden: object ${gone.join(', ')}` : '';
};

/** Follow the objects from a frame on, to the end or until it is stopped. */
async function follow(from) {
  const reader = clip.reader(from), coming = [];
  following = true;
  let turn = Promise.resolve(), done = 0, began = 0, next = from;
  const ahead = () => {
    const number = next++;
    turn = turn.then(async () => {
      const read = cancelled ? null : await reader.next();
      // Before anything was pointed at, a camera is only shown.
      return read && {number, read, known: state.marks.length || state.found.size ? handled(seen(number, read)) : null};
    });
    return handled(turn);
  };
  refresh();
  try {
    while (!cancelled) {
      while (coming.length < (clip.live ? 1 : AHEAD)) coming.push(ahead());
      const now = await coming.shift();
      if (!now) break;
      coming.push(ahead());
      if (now.known) {
        const known = await now.known;
        if (!began) { began = performance.now(); spent.clear(); }
        const answer = await ask('track', now.number, known, false);
        state.found.set(now.number, answer.objects);
        spend(answer.stages);
        say(`Frame ${now.number}: ${done ? (1000 * done / (performance.now() - began)).toFixed(1) : '…'} frames a second${hidden(answer.objects)}`);
        done++;
      }
      image = now.read; state.frame = now.number;
      while (waiting.length) await add(...waiting.shift());
      draw(); lanes();
      $('time').value = state.frame;
    }
  } finally {
    reader.stop();
    waiting = [];
    if (done) showSpeed(done, performance.now() - began);
    await Promise.allSettled([...coming, ...coming.map(async one => (await one)?.known)]);
  }
}

function where(event) {
  const bounds = canvas.getBoundingClientRect(), scale = Math.min(bounds.width / canvas.width, bounds.height / canvas.height);
  // The canvas is fitted into its place: there may be bars beside it.
  const left = bounds.left + (bounds.width - scale * canvas.width) / 2, top = bounds.top + (bounds.height - scale * canvas.height) / 2;
  const clamp = (x, most) => Math.max(0, Math.min(most - 1, x));
  return [clamp((event.clientX - left) / scale, canvas.width), clamp((event.clientY - top) / scale, canvas.height)];
}

const around = ([x, y], [u, v]) => [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
const isBox = drawn => drawn && drawn[2] - drawn[0] >= 1 && drawn[3] - drawn[1] >= 1;
const isOut = () => $('out').getAttribute('aria-pressed') === 'true';
let from = null;
canvas.onpointerdown = event => {
  if (busy && !following) return;
  canvas.setPointerCapture(event.pointerId);
  cursor = null;
  from = {at: where(event), x: event.clientX, y: event.clientY, out: event.button === 2 || isOut()};
};
canvas.onpointermove = event => {
  if (!from || from.out || Math.hypot(event.clientX - from.x, event.clientY - from.y) < DRAG) return;
  box = around(from.at, where(event));
  draw();
};
canvas.onpointerup = () => {
  if (!from) return;
  const {at, out} = from, drawn = box;
  from = box = null;
  if (isBox(drawn)) point({box: drawn}); else point({points: [at], labels: [out ? 0 : 1]});
};
canvas.onpointercancel = () => { from = box = null; draw(); };
canvas.oncontextmenu = event => event.preventDefault();
canvas.onfocus = canvas.onblur = draw;
canvas.onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  cursor ??= [canvas.width / 2, canvas.height / 2];
  if (way) {
    const far = event.shiftKey ? 1 : Math.max(2, canvas.width / 60);
    cursor = cursor.map((x, k) => Math.max(0, Math.min((k ? canvas.height : canvas.width) - 1, x + far * way[k])));
    if (corner) box = around(corner, cursor);
    draw();
  } else if (event.key === 'Enter') {
    const drawn = box;
    corner = box = null;
    if (isBox(drawn)) point({box: drawn}); else point({points: [cursor], labels: [event.shiftKey || isOut() ? 0 : 1]});
  } else if (event.key.toLowerCase() === 'b') { corner = cursor; box = null; draw(); } else return;
  event.preventDefault();
};

$('out').onclick = () => $('out').setAttribute('aria-pressed', String(!isOut()));
let wanted = null; // where the slider was moved to while a frame was on its way
$('time').oninput = () => {
  wanted = Number($('time').value);
  if (busy) return;
  seeking = true;
  doing(async () => {
    while (wanted !== null) { const to = wanted; wanted = null; await go(to); draw(); lanes(); }
  }).finally(() => { seeking = false; });
};
$('cancel').onclick = () => { cancelled = true; };
$('play').onclick = () => doing(() => follow(state.frame));

const back = (what, one, other) => () => doing(async () => {
  if (!await ask(what)) return;
  other().push(copied());
  state = one().pop();
  await go(state.frame);
  say(`Frame ${state.frame}: ${what === 'undo' ? 'taken back' : 'done again'}.`);
});
$('undo').onclick = back('undo', () => past, () => future);
$('redo').onclick = back('redo', () => future, () => past);
document.addEventListener('keydown', event => {
  if (!clip) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') { event.preventDefault(); (event.shiftKey ? $('redo') : $('undo')).click(); }
  if (event.key === 'Escape') { if (busy) cancelled = true; box = corner = null; draw(); }
});
addEventListener('resize', () => { if (clip) lanes(); });

const nameOf = (what, ending) => `${what}-${String(state.frame).padStart(5, '0')}.${ending}`;
$('png').onclick = async () => save(nameOf('masks', 'png'), await png(objects(), shape));
$('coco').onclick = () => save('masks.json', coco(state.found, shape));
$('mot').onclick = () => save('tracks.txt', mot(state.found), 'text/plain');
const saveVideo = cutout => () => doing(async () => {
  const numbers = [...state.found.keys()], range = {from: Math.min(...numbers), to: Math.max(...numbers)}, reader = clip.reader(range.from), {frame} = state;
  try {
    const blob = await videoOf({
      ...range, fps: clip.fps, shape, found: state.found, cutout, codec, images: () => reader.next(), stopped: () => cancelled,
      progress: at => say(`Writing frame ${at} of ${range.to}…`),
    });
    if (blob) save(cutout ? 'objects.webm' : 'overlay.webm', blob);
    say(blob ? 'The video is saved.' : 'No video was saved.');
  } finally { reader.stop(); await go(frame); }
});
$('overlay').onclick = saveVideo(false);
$('alpha').onclick = saveVideo(true);

/** Open another source; what follows the old one is stopped first. */
async function open(work) {
  cancelled = true;
  while (busy) await new Promise(done => setTimeout(done, 20));
  await doing(async () => {
    closeCamera(video);
    await work();
  });
}

for (const [id, opened] of [
  ['clip', async file => { say('Opening the clip…'); return Clip.of(await openClip(video, file)); }],
  ['photo', async file => { const bitmap = await photo(file); return new Still(bitmap, bitmap.width, bitmap.height); }],
]) {
  $(id).onchange = ({target}) => {
    const [file] = target.files;
    target.value = ''; // the same file may be chosen again
    if (file) open(async () => begin(await opened(file)));
  };
}
$('camera').onclick = () => open(async () => {
  await begin(new Camera(await openCamera(video)));
  await follow(1);
  // The camera is closed: its last image stays, and can be corrected and saved.
  closeCamera(video);
});

if (!await installed()) {
  try {
    const [opened] = await Promise.all([ask('open', tracks), encoder('open', encodes)]);
    say(`Ready: ${opened.name}, ${encodes + tracks} threads of WebAssembly. Open a clip or a photo.`);
    for (const id of ['camera', 'clip', 'photo']) $(id).disabled = false;
  } catch (error) { say('This did not load.'); warn(error.message); }
}
