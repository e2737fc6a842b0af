// Run a network on the camera, a photo or a clip.
import {answers} from './answers.mjs';
import {$, asking, closeCamera, grab, installed, openCamera, openClip, photo, save, threadsHere} from './page.mjs';
import {MOST_THREADS} from './runtime.mjs';

const ask = asking('try_worker.mjs');
const SHOWN_CLASSES = 5;
const video = $('video'), times = [];
let running = 0, opened = null, ready = '';

const say = text => { $('state').textContent = text; };
function warn(text) { $('warning').textContent = text; $('warning').hidden = !text; }

const NOTHING = 'Nothing is found that the network is sure of.';

function show(answer) {
  const {prepare_ms, network_ms, finish_ms} = answer, rows = answers[opened.task]($('image'), answer, opened.classes);
  $('found').replaceChildren(...rows);
  say(rows.length ? ready : NOTHING);
  times.push({prepare_ms, network_ms, finish_ms});
  $('speed').textContent = `${network_ms.toFixed(1)} ms the network, ${prepare_ms.toFixed(1)} ms the image before it, ${finish_ms.toFixed(1)} ms its answer after it`;
  $('record').hidden = false;
}

async function look(source, width, height) {
  if (!width || !height) return;
  $('stage').hidden = false;
  const {pixels, shape} = grab($('image'), source, width, height);
  show(await ask('look', pixels, shape, opened.task === 'classify' ? SHOWN_CLASSES : false));
}

/** Look at frame after frame for as long as this is the newest thing that was asked for. */
async function follow() {
  const mine = ++running;
  $('stop').hidden = false;
  try {
    while (mine === running && !video.ended) {
      await look(video, video.videoWidth, video.videoHeight);
      await new Promise(requestAnimationFrame);
    }
  } finally { if (mine === running) stop(); }
}

function stop() {
  running++;
  video.pause();
  closeCamera(video);
  $('stop').hidden = true;
}

async function doing(work) {
  warn('');
  stop();
  try { await work(); } catch (error) { warn(error.message); }
}

$('camera').onclick = () => doing(async () => { await openCamera(video); await follow(); });
$('stop').onclick = stop;
$('photo').onchange = ({target}) => doing(async () => {
  const [file] = target.files;
  target.value = ''; // the same photo may be chosen again
  if (!file) return;
  const bitmap = await photo(file);
  await look(bitmap, bitmap.width, bitmap.height);
});
$('clip').onchange = ({target}) => doing(async () => {
  const [file] = target.files;
  target.value = '';
  if (!file) return;
  await openClip(video, file);
  await video.play();
  await follow();
});
$('record').onclick = () => save('times.json', JSON.stringify({...opened, user_agent: navigator.userAgent, cores: navigator.hardwareConcurrency, times}, null, 1));

if (!await installed()) {
  try {
    opened = await ask('open', threadsHere(MOST_THREADS));
    $('title').textContent = opened.info.name || 'Try it';
    ready = `Ready: ${[opened.info.input_size].flat().join(' x ')} px, ${opened.threads} thread${opened.threads > 1 ? 's' : ''} of WebAssembly.`;
    say(ready);
    for (const id of ['camera', 'photo', 'clip']) $(id).disabled = false;
  } catch (error) { say('This did not load.'); warn(error.message); }
}
