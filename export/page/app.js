// The page: opens the model, checks it, shows its answers to a sensor or a recording, measures it.
import { IOS, missing, nominalRate, reading, refusal } from "./motion.js";
import { WindowStream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const HOP = 0.1; // of a window, from one answer to the next
const QUEUE = 64; // windows that may wait for their answer; older ones are left out
const EVENTS = 40; // by which the sensor's rate is told
const SILENCE_MS = 3000; // after which a sensor is taken for missing
const SHOWN = 5; // labels
const USES = ["sensor", "play", "measure"]; // of a model that is open
const CHOICES = ["model", "execution"];

const REPORTING = new URLSearchParams(location.search).get("report"); // seconds of each kind
let page, model, worker, opened, checked, windows, shown, stop = null, hidden = false;

const json = async (file) => (await fetch(file)).json();
const numbers = async (file, type) => new type(await (await fetch(file)).arrayBuffer());

async function main() {
  page = await json("page.json");
  if (page.format !== 1) throw new Error(`page.json has format ${page.format}: export it anew`);
  windows = await numbers(page.windows, Float32Array);
  describe();
  await offerExecutions();
  for (const id of CHOICES) $(id).onchange = () => guarded(open);
  $("sensor").onclick = () => toggle($("sensor"), listen);
  $("play").onclick = () => toggle($("play"), play);
  $("measure").onclick = () => guarded(measure);
  document.onvisibilitychange = () => (hidden ||= document.hidden);
  matchMedia("(prefers-color-scheme: dark)").onchange = onresize = () => drawTraces(shown);
  if (REPORTING) $("seconds").value = REPORTING;
  await open();
  if (REPORTING) await measure();
  // Where it cannot be had the page works all the same, with a network.
  else navigator.serviceWorker?.register("sw.js").catch(() => {});
}

function describe() {
  const { labels, samples, sampling_rate: rate, sensors } = page;
  const named = sensors.map(({ name, unit }) => `${name} in ${unit}`).join(", ");
  $("title").textContent = `${labels.length} labels from ${samples / rate} s of motion`;
  $("about").textContent = `${named}, ${rate} Hz: ${labels.join(", ")}`;
  document.title = `${$("title").textContent} · img2imu`;
  $("foot").textContent = `img2imu ${page.img2imu}, ${page.runtime}. Nothing leaves this device` +
    (REPORTING ? ", except the benchmark: it goes to the computer that serves this page." : ".");
  for (const { file, kind } of page.models) $("model").add(new Option(`${file}, ${kind}`, file));
  $("models").hidden = page.models.length < 2;
  for (const axis of "xyz")
    $("legend").append(Object.assign(document.createElement("span"),
      { className: `key ${axis}`, textContent: axis }));
  $("legend").append(named);
}

// Threads need shared memory, which an isolated page alone has; WebGPU a browser with an adapter.
async function offerExecutions() {
  const most = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  for (let threads = 1; threads <= most; threads *= 2)
    $("execution").add(new Option(`WebAssembly, ${threads} thread${threads > 1 ? "s" : ""}`,
      `wasm ${threads}`));
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (adapter) $("execution").add(new Option("WebGPU", "webgpu 1"));
}

const enable = (ids, enabled) => ids.forEach((id) => ($(id).disabled = !enabled));

async function open() {
  stop?.();
  enable(USES, false);
  checked = null;
  worker?.terminate();
  worker = new Worker("worker.js", { type: "module" });
  [$("check").textContent, $("check").className] = ["Comparing with Python …", "check"];
  model = page.models.find(({ file }) => file === $("model").value);
  const [provider, threads] = $("execution").value.split(" ");
  opened = { provider, threads: +threads };
  const { samples, pictures, labels } = page;
  const given = { model, pictures, samples, axes: 3 * page.sensors.length, labels: labels.length };
  Object.assign(opened, await call("open", { ...opened, ...given }));
  await check();
  enable(USES, true);
}

// A task for the worker; its errors come back as errors here.
function call(task, given) {
  const id = crypto.getRandomValues(new Uint32Array(1))[0], asked = worker;
  return new Promise((resolve, reject) => {
    const heard = ({ data }) => {
      if (data.id !== id) return;
      asked.removeEventListener("message", heard);
      if (data.error) reject(new Error(data.error));
      else resolve(data.result);
    };
    asked.addEventListener("message", heard);
    asked.addEventListener("error", (event) =>
      reject(new Error(event.message || "the worker did not start")), { once: true });
    asked.postMessage({ id, task, given });
  });
}

const size = () => 3 * page.sensors.length * page.samples;
const example = (at) => windows.slice(at * size(), (at + 1) * size());
const likeliest = (values) => values.indexOf(Math.max(...values));

// The model's answers to its check windows, beside those that Python had.
async function check() {
  let difference = 0, same = 0, passed = true;
  for (const [at, expected] of model.probabilities.entries()) {
    const answer = [...(await call("run", example(at)))];
    const gap = Math.max(...answer.map((value, label) => Math.abs(value - expected[label])));
    difference = Math.max(difference, gap);
    same += likeliest(answer) === likeliest(expected);
    passed &&= gap <= model.allowed[at]; // a NaN does not pass
  }
  const count = model.probabilities.length;
  checked = { windows: count, same_labels: same, difference, passed };
  if (!passed) throw new Error(`${model.file} does not answer as Python did: the same label on ` +
    `${same} of ${count} windows, probabilities differ by up to ${difference.toPrecision(2)}`);
  $("check").textContent = `Same answers as Python on ${count} windows: probabilities within ` +
    `${difference.toExponential(1)}`;
  $("check").className = "check passed";
  await show({ start: 0, values: example(0) }, false);
}

// One source at a time: a second tap, the other button or another model ends it.
async function toggle(button, begin) {
  const before = stop;
  const running = button.dataset.running;
  before?.();
  if (running) return;
  const title = button.textContent;
  [button.textContent, button.dataset.running] = ["Stop", "yes"];
  $("log").replaceChildren();
  $("notice").textContent = "";
  let halt = () => {};
  stop = () => {
    halt();
    button.textContent = title;
    delete button.dataset.running;
    stop = null;
  };
  const own = stop;
  await guarded(async () => {
    const ending = await begin(() => stop === own && own());
    if (stop === own) halt = ending;
    else ending();
  });
}

// Each begins to feed samples, and gives what ends that.
async function listen(finished) {
  const told = (sentence) => { $("notice").textContent = sentence; finished(); return () => {}; };
  const lacking = missing(page.sensors).map(({ name }) => name);
  if (lacking.length) return told(`A browser does not give this model's ${lacking.join(", ")}.`);
  const refused = await refusal();
  if (refused) return told(refused);
  let stream = null, first = [];
  const heard = (event) => {
    const values = reading(event, page.sensors, IOS);
    if (values.some(Number.isNaN)) return;
    if (stream) return feed(stream, [[event.timeStamp / 1000, values]]);
    first.push([event.timeStamp / 1000, values]);
    if (first.length < EVENTS) return;
    const rate = nominalRate(first.map(([time]) => 1000 * time));
    stream = newStream(rate);
    $("notice").textContent = `The sensor gives ${rate} Hz.`;
    feed(stream, first);
  };
  addEventListener("devicemotion", heard);
  const silence = setTimeout(() => {
    if (!first.length) told("No motion sensor answers on this device.");
  }, SILENCE_MS);
  return () => { clearTimeout(silence); removeEventListener("devicemotion", heard); };
}

async function play(finished) {
  const { file, rate } = page.recording;
  const width = 1 + 3 * page.sensors.length;
  const rows = await numbers(file, Float64Array), stream = newStream(rate);
  const row = (at) => rows.subarray(at * width, (at + 1) * width);
  const speed = +$("speed").value, begin = performance.now(), count = rows.length / width;
  let next = 0;
  const timer = setInterval(() => {
    const now = row(0)[0] + ((performance.now() - begin) / 1000) * speed, due = [];
    for (; next < count && row(next)[0] <= now; next++)
      due.push([row(next)[0], [...row(next).subarray(1)]]);
    feed(stream, due);
    if (next < count) return;
    stream.finish().forEach(ask);
    finished();
  }, 50);
  return () => clearInterval(timer);
}

const stride = () => Math.max(1, Math.round(HOP * page.samples));
const newStream = (rate) =>
  new WindowStream(3 * page.sensors.length, rate, page.sampling_rate, page.samples, stride());
const feed = (stream, rows) =>
  rows.forEach(([time, values]) => stream.push(time, values).forEach(ask));

const waiting = [];
let asking = false;

async function ask(window) {
  waiting.push(window);
  if (waiting.length > QUEUE) waiting.shift();
  if (asking) return;
  asking = true;
  await guarded(async () => { while (waiting.length) await show(waiting.shift(), true); });
  asking = false;
}

async function show({ start, values }, logged) {
  const probabilities = [...(await call("run", values))], best = likeliest(probabilities);
  const ranked = probabilities.map((value, label) => ({ value, label: page.labels[label] }))
    .sort((a, b) => b.value - a.value);
  const percent = `${Math.round(100 * probabilities[best])} %`;
  $("answer").replaceChildren(String(page.labels[best]), " ", element("small", percent));
  $("bars").replaceChildren(...ranked.slice(0, SHOWN).map(({ value, label }) => {
    const item = element("li");
    const meter = Object.assign(element("meter"), { value, ariaLabel: label });
    item.append(element("span", label), element("output", value.toFixed(2)), meter);
    return item;
  }));
  drawTraces((shown = values));
  if (page.pictures) drawPictures(await call("draw", values));
  if (!logged) return;
  note(start, page.labels[best]);
  const detail = { start, label: page.labels[best], confidence: probabilities[best] };
  document.dispatchEvent(new CustomEvent("answer", { detail }));
}

const element = (name, text = "") =>
  Object.assign(document.createElement(name), { textContent: text });

// Runs of the same label, the latest first.
function note(start, label) {
  if ($("log").firstChild?.dataset.label === String(label)) return;
  const item = element("li");
  item.dataset.label = label;
  item.append(`${start.toFixed(1)} s `, element("b", label));
  $("log").prepend(item);
  if ($("log").children.length > 12) $("log").lastChild.remove();
}

function drawTraces(values) {
  if (!values) return;
  const canvas = $("traces"), { samples } = page, scale = devicePixelRatio;
  const width = (canvas.width = canvas.clientWidth * scale);
  const height = (canvas.height = canvas.clientHeight * scale);
  const context = canvas.getContext("2d"), style = getComputedStyle(document.body);
  const each = height / page.sensors.length;
  context.lineWidth = 1.6 * scale;
  context.lineJoin = "round";
  page.sensors.forEach((_, sensor) => {
    const part = values.subarray(3 * sensor * samples, 3 * (sensor + 1) * samples);
    const low = Math.min(...part), span = Math.max(...part) - low || 1;
    for (let axis = 0; axis < 3; axis++) {
      context.strokeStyle = style.getPropertyValue(`--${"xyz"[axis]}`);
      context.beginPath();
      for (let at = 0; at < samples; at++) {
        const level = (part[axis * samples + at] - low) / span;
        context.lineTo((at / (samples - 1)) * width, each * (sensor + 0.94 - 0.88 * level));
      }
      context.stroke();
    }
  });
}

function drawPictures(levels) {
  const { width, height, views } = page.pictures, area = width * height;
  const box = $("pictures").firstElementChild;
  $("pictures").hidden = false;
  for (let view = 0; view < views; view++) {
    const canvas = box.children[view] ?? box.appendChild(Object.assign(element("canvas"),
      { width, height, role: "img", ariaLabel: `Picture ${view + 1} of ${views}` }));
    const image = new ImageData(width, height);
    for (let at = 0; at < area; at++) {
      for (let channel = 0; channel < 3; channel++)
        image.data[4 * at + channel] = 255 * levels[(3 * view + channel) * area + at];
      image.data[4 * at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}

async function measure() {
  stop?.();
  waiting.length = 0;
  enable([...USES, ...CHOICES], false);
  try {
    const seconds = Math.min(Math.max(+$("seconds").value || 10, 1), 600);
    const given = { values: example(0), seconds, interval_ms: (1000 * stride()) / page.sampling_rate };
    hidden = document.hidden;
    $("state").textContent = "Burst …";
    const { clock_step_ms, ...burst } = await call("burst", given);
    $("state").textContent = "Paced …";
    const paced = await call("paced", given);
    await publish({
      format: 1, model: model.file, runtime: page.runtime, ...opened, browser: navigator.userAgent,
      cores: navigator.hardwareConcurrency ?? 0, isolated: crossOriginIsolated, hidden,
      clock_step_ms, self_test: checked, burst, paced,
    });
  } finally {
    enable([...USES, ...CHOICES], true);
  }
}

async function publish(report) {
  const rows = [["Burst", report.burst], ["Paced", report.paced]].map(([title, found]) => {
    const row = element("tr");
    row.append(Object.assign(element("th", title), { scope: "row" }));
    for (const name of ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"])
      row.append(element("td", found[name].toFixed(2)));
    return row;
  });
  $("table").tBodies[0].replaceChildren(...rows);
  $("table").hidden = false;
  const { burst, paced } = report;
  $("facts").textContent = `${report.provider}, ${report.threads} thread(s). Initialisation ` +
    `${report.init_ms.toFixed(0)} ms, first answer ${report.first_ms.toFixed(0)} ms. The clock ` +
    `steps by ${report.clock_step_ms.toPrecision(1)} ms: burst is ${burst.batches} batches of ` +
    `${burst.batch}, paced ${paced.batches} windows, one each ${paced.interval_ms} ms.`;
  const text = JSON.stringify(report, null, 1);
  $("save").href = `data:application/json,${encodeURIComponent(text)}`;
  $("save").hidden = false;
  $("state").textContent = report.hidden
    ? "Not valid: the page was in the background meanwhile." : "Done.";
  if (!REPORTING) return;
  const sent = await fetch("report", { method: "POST", body: text });
  $("state").textContent += sent.ok ? " Sent to the computer that serves this page."
    : ` The computer did not take it: ${await sent.text()}`;
}

// What goes wrong is told in a sentence.
async function guarded(work) {
  $("complaint").hidden = true;
  try {
    await work();
  } catch (error) {
    $("check").textContent = checked?.passed ? $("check").textContent : "";
    $("complaint").textContent = error.message;
    $("complaint").hidden = false;
  }
}

guarded(main);
