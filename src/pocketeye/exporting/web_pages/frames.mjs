// Frames of a clip by number, which browsers do not have: they seek by time.

const USUAL_FPS = 25; // where a browser does not tell when frames are shown
const LOOKED_AT = 12, LONGEST_MS = 1500;

/** Return the frame rate of a video, from the times of its first frames. */
async function frameRate(video) {
  if (!video.requestVideoFrameCallback) return USUAL_FPS;
  const times = [];
  await new Promise(done => {
    const look = (_, {mediaTime}) => {
      times.push(mediaTime);
      if (times.length < LOOKED_AT && !video.ended) video.requestVideoFrameCallback(look); else done();
    };
    video.requestVideoFrameCallback(look);
    setTimeout(done, LONGEST_MS);
    video.play().catch(done);
  });
  video.pause();
  // The smallest step: a busy device passes over frames, and never shows one twice.
  const steps = times.slice(1).map((t, k) => t - times[k]).filter(step => step > 1e-3);
  return steps.length ? Math.round(1000 / Math.min(...steps)) / 1000 : USUAL_FPS;
}

export class Clip {
  static async of(video) {
    const fps = await frameRate(video);
    return Object.assign(new Clip(), {video, fps, count: Math.max(1, Math.round(video.duration * fps)), width: video.videoWidth, height: video.videoHeight});
  }

  /** Return what can be drawn of a frame, once the browser is there. */
  async at(frame) {
    const {video} = this, time = Math.min((frame + 0.5) / this.fps, Math.max(0, video.duration - 1e-3));
    if (Math.abs(video.currentTime - time) > 1e-4) {
      await new Promise((done, failed) => {
        video.onseeked = done;
        video.onerror = () => failed(new Error('This browser stopped to decode the clip.'));
        video.currentTime = time;
      });
    }
    return video;
  }
}

/** A photograph is a clip of one frame. */
export class Still {
  constructor(bitmap) { Object.assign(this, {bitmap, fps: 1, count: 1, width: bitmap.width, height: bitmap.height}); }

  async at() { return this.bitmap; }
}
