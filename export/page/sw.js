// Keeps the page on the device, whole, so that it works without a network.
importScripts("files.js");
const CACHE = `${registration.scope}#${PAGE.version}`;

// The runtime for WebGPU, twice as large, comes along when it is first used.
oninstall = (event) => event.waitUntil(
  caches.open(CACHE)
    .then((cache) => cache.addAll(PAGE.files.map((file) => new Request(file, { cache: "reload" }))))
    .then(() => skipWaiting()));

onactivate = (event) => event.waitUntil((async () => {
  for (const name of await caches.keys())
    if (name.startsWith(`${registration.scope}#`) && name !== CACHE) await caches.delete(name);
  await clients.claim();
})());

onfetch = (event) => {
  const inside = event.request.url.startsWith(registration.scope);
  if (event.request.method === "GET" && inside) event.respondWith(answer(event.request));
};

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return isolated(response);
}

// Several threads share memory, which browsers allow to isolated pages only; few hosts say so.
function isolated(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
