// Where images come from: a clip's frames by number, a photo, a camera.

const USUAL_FPS = 25; // where a browser does not tell when frames are shown
const LOOKED_AT = 12, LONGEST_MS = 3000, LOOKS = 3;
const SHOWN_MS = 100; // in which a frame that was sought is shown
const LONG_SECONDS = 2; // a shorter clip is played slower: a busy device passes over some of its few frames

/** Draw what can be drawn, and return it as {canvas, pixels, shape}: pixels are RGBA, shape is [height, width]. */
export function grabbed(source, width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(source, 0, 0, width, height);
  return {canvas, pixels: context.getImageData(0, 0, width, height).data, shape: [height, width]};
}

/** Return the times of the first frames of a video, as it plays; a busy device passes over frames. */
async function frameTimes(video) {
  const times = [];
  await new Promise(done => {
    const look = (_, {mediaTime}) => {
      times.push(mediaTime);
      if (times.length < LOOKED_AT && !video.ended) video.requestVideoFrameCallback(look); else done();
    };
    video.requestVideoFrameCallback(look);
    setTimeout(done, LONGEST_MS);
    video.playbackRate = Math.max(1 / 8, Math.min(1, video.duration / LONG_SECONDS));
    video.play().catch(done); // from the start again where it has ended
  });
  video.pause();
  return times;
}

/** Return the frame rate of a video. */
async function frameRate(video) {
  if (!video.requestVideoFrameCallback) return USUAL_FPS;
  for (let look = 0; look < LOOKS; look++) {
    const times = await frameTimes(video);
    // The smallest step: no frame is shown twice.
    const steps = times.slice(1).map((t, k) => t - times[k]).filter(step => step > 1e-3);
    if (steps.length) return Math.round(1000 / Math.min(...steps)) / 1000;
  }
  return USUAL_FPS;
}

/** Go to a time of a video, once the browser is there. */
function seek(video, time) {
  return new Promise((done, failed) => {
    video.onseeked = done;
    video.onerror = () => failed(new Error('This browser stopped to decode the clip.'));
    video.currentTime = time;
  });
}

/** Return how many frames a video has: by the time of its last one, as its duration may be longer than its frames. */
async function numFrames(video, fps) {
  const told = Math.max(1, Math.round(video.duration * fps));
  if (!video.requestVideoFrameCallback) return told;
  let last = null, looking = true;
  const look = (_, {mediaTime}) => { last = mediaTime; if (looking) video.requestVideoFrameCallback(look); };
  video.requestVideoFrameCallback(look);
  await seek(video, Math.max(0, video.duration - 1e-3));
  await new Promise(done => setTimeout(done, SHOWN_MS));
  looking = false;
  const count = last === null ? told : Math.round(last * fps) + 1;
  return Math.abs(count - told) <= 2 ? count : told;
}

export class Clip {
  static async of(video) {
    const fps = await frameRate(video), count = await numFrames(video, fps);
    return Object.assign(new Clip(), {video, fps, count, width: video.videoWidth, height: video.videoHeight});
  }

  /** Return a frame, once the browser is there. */
  async at(frame) {
    const {video} = this, time = Math.min((frame + 0.5) / this.fps, Math.max(0, video.duration - 1e-3));
    if (Math.abs(video.currentTime - time) > 1e-4) await seek(video, time);
    return grabbed(video, this.width, this.height);
  }

  reader(from) { return new Reader(this, from); }
}

const MOST_READY = 2; // frames that wait for whoever reads them: each is megabytes
const SLOWEST = 1 / 16, FASTEST = 4; // playback rates that browsers take
const HASTE = 1.5; // played so much faster than frames are read: a reader waits less than a video

/**
 * Read a clip's frames in their order while the video plays slowly. A seek decodes from the last whole frame
 * again, which takes several times as long. Frames that playing passed over are sought.
 */
class Reader {
  constructor(clip, from) { Object.assign(this, {clip, coming: from, ready: [], passed: true, haste: HASTE, began: 0, ms: 100, wake() {}}); }

  /** Return the next frame; null after the last. */
  async next() {
    const {clip} = this, now = performance.now();
    if (this.began) this.ms = 0.8 * this.ms + 0.2 * Math.min(2000, now - this.began);
    this.began = now;
    while (!this.ready.length) {
      if (this.coming >= clip.count) return null;
      if (this.passed || !clip.video.requestVideoFrameCallback) return this.sought();
      await this.played();
    }
    const image = this.ready.shift();
    if (!this.passed && this.coming < clip.count) this.play();
    return image;
  }

  async sought() {
    this.stop();
    const image = await this.clip.at(this.coming++);
    this.passed = false;
    return image;
  }

  play() {
    const {video, fps} = this.clip;
    video.playbackRate = Math.max(SLOWEST, Math.min(FASTEST, this.haste * 1000 / (this.ms * fps)));
    if (!this.listening) this.listen();
    if (video.paused) video.play().catch(() => { this.passed = true; this.wake(); });
  }

  listen() {
    const {clip} = this, {video} = clip, mine = this.listening = {};
    const look = (_, {mediaTime}) => {
      if (mine !== this.listening) return;
      // A late call finds the next frame on show: the frame itself knows its time, where a browser gives it.
      const shown = globalThis.VideoFrame && new VideoFrame(video);
      const number = Math.round((shown ? shown.timestamp / 1e6 : mediaTime) * clip.fps);
      if (number === this.coming) { this.ready.push(grabbed(shown || video, clip.width, clip.height)); this.coming++; }
      shown?.close();
      if (number > this.coming) { this.passed = true; this.haste = Math.max(0.5, 0.8 * this.haste); this.stop(); } else video.requestVideoFrameCallback(look);
      if (this.ready.length >= MOST_READY) video.pause();
      this.wake();
    };
    video.requestVideoFrameCallback(look);
  }

  /** Wait for a frame to be shown; a page that is hidden, or the end of a clip, shows none. */
  async played() {
    const {fps, video} = this.clip;
    this.play();
    const patience = 500 + 3000 / (fps * video.playbackRate);
    const came = await new Promise(done => { this.wake = () => done(true); setTimeout(done, patience, false); });
    if (!came) this.passed = true;
  }

  stop() {
    this.listening = null;
    this.clip.video.pause();
  }
}

/** A photograph is a clip of one frame. */
export class Still {
  constructor(source, width, height) { Object.assign(this, {image: grabbed(source, width, height), fps: 1, count: 1, width, height}); }

  async at() { return this.image; }

  reader() { return {next: async () => null, stop() {}}; }
}

const LONGEST_GAP_MS = 1000; // a camera that was pulled out shows nothing more, and Stop must still end it

/** A camera gives frames as they come; only the last one is kept. */
export class Camera {
  constructor(video) { Object.assign(this, {video, live: true, fps: USUAL_FPS, count: 1, width: video.videoWidth, height: video.videoHeight, image: null}); }

  async at() { return this.image ??= grabbed(this.video, this.width, this.height); }

  reader() {
    const {video} = this;
    return {
      stop() {},
      next: async () => {
        await new Promise(done => {
          if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done); else requestAnimationFrame(done);
          setTimeout(done, LONGEST_GAP_MS);
        });
        this.count++;
        return this.image = grabbed(video, this.width, this.height);
      },
    };
  }
}
