// Take jobs from the server, have the worker do them, send the answers back.
import {facts} from './device.mjs';

const $ = id => document.getElementById(id);
const sleep = ms => new Promise(done => setTimeout(done, ms));
const ALIVE_MS = 3000, RETRY_MS = 2000;
let device = null, worker = null, setup = '', measured = 0, mine = null;

async function post(path, data) {
  const answer = await fetch(path, {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(data)});
  if (answer.status === 403) throw new Error('Scan the code on the terminal again: this server was started anew.');
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error ?? answer.statusText), {refused: true});
  return body;
}

const say = text => { $('state').textContent = text; };
function warn(text) { $('warning').textContent = text; $('warning').hidden = !text; }

function show(f) {
  const rows = {
    Browser: f.browser, System: f.system || 'not told', Cores: f.cores, 'Clock step': `${f.clock_step_ms.toFixed(3)} ms`,
    Threads: f.isolated ? 'yes' : 'no, one only', SIMD: f.simd ? 'yes' : 'no', WebGPU: f.gpu || 'no',
  };
  $('facts').replaceChildren(...Object.entries(rows).map(([key, value]) => {
    const row = document.createElement('tr'), th = document.createElement('th'), td = document.createElement('td');
    th.textContent = key; th.scope = 'row'; td.textContent = value; row.append(th, td);
    return row;
  }));
  if (!f.simd) warn('This browser has no WebAssembly SIMD, which ONNX Runtime Web needs: update it, or use another.');
  else if (!f.isolated) warn('One thread only: threads need a page opened as localhost or by https. Timing works.');
}

/** Do one job in a worker of its own backend and threads: ONNX Runtime Web fixes both when it starts. */
function work(job) {
  const wanted = `${job.backend} ${job.threads}`;
  if (worker === null || wanted !== setup) {
    worker?.terminate();
    worker = new Worker('worker.mjs', {type: 'module'});
    setup = wanted;
  }
  return new Promise(done => {
    worker.onmessage = ({data}) => done(data);
    // A worker that ran out of memory ends with it: the next job gets a new one.
    worker.onerror = event => { worker.terminate(); worker = null; done({error: event.message || 'the worker stopped'}); };
    worker.postMessage(job);
  });
}

async function stayAwake() {
  // Allowed on localhost and https alone, and only while the page is in front.
  try { await navigator.wakeLock?.request('screen'); } catch { /* the advice on the page remains */ }
}

async function keepAlive() {
  for (;;) {
    await sleep(ALIVE_MS);
    if (device === null) continue;
    try { mine = await post('api/alive', {device}); } catch (error) { if (error.refused) device = null; }
  }
}

async function loop(mineFacts) {
  for (;;) {
    try {
      if (device === null) {
        device = (await post('api/hello', mineFacts)).device;
        mine = await post('api/alive', {device});
        stayAwake();
      }
      if (measured === 0) say(mine.measures ? 'Connected. Waiting for work…' : `Connected, and waiting: ${mine.wanted} is being measured.`);
      const job = await post('api/work', {device});
      if (job === null) continue;
      $('bar').value = job.done;
      say(job.kind === 'time' ? `Measuring: ${Math.round(100 * job.done)} %, ${measured} timings sent` : 'Preparing…');
      const answer = await work(job);
      measured += answer.times?.length ?? 0;
      if (answer.error) say(`This device could not do it: ${answer.error}`);
      await post('api/result', {device, job: job.job, ...answer});
    } catch (error) {
      if (error.refused) device = null;
      // The command ended, or the network is away: the next command finds this page waiting.
      say(error.message.startsWith('Scan') || error.refused ? error.message
        : measured ? `Done, or the server is gone: ${measured} timings were sent. This page waits for the next command.` : 'The server does not answer. Trying again…');
      await sleep(RETRY_MS);
    }
  }
}

document.addEventListener('visibilitychange', () => { if (!document.hidden) stayAwake(); });
$('name').value = localStorage.getItem('name') ?? '';
$('rename').onclick = () => { localStorage.setItem('name', $('name').value.trim()); location.reload(); };
const found = await facts($('name').value.trim());
show(found);
if (found.simd) { keepAlive(); loop(found); } else say('This browser cannot be measured.');
