// Run a classifier on the camera, a photo or a clip.
import {$, asking, closeCamera, grab, installed, openCamera, openClip, photo, save, threadsHere} from './page.mjs';
import {MOST_THREADS} from './runtime.mjs';

const ask = asking('try_worker.mjs');
const video = $('video'), times = [];
let running = 0, opened = null;

const say = text => { $('state').textContent = text; };
function warn(text) { $('warning').textContent = text; $('warning').hidden = !text; }

function show({found, prepare_ms, network_ms}) {
  $('found').replaceChildren(...found.map(({name, share}) => {
    const row = document.createElement('tr'), label = document.createElement('td'), bar = document.createElement('td'), value = document.createElement('td');
    const progress = document.createElement('progress');
    label.textContent = name; progress.value = share; progress.setAttribute('aria-label', name);
    value.textContent = `${(100 * share).toFixed(1)} %`; value.className = 'number'; bar.className = 'bar';
    bar.append(progress); row.append(label, bar, value);
    return row;
  }));
  times.push({prepare_ms, network_ms});
  $('speed').textContent = `${network_ms.toFixed(1)} ms the network, ${prepare_ms.toFixed(1)} ms the image before it`;
  $('record').hidden = false;
}

async function look(source, width, height) {
  if (!width || !height) return;
  $('stage').hidden = false;
  const {pixels, shape} = grab($('image'), source, width, height);
  show(await ask('classify', pixels, shape, 5));
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
    $('title').textContent = opened.info.name;
    say(`Ready: ${opened.info.input_size} px, ${opened.threads} thread${opened.threads > 1 ? 's' : ''} of WebAssembly.`);
    for (const id of ['camera', 'photo', 'clip']) $(id).disabled = false;
  } catch (error) { say('This did not load.'); warn(error.message); }
}
