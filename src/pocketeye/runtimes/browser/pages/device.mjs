// What a browser tells of itself and of the device it runs on.

/** Return the smallest step of the clock in milliseconds: 0.005 where the page is isolated. */
export function clockStep(looks = 20) {
  let step = Infinity;
  for (let k = 0, a = performance.now(); k < looks;) {
    const b = performance.now();
    if (b > a) { step = Math.min(step, b - a); a = b; k++; }
  }
  return step;
}

/** Tell whether WebAssembly has 128-bit SIMD, from a module of one SIMD instruction. */
export function hasSimd() {
  const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  return typeof WebAssembly === 'object' && WebAssembly.validate(new Uint8Array(bytes));
}

async function adapter() {
  try {
    const found = await navigator.gpu?.requestAdapter();
    if (!found) return '';
    const {vendor = '', architecture = '', description = ''} = found.info ?? {};
    return [vendor, architecture, description].filter(Boolean).join(' ') || 'unnamed adapter';
  } catch { return ''; }
}

/** Name the browser and the system from what the user agent says. */
export function names(userAgent, hints = {}) {
  // "Not A Brand" stands in the list to keep sites from relying on it.
  const brands = (hints.fullVersionList ?? []).filter(b => !/not.?a.?brand/i.test(b.brand));
  const brand = brands.find(b => b.brand !== 'Chromium') ?? brands[0];
  const known = [
    ['Edge', /Edg[A-Z]*\/([\d.]+)/], ['Samsung Internet', /SamsungBrowser\/([\d.]+)/], ['Firefox', /(?:Firefox|FxiOS)\/([\d.]+)/],
    ['Chromium', /(?:HeadlessChrome|Chrome|CriOS)\/([\d.]+)/], ['Safari', /Version\/([\d.]+).*Safari/],
  ].map(([name, pattern]) => [name, userAgent.match(pattern)?.[1]]).find(([, version]) => version);
  // The first number alone: others change every week, and speed with them hardly ever.
  const [name, version] = brand ? [brand.brand, brand.version] : known ?? ['an unknown browser', ''];
  const browser = `${name} ${version.split('.')[0]}`.trim();
  const told = [hints.model, hints.platform, hints.platformVersion, hints.architecture].filter(Boolean).join(' ');
  return {browser, system: told || (userAgent.match(/\(([^)]*)\)/)?.[1] ?? '')};
}

/** Return all facts of this device, as the server wants them. */
export async function facts(name = '') {
  const wanted = ['model', 'platformVersion', 'architecture', 'fullVersionList'];
  const hints = await navigator.userAgentData?.getHighEntropyValues?.(wanted).catch(() => ({})) ?? {};
  return {
    name, ...names(navigator.userAgent, hints), cores: navigator.hardwareConcurrency || 1,
    isolated: globalThis.crossOriginIsolated === true, simd: hasSimd(), clock_step_ms: clockStep(), gpu: await adapter(),
  };
}
