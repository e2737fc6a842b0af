// What pages share: a worker that is asked like a function, sources of images, the service worker.
import {rgb} from './images.mjs';

export const $ = id => document.getElementById(id);

/** Return a function that asks a worker and gives a promise of its answer. */
export function asking(script) {
  const worker = new Worker(script, {type: 'module'}), open = new Map();
  let next = 0;
  worker.onmessage = ({data: {id, answer, error}}) => {
    const {done, failed} = open.get(id);
    open.delete(id);
    if (error === undefined) done(answer); else failed(new Error(error));
  };
  worker.onerror = event => {
    for (const {failed} of open.values()) failed(new Error(event.message || 'the worker stopped: the model may be too large for this device'));
    open.clear();
  };
  return (what, ...given) => new Promise((done, failed) => {
    open.set(next, {done, failed});
    worker.postMessage({id: next++, what, with: given});
  });
}

/** Serve this page offline, and isolated: static hosts send no headers of their own. True: it loads again. */
export async function installed() {
  if (!('serviceWorker' in navigator)) return false;
  try {
    await navigator.serviceWorker.register('sw.js');
    await navigator.serviceWorker.ready;
  } catch { return false; }
  // Once only: a page that stays without isolation works with one thread.
  if (globalThis.crossOriginIsolated || sessionStorage.getItem('isolating')) return false;
  sessionStorage.setItem('isolating', 'yes');
  location.reload();
  return true;
}

export const threadsHere = most => (globalThis.crossOriginIsolated ? Math.max(1, Math.min(most, navigator.hardwareConcurrency || 1)) : 1);

/** Draw a source onto a canvas of its own size, and return its pixels. */
export function grab(canvas, source, width, height) {
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(source, 0, 0, width, height);
  return {pixels: rgb(context.getImageData(0, 0, width, height).data), shape: [height, width]};
}

/** Decode a photograph; its colours as they are in the file, turned as the camera says. */
export async function photo(file) {
  try { return await createImageBitmap(file, {colorSpaceConversion: 'none'}); } catch {
    throw new Error(`${file.name} is no image that this browser can read.`);
  }
}

export function openClip(video, file) {
  return new Promise((done, failed) => {
    video.srcObject = null;
    video.onloadeddata = () => done(video);
    video.onerror = () => failed(new Error(`This browser cannot decode ${file.name}: convert it to H.264 or WebM.`));
    video.src = URL.createObjectURL(file);
    video.load();
  });
}

export async function openCamera(video) {
  if (!navigator.mediaDevices) throw new Error('The camera needs a page opened as localhost or by https.');
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment', width: {ideal: 1280}}, audio: false});
  } catch (error) {
    throw new Error(error.name === 'NotAllowedError' ? 'The camera was refused: allow it in the settings of this page, or take a photo.'
      : 'There is no camera that can be used: take a photo or a clip.');
  }
  await video.play();
  return video;
}

export function closeCamera(video) {
  video.srcObject?.getTracks().forEach(track => track.stop());
  video.srcObject = null;
}

export function save(name, text, type = 'application/json') {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
