// Keep the site for use without a network, and isolate it so that WebAssembly gets its threads.
// All addresses are relative to this file: the site may lie below any path.
const here = new URL('./', self.location.href).href;

async function site() {
  const answer = await fetch(new URL('site.json', here), {cache: 'no-cache'});
  if (!answer.ok) throw new Error(`site.json: ${answer.status}`);
  return answer.json();
}

self.addEventListener('install', event => event.waitUntil((async () => {
  const {version, files} = await site();
  // One cache for each version of one site: several sites may share a server.
  const cache = await caches.open(`${here} ${version}`);
  await cache.addAll([here, new URL('site.json', here).href, ...files.map(path => new URL(path, here).href)]);
  await self.skipWaiting();
})()));

self.addEventListener('activate', event => event.waitUntil((async () => {
  const found = await site().catch(() => null);
  if (found) for (const name of await caches.keys()) if (name.startsWith(`${here} `) && name !== `${here} ${found.version}`) await caches.delete(name);
  await self.clients.claim();
})()));

function isolated(answer) {
  if (answer.status === 0) return answer;
  const headers = new Headers(answer.headers);
  headers.set('cross-origin-opener-policy', 'same-origin');
  headers.set('cross-origin-embedder-policy', 'require-corp');
  headers.set('cross-origin-resource-policy', 'same-origin');
  return new Response(answer.body, {status: answer.status, statusText: answer.statusText, headers});
}

self.addEventListener('fetch', event => {
  if (event.request.method !== 'GET' || !event.request.url.startsWith(here)) return;
  event.respondWith((async () => {
    const kept = await caches.match(event.request, {ignoreSearch: true});
    return isolated(kept ?? await fetch(event.request));
  })());
});
