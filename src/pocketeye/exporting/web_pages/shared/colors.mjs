// One colour for each object or class, as pocketeye's results/colors.py gives it.

// Okabe and Ito (2008), told apart by colour-blind eyes.
const FIRST = [[86, 180, 233], [230, 159, 0], [0, 158, 115], [204, 121, 167], [240, 228, 66], [213, 94, 0], [0, 114, 178]];
const GOLDEN = 0.618034; // the golden ratio's fraction: its multiples spread most evenly over a circle

/** Return [red, green, blue] of an id, from 1 up. */
export function colorOf(id) {
  const index = id - 1;
  if (index < FIRST.length) return FIRST[index];
  const hue = (0.96 + index * GOLDEN) % 1, lightness = [0.6, 0.75, 0.5][index % 3];
  const high = lightness <= 0.5 ? lightness * 1.75 : lightness + 0.75 - lightness * 0.75, low = 2 * lightness - high;
  return [hue + 1 / 3, hue, hue - 1 / 3].map(part => {
    const at = ((part % 1) + 1) % 1;
    const value = at < 1 / 6 ? low + (high - low) * at * 6 : at < 1 / 2 ? high : at < 2 / 3 ? low + (high - low) * (2 / 3 - at) * 6 : low;
    return Math.round(255 * value);
  });
}

/** Return the colour, black or white, that reads better on another. */
export const inkOn = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue > 120 ? '#000000' : '#ffffff');
