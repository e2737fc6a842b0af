// Write a WebM file of encoded frames, with or without an alpha plane beside the colours.
// Elements and their numbers: RFC 9559 (Matroska); alpha: the WebM container guidelines, "Alpha Channel".

const CLUSTER_MS = 5000; // a block tells its time from its cluster's in 16 bits of milliseconds

/** Return the bytes of a number, most significant first, without leading zeros. */
function digits(number) {
  const found = [];
  do { found.unshift(number % 256); number = Math.floor(number / 256); } while (number);
  return Uint8Array.from(found);
}

function joined(parts) {
  const found = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { found.set(part, at); return at + part.length; }, 0);
  return found;
}

/** Return a length in eight bytes: it may be written before it is known how many are needed. */
function length(number) {
  const found = new Uint8Array(8);
  found.set(digits(number), 8 - digits(number).length);
  found[0] = 1;
  return found;
}

const element = (id, ...content) => {
  const body = joined(content.map(one => (typeof one === 'number' ? digits(one) : typeof one === 'string' ? new TextEncoder().encode(one) : one)));
  return joined([digits(id), length(body.length), body]);
};

function real(number) {
  const found = new Uint8Array(8);
  new DataView(found.buffer).setFloat64(0, number);
  return found;
}

function block({key, data, alpha}, ms, before) {
  // Track 1, and no flags: whether it is a whole frame stands in a ReferenceBlock.
  const content = element(0xa1, Uint8Array.of(0x81, ms >> 8 & 255, ms & 255, 0), data);
  const more = alpha ? [element(0x75a1, element(0xa6, element(0xee, 1), element(0xa5, alpha)))] : [];
  const reference = key ? [] : [element(0xfb, Uint8Array.of(before >> 8 & 255, before & 255))];
  return element(0xa0, content, ...more, ...reference);
}

/**
 * Return a WebM file as a Blob.
 *
 * @param codec 'V_VP8' or 'V_VP9'
 * @param frames [{key, data, alpha}], bytes of encoded frames; `alpha` is null where there is no alpha plane
 */
export function webm({codec, width, height, fps, frames}) {
  const head = element(0x1a45dfa3, element(0x4286, 1), element(0x42f7, 1), element(0x42f2, 4), element(0x42f3, 8),
    element(0x4282, 'webm'), element(0x4287, 4), element(0x4285, 2));
  const info = element(0x1549a966, element(0x2ad7b1, 1_000_000), element(0x4489, real(1000 * frames.length / fps)),
    element(0x4d80, 'pocketeye'), element(0x5741, 'pocketeye'));
  const withAlpha = Boolean(frames[0]?.alpha);
  const video = element(0xe0, element(0xb0, width), element(0xba, height), ...(withAlpha ? [element(0x53c0, 1)] : []));
  const tracks = element(0x1654ae6b, element(0xae, element(0xd7, 1), element(0x73c5, 1), element(0x83, 1), element(0x86, codec),
    element(0x23e383, Math.round(1e9 / fps)), ...(withAlpha ? [element(0x55ee, 1)] : []), video));
  const groups = []; // of frames: a cluster begins with a whole frame
  frames.forEach((frame, k) => {
    const ms = Math.round(1000 * k / fps);
    if (!groups.length || (frame.key && ms - groups.at(-1).ms >= CLUSTER_MS)) groups.push({ms, blocks: []});
    const group = groups.at(-1), before = Math.round(1000 * (k - 1) / fps) - ms;
    group.blocks.push(block(frame, ms - group.ms, before));
  });
  const clusters = groups.map(({ms, blocks}) => element(0x1f43b675, element(0xe7, ms), ...blocks));
  let at = info.length + tracks.length; // Cues tell where clusters begin, from the segment's first byte
  const cues = element(0x1c53bb6b, ...groups.map(({ms}, k) => {
    const position = at;
    at += clusters[k].length;
    return element(0xbb, element(0xb3, ms), element(0xb7, element(0xf7, 1), element(0xf1, position)));
  }));
  const segment = joined([digits(0x18538067), length(info.length + tracks.length + cues.length + clusters.reduce((sum, one) => sum + one.length, 0))]);
  return new Blob([head, segment, info, tracks, ...clusters, cues], {type: 'video/webm'});
}
