// ONNX Runtime, away from the page, so that drawing does not disturb what is measured.

const RUNTIMES = { wasm: "./ort.wasm.min.mjs", webgpu: "./ort.webgpu.min.mjs" };
const WARM_UP = 20;
const FEWEST = 100; // batches that are timed at least
const STEPS = 100; // of the clock, that a batch lasts at least: what it rounds is 1 % of that

let ort, session, drawing, shape;

const TASKS = { open, run, draw, burst, paced };

onmessage = async ({ data: { id, task, given } }) => {
  try {
    postMessage({ id, result: await TASKS[task](given) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error).split("\n")[0] });
  }
};

async function open({ provider, threads, model, pictures, axes, samples, labels }) {
  const bytes = await download(model.file);
  if (bytes.length !== model.size)
    throw new Error(`${model.file} has ${bytes.length} bytes, not ${model.size}: it is damaged, ` +
      "or not this page's");
  shape = [1, axes, samples];
  const begin = performance.now();
  ort = await import(RUNTIMES[provider]);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("./", location.href).href;
  ort.env.logLevel = "error";
  session = await create(bytes, model.file, provider);
  const opened = performance.now();
  const answer = await run(new Float32Array(axes * samples));
  const done = performance.now();
  if (answer.length !== labels)
    throw new Error(`${model.file} knows ${answer.length} labels, this page ${labels}`);
  // Pictures are drawn on the processor, whatever the model runs on.
  if (pictures) drawing = await create(await download(pictures.file), pictures.file, "wasm");
  return { init_ms: opened - begin, first_ms: done - opened };
}

async function download(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} is missing (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

async function create(bytes, file, provider) {
  try {
    return await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
  } catch (error) {
    throw new Error(`${file} cannot be run: ${String(error?.message ?? error).split("\n")[0]}`);
  }
}

const tensor = (values) => new ort.Tensor("float32", values, shape);

// A window, axis by axis, to the probability of each label.
async function run(values) {
  const { probabilities } = await session.run({ window: tensor(values) }, ["probabilities"]);
  return probabilities.data.slice();
}

// A window to the pictures that the model sees: (views, 3, height, width) in [0, 1].
async function draw(values) {
  const { image } = await drawing.run({ window: tensor(values) });
  return image.data.slice();
}

async function burst({ values, seconds }) {
  const step = clockStep();
  await timed(values, WARM_UP);
  let batch = 1;
  while ((await timed(values, batch)) < STEPS * step) batch *= 2;
  const times = [];
  for (const end = performance.now() + 1000 * seconds;
    performance.now() < end || times.length < FEWEST;)
    times.push((await timed(values, batch)) / batch);
  return { clock_step_ms: step, ...percentiles(times, batch) };
}

// One window for each hop, as a real app does: the processor's clock may drop in between.
async function paced({ values, seconds, interval_ms }) {
  const times = [];
  const begin = performance.now();
  for (let turn = 1; turn * interval_ms <= 1000 * seconds || turn === 1; turn++) {
    const wait = begin + turn * interval_ms - performance.now();
    await new Promise((resolve) => setTimeout(resolve, wait));
    times.push(await timed(values, 1));
  }
  return { interval_ms, ...percentiles(times, 1) };
}

async function timed(values, count) {
  const begin = performance.now();
  for (let turn = 0; turn < count; turn++) await run(values);
  return performance.now() - begin;
}

// The smallest step that the browser's clock shows: up to a millisecond.
function clockStep() {
  let step = Infinity;
  for (let turn = 0; turn < 20; turn++) {
    const before = performance.now();
    let now = before;
    while (now === before) now = performance.now();
    step = Math.min(step, now - before);
  }
  return step;
}

// By nearest rank; of batches, the mean of each.
function percentiles(times, batch) {
  const sorted = [...times].sort((a, b) => a - b);
  const rank = (share) => sorted[Math.ceil(share * sorted.length) - 1];
  return {
    batches: times.length, batch,
    p50_ms: rank(0.5), p90_ms: rank(0.9), p95_ms: rank(0.95), p99_ms: rank(0.99),
    max_ms: sorted.at(-1),
  };
}
