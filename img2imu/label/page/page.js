"use strict";

// Colours that people tell apart whatever their eyes see (Okabe and Ito), then lighter, then darker.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a200", "#7a7f8c"];
const AXES = { light: ["#d55e00", "#00896a", "#0b6fb8"], dark: ["#ff9a56", "#3fd0a4", "#6db8f2"] };
const LETTERS = [..."123456789abcdefghijklmopqrtvwxyz"]; // n, s and u are taken
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
const POLL = 600; // milliseconds between two looks at what other tabs and the background did
const CLOSEST = 2; // seconds
const $ = (id) => document.getElementById(id);

let library = null;
let state = null;
let shown = 0; // number of the recording on the timeline
let selection = null; // stretch of it that is marked by the mouse: [from, to]
let busy = false;
let predictions = new Map(); // by recording: { version, codes, confidence }

// ---- the server

async function get(path) {
  const answer = await fetch(path);
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || answer.statusText);
  return answer.headers.get("Content-Type") === "application/json" ? answer.json() : answer.arrayBuffer();
}

async function post(path, body) {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(found.error || answer.statusText);
    tell("");
    // Who labels stretches by hand goes on where they are.
    apply(found, path === "segment");
  } catch (error) {
    tell(error instanceof TypeError ? "the command img2imu label has ended: start it again" : error.message, true);
    await refresh(true);
  } finally {
    busy = false;
  }
}

async function refresh(whole = false) {
  const found = await get(whole || !state ? "state" : `state?version=${state.version}`).catch(() => undefined);
  if (found === undefined) tell("the command img2imu label has ended: what was labelled is saved", true);
  else if (found) apply(found);
}

async function poll() {
  if (!busy) await refresh();
  setTimeout(poll, POLL);
}

function tell(text, bad = false) {
  $("told").textContent = text;
  $("told").className = bad ? "bad" : "";
}

// ---- time: the timeline's seconds, in which long silences are short, and the recording's clock

function runAt(recording, at) {
  const runs = recording.runs;
  let found = runs[0];
  for (const run of runs) if (run[0] <= at) found = run;
  return found;
}

const toClock = (recording, at) => {
  const [begin, start] = runAt(recording, at);
  return at - begin + start;
};

function fromClock(recording, clock) {
  for (const [at, start, seconds] of recording.runs) if (clock >= start && clock < start + seconds) return clock - start + at;
  return null;
}

function spelled(recording, clock, tenths) {
  const day = recording.began === null ? clock : recording.began + clock;
  const value = tenths ? Math.floor(day * 10 + 1e-6) / 10 : Math.round(day);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const hours = recording.began === null ? Math.floor(value / 3600) : Math.floor(value / 3600) % 24;
  const rest = `${two((value / 60) % 60)}:${two(value % 60)}` + (tenths ? `.${Math.floor((value * 10) % 10)}` : "");
  return recording.began === null && hours === 0 ? rest : `${recording.began === null ? hours : two(hours)}:${rest}`;
}

// ---- colours

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
// A custom property keeps light-dark() as it is written; a colour that is in use does not.
const ink = {};
function readInk() {
  const probe = document.createElement("span");
  document.body.append(probe);
  for (const name of ["ink", "muted", "line", "pale", "paper", "accent"]) {
    probe.style.color = `var(--${name})`;
    ink[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}

function colour(number) {
  const base = COLOURS[number % COLOURS.length];
  const turn = Math.floor(number / COLOURS.length);
  if (!turn) return base;
  const towards = turn % 2 ? 255 : 0;
  const part = 0.35 + 0.1 * Math.floor(turn / 2);
  const mixed = [1, 3, 5].map((place) => Math.round(parseInt(base.slice(place, place + 2), 16) * (1 - part) + towards * part));
  return `rgb(${mixed})`;
}

function readable(text) {
  // Black or white letters on a class' colour, by its luminance.
  const probe = text.startsWith("#") ? [1, 3, 5].map((p) => parseInt(text.slice(p, p + 2), 16)) : text.match(/\d+/g).map(Number);
  return 0.299 * probe[0] + 0.587 * probe[1] + 0.114 * probe[2] > 140 ? "#10151b" : "#ffffff";
}

// ---- drawing a stretch of a recording

const MARGIN = 44;

class View {
  // A canvas that shows from..to of a recording: traces and spectrograms, and the labels below them.
  constructor(canvas, rows) {
    this.canvas = canvas;
    this.rows = rows; // whether labels and predictions are shown
    this.recording = -1; // none yet
    this.from = 0;
    this.to = 1;
    this.data = null;
    this.wanted = 0;
    new ResizeObserver(() => this.load()).observe(canvas);
  }

  get width() { return this.canvas.clientWidth - MARGIN; }
  x(at) { return MARGIN + ((at - this.from) / (this.to - this.from)) * this.width; }
  at(x) { return this.from + ((x - MARGIN) / this.width) * (this.to - this.from); }

  show(recording, from, to) {
    if (recording !== this.recording) this.data = null;
    Object.assign(this, { recording, from, to });
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), this.data ? 40 : 0);
  }

  async load() {
    if (this.recording < 0 || this.width < 10) return;
    const mine = ++this.wanted;
    const { recording, from, to } = this;
    const width = Math.round(this.width);
    const stretch = `recording=${recording}&from=${Math.max(0, from)}&to=${to}`;
    try {
      const [trace, picture] = await Promise.all([
        get(`trace?${stretch}&width=${width}`),
        get(`spectrogram?${stretch}&width=${Math.min(width, 900)}`),
      ]);
      if (mine !== this.wanted) return;
      this.data = { recording, from: Math.max(0, from), to, trace: new Float32Array(trace), pictures: this.pictures(new Uint8Array(picture), Math.min(width, 900)) };
      this.draw();
    } catch (error) {
      tell(error.message, true);
    }
  }

  pictures(bytes, columns) {
    const count = library.sensors.length;
    const rows = bytes.length / (count * columns * 3);
    return library.sensors.map((_, sensor) => {
      const image = new ImageData(columns, rows);
      const base = sensor * rows * columns * 3;
      for (let pixel = 0; pixel < rows * columns; pixel++) {
        for (let channel = 0; channel < 3; channel++) image.data[pixel * 4 + channel] = bytes[base + pixel * 3 + channel];
        image.data[pixel * 4 + 3] = 255;
      }
      const canvas = new OffscreenCanvas(columns, rows);
      canvas.getContext("2d").putImageData(image, 0, 0);
      return canvas;
    });
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; if (this.recording >= 0) this.paint(); });
  }

  paint() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const foot = 22;
    const band = this.rows ? 26 : 0;
    const above = height - foot - 2 * band - (this.rows ? 8 : 0);
    const lane = above / library.sensors.length;
    library.sensors.forEach((name, sensor) => {
      this.paintPicture(pen, sensor, lane * sensor + lane * 0.62, lane * 0.36);
      this.paintTrace(pen, sensor, name, lane * sensor, lane * 0.6);
    });
    this.paintSilence(pen, above);
    if (this.rows) {
      this.paintMarks(pen, above + 4, band - 4);
      this.paintPredictions(pen, above + 4 + band, band - 4);
    }
    this.paintTicks(pen, height - foot, height);
    this.paintWindow(pen, height - foot);
  }

  paintTrace(pen, sensor, name, top, height) {
    const data = this.data;
    if (!data || data.recording !== this.recording) return;
    const axes = 3 * library.sensors.length;
    const columns = data.trace.length / (2 * axes);
    const [low, high] = scaleOf(data, sensor, axes, columns, this.rows);
    const y = (value) => top + height - 6 - ((value - low) / (high - low)) * (height - 12);
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN, top, this.width, height);
    pen.clip();
    const step = (data.to - data.from) / columns;
    const colours = AXES[dark() ? "dark" : "light"];
    for (let axis = 0; axis < 3; axis++) {
      const least = data.trace.subarray((3 * sensor + axis) * columns, (3 * sensor + axis + 1) * columns);
      const most = data.trace.subarray((axes + 3 * sensor + axis) * columns, (axes + 3 * sensor + axis + 1) * columns);
      pen.beginPath();
      let before = false;
      for (let column = 0; column < columns; column++) {
        if (Number.isNaN(least[column])) { before = false; continue; }
        const place = this.x(data.from + (column + 0.5) * step);
        if (before) pen.lineTo(place, y(least[column])); else pen.moveTo(place, y(least[column]));
        if (most[column] !== least[column]) pen.lineTo(place, y(most[column]));
        before = true;
      }
      pen.strokeStyle = colours[axis];
      pen.lineWidth = this.rows ? 1 : 1.4;
      pen.globalAlpha = 0.85;
      pen.stroke();
    }
    pen.restore();
    pen.fillStyle = ink.muted;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const unit = name.endsWith("gyro") ? "rad/s" : name.endsWith("magn") ? "µT" : "g";
    for (const value of [low, high]) {
      const shownValue = Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(1).replace("-", "−");
      pen.fillText(shownValue, MARGIN - 6, Math.min(top + height - 8, Math.max(top + 8, y(value))));
    }
    pen.fillText(unit, MARGIN - 6, top + height / 2);
  }

  paintPicture(pen, sensor, top, height) {
    const data = this.data;
    if (!data || data.recording !== this.recording) return;
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN, top, this.width, height);
    pen.clip();
    const left = this.x(data.from);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(data.pictures[sensor], left, top, this.x(data.to) - left, height);
    pen.restore();
    pen.fillStyle = ink.muted;
    pen.textAlign = "right";
    pen.textBaseline = "top";
    pen.fillText(`${(library.rate / 2).toFixed(0)} Hz`, MARGIN - 6, top);
  }

  paintSilence(pen, height) {
    const { runs, seconds } = library.recordings[this.recording];
    pen.fillStyle = ink.pale;
    const hide = (from, to) => {
      const [left, right] = [Math.max(MARGIN, this.x(from)), Math.min(MARGIN + this.width, this.x(to))];
      if (right > left) pen.fillRect(left, 0, right - left, height);
    };
    for (let place = 1; place < runs.length; place++) hide(runs[place - 1][0] + runs[place - 1][2], runs[place][0]);
    hide(Math.min(0, this.from) - 1, 0);
    hide(seconds, Math.max(seconds, this.to) + 1);
  }

  paintMarks(pen, top, height) {
    pen.fillStyle = ink.muted;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillText("you", MARGIN - 6, top + height / 2);
    this.paintBlock(pen, MARGIN, MARGIN + this.width, top, height, ink.paper, "");
    for (const [recording, from, to, number] of state?.marks || []) {
      if (recording !== this.recording || to < this.from || from > this.to) continue;
      const right = Math.max(this.x(to), this.x(from) + 2); // what was said is seen from afar
      this.paintBlock(pen, this.x(from), right, top, height, number < 0 ? ink.line : colour(number), number < 0 ? "?" : state.classes[number]);
    }
  }

  paintBlock(pen, left, right, top, height, fill, text) {
    left = Math.max(MARGIN, left);
    right = Math.min(MARGIN + this.width, right);
    if (right <= left) return;
    pen.fillStyle = fill;
    pen.fillRect(left, top, right - left, height);
    if (!text || right - left < 14 || pen.measureText(text).width > right - left - 8) return;
    pen.fillStyle = fill === ink.line ? ink.ink : readable(fill);
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(text, left + 5, top + height / 2 + 0.5);
  }

  paintPredictions(pen, top, height) {
    pen.fillStyle = ink.muted;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillText("model", MARGIN - 6, top + height / 2);
    this.paintBlock(pen, MARGIN, MARGIN + this.width, top, height, ink.paper, "");
    const told = predictions.get(this.recording);
    if (!told) return;
    const recording = library.recordings[this.recording];
    // The height of a bar is the confidence; neighbours of one class are one block with its name.
    let block = null;
    const flush = () => {
      if (!block) return;
      const tall = (height * block.sum) / block.count;
      this.paintBlock(pen, block.left, block.right, top + height - tall, tall, colour(block.code), tall > 13 ? state.classes[block.code] : "");
      block = null;
    };
    for (const [begin, , , first, count] of recording.runs) {
      const from = Math.max(0, Math.floor((this.from - begin) / recording.stride) - 1);
      const to = Math.min(count, Math.ceil((this.to - begin) / recording.stride) + 1);
      for (let place = from; place < to; place++) {
        const code = told.codes[first + place];
        const left = this.x(begin + place * recording.stride);
        const right = this.x(begin + (place + 1) * recording.stride) + 0.3;
        const sure = told.confidence[first + place] / 255;
        const close = block && block.code === code && left - block.right < 1;
        if (close && (right - left < 6 || Math.abs(block.sum / block.count - sure) < 0.12)) {
          block.right = right;
          block.sum += sure;
          block.count++;
        } else if (block && right - block.left < 1) {
          // Narrower than a pixel: the first of them stands for all.
          block.right = Math.max(block.right, right);
        } else {
          flush();
          block = { code, left, right, sum: sure, count: 1 };
        }
      }
      flush();
    }
  }

  paintTicks(pen, top, height) {
    const recording = library.recordings[this.recording];
    const wanted = ((this.to - this.from) / this.width) * 90;
    const step = STEPS.find((each) => each >= wanted) || STEPS.at(-1);
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    let free = MARGIN;
    for (const [begin, start, seconds] of recording.runs) {
      if (begin > this.to || begin + seconds < this.from) continue;
      const offset = recording.began === null ? 0 : recording.began % step;
      const first = Math.ceil((Math.max(start, start + this.from - begin) + offset) / step) * step - offset;
      const last = Math.min(start + seconds, start + this.to - begin);
      for (let clock = first; clock <= last; clock += step) {
        const place = this.x(clock - start + begin);
        if (place < free) continue;
        const text = spelled(recording, clock, step < 1);
        const half = pen.measureText(text).width / 2;
        if (place - half < free || place + half > MARGIN + this.width) continue;
        pen.fillStyle = ink.line;
        pen.fillRect(place, top + 1, 1, 4);
        pen.fillStyle = ink.muted;
        pen.fillText(text, place, top + 13);
        free = place + half + 16;
      }
    }
  }

  paintWindow(pen, height) {
    const target = question();
    const clip = (at) => Math.min(MARGIN + this.width, Math.max(MARGIN, this.x(at)));
    if (target && target.recording === this.recording) {
      const [left, right] = [clip(target.from), clip(target.to)];
      if (right > left || (this.x(target.from) >= MARGIN && this.x(target.from) <= MARGIN + this.width)) {
        if (!this.rows) {
          // In the enlargement what lies around steps back.
          pen.fillStyle = ink.pale;
          pen.globalAlpha = 0.62;
          pen.fillRect(MARGIN, 0, left - MARGIN, height);
          pen.fillRect(right, 0, MARGIN + this.width - right, height);
          pen.globalAlpha = 1;
        }
        pen.strokeStyle = ink.accent;
        pen.lineWidth = 2;
        pen.strokeRect(left - 1, 1, Math.max(3, right - left) + 2, height - 2);
      }
    }
    if (media && shown === this.recording) {
      const at = playhead();
      if (at !== null && at >= this.from && at <= this.to) {
        pen.fillStyle = ink.ink;
        pen.fillRect(this.x(at) - 0.75, 0, 1.5, height);
      }
    }
  }
}

function scaleOf(data, sensor, axes, columns, whole) {
  let [low, high] = [Infinity, -Infinity];
  for (let axis = 3 * sensor; axis < 3 * sensor + 3; axis++) {
    for (let column = 0; column < columns; column++) {
      const [least, most] = [data.trace[axis * columns + column], data.trace[(axes + axis) * columns + column]];
      if (least < low) low = least;
      if (most > high) high = most;
    }
  }
  // Rest is drawn as rest: noise does not fill the picture.
  if (!(high > low)) [low, high] = [-1, 1];
  const lack = 1 - (high - low);
  return lack > 0 && !whole ? [low - lack / 2, high + lack / 2] : [low, high];
}

const timeline = new View($("timeline"), true);
const detail = new View($("detail"), false);

// ---- what is asked

function question() {
  if (selection) return { recording: shown, from: selection[0], to: selection[1] };
  const current = state?.current;
  return current ? { recording: current.recording, from: current.at, to: current.at + library.seconds } : null;
}

function showDetail() {
  const target = question();
  if (!target) return detail.show(shown, 0, Math.min(30, library.recordings[shown].seconds));
  const around = Math.max(target.to - target.from, library.seconds) * (selection ? 0.5 : 1.5);
  detail.show(target.recording, target.from - around, target.to + around);
}

function showRecording(number, around = null) {
  shown = number;
  selection = null;
  $("recording").value = String(number);
  const { seconds } = library.recordings[number];
  const span = timeline.recording === number ? timeline.to - timeline.from : seconds;
  timeline.show(number, 0, seconds);
  if (around !== null && span < seconds) bring(around, span);
  loadPredictions();
  drawMap();
}

function bring(at, span) {
  const { seconds } = library.recordings[shown];
  const from = Math.max(0, Math.min(seconds - span, at - span / 2));
  timeline.show(shown, from, from + span);
}

async function loadPredictions() {
  if (!state?.learnt) return;
  const [number, version] = [shown, state.version];
  if (predictions.get(number)?.version === version) return;
  const bytes = await get(`predictions?recording=${number}`).catch(() => null);
  if (!bytes) return;
  const half = bytes.byteLength / 2;
  predictions.set(number, { version, codes: new Uint8Array(bytes, 0, half), confidence: new Uint8Array(bytes, half) });
  timeline.draw();
  drawMap();
}

function apply(found, stay = false) {
  const before = state;
  state = found;
  const moved = before?.current?.window !== found.current?.window;
  if (moved && found.current && !selection && !stay) {
    const { recording, at } = found.current;
    if (recording !== shown || !before) showRecording(recording, at);
    else if (at < timeline.from || at + library.seconds > timeline.to) bring(at, timeline.to - timeline.from);
    seek(at);
  }
  if (moved || !before) showDetail();
  showText();
  if (JSON.stringify(before?.classes) !== JSON.stringify(found.classes)) buildClasses();
  showClasses();
  loadPredictions();
  timeline.draw();
  detail.draw();
  drawMap();
}

function showText() {
  const target = question();
  $("asked").textContent = selection ? "What is this stretch?" : target ? "What is this?" : "Every window has an answer";
  $("where").textContent = target ? described(target) : "";
  $("answers").textContent = state.answers;
  $("undo").disabled = !state.undo;
  $("finish").disabled = state.finishing || state.counts.filter((count) => count).length < 2;
  $("finish").textContent = state.finishing ? "Fitting …" : "Finish";
  for (const id of ["unsure", "skip"]) { $(id).hidden = Boolean(selection); $(id).disabled = !target; }
  $("clear").hidden = $("cancel").hidden = !selection;
  const estimate = state.estimate;
  const number = (value) => value.toFixed(2).replace(/^0/, "");
  $("estimate").textContent = estimate ? number(estimate.f1) : "–";
  if (estimate) {
    const range = document.createElement("small");
    range.textContent = `${number(estimate.low)} to ${number(estimate.high)}`;
    $("estimate").append(range);
  }
  $("estimate-box").title = estimate
    ? `Of the windows labelled so far, each told by a classifier that has not seen its group (${estimate.groups} ${estimate.by}); 95 % of a bootstrap over these groups. Windows that are asked for are harder than most, so it is rather too low: a guide to when to stop, no result to report.`
    : "Not known before there are twelve labelled windows, of two people, recordings or stretches of time.";
  const progress = state.progress;
  $("progress").hidden = !progress;
  if (progress) {
    $("bar").style.width = `${(100 * progress[0]) / Math.max(1, progress[1])}%`;
    $("progress").title = `features of ${progress[0]} of ${progress[1]} windows`;
  }
  $("saved").textContent = progress
    ? `reading windows: ${Math.floor((100 * progress[0]) / progress[1])} %; proposals are spread over time until then`
    : `saved in ${library.labels}`;
  if (state.failure) tell(state.failure, true);
  else if (state.finish) tell(state.finish);
}

function described(target) {
  const recording = library.recordings[target.recording];
  const [from, to] = [toClock(recording, target.from), toClock(recording, target.to - 1e-3)];
  const tenths = target.to - target.from < 60;
  return `${recording.subject} · ${recording.name} · ${spelled(recording, from, tenths)} to ${spelled(recording, to + 1e-3, tenths)}`;
}

function buildClasses() {
  const buttons = state.classes.map((name, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = name;
    button.title = name;
    button.innerHTML = '<span class="swatch"></span><span class="title"></span><span class="count"></span><kbd></kbd><span class="guess"></span>';
    button.querySelector(".swatch").style.background = colour(number);
    button.querySelector(".guess").style.background = colour(number);
    button.querySelector(".title").textContent = name;
    button.querySelector("kbd").textContent = LETTERS[number] || "";
    button.querySelector("kbd").hidden = !LETTERS[number];
    button.addEventListener("click", () => answer(name));
    return button;
  });
  if (!buttons.length) {
    const hint = document.createElement("p");
    hint.textContent = "No classes yet: press n and name what you see.";
    buttons.push(hint);
  }
  $("classes").replaceChildren(...buttons);
}

function showClasses() {
  const guess = selection ? null : state.current?.guess;
  [...$("classes").querySelectorAll("button")].forEach((button, number) => {
    button.querySelector(".count").textContent = state.counts[number] || "";
    button.querySelector(".guess").style.width = `${100 * (guess?.[number] || 0)}%`;
    button.disabled = !question();
  });
}

// ---- what is answered

function answer(name) {
  if (selection) return label(name);
  if (state.current) return post("answer", { window: state.current.window, answer: "class", label: name });
}

function label(name) {
  const [from, to] = selection;
  select(null);
  return post("segment", { recording: shown, from, to, label: name });
}

const say = (said) => !selection && state.current && post("answer", { window: state.current.window, answer: said });
const undo = () => state.undo && post("undo", { revision: state.revision });

function select(stretch) {
  selection = stretch;
  showDetail();
  showText();
  showClasses();
  timeline.draw();
}

function nameClass() {
  $("name").value = "";
  $("naming").querySelector("p").textContent = selection ? "The selected stretch gets it." : state.current ? "The window in question gets it." : "";
  $("naming").showModal();
}

$("naming").querySelector("form").addEventListener("submit", async () => {
  const name = $("name").value.trim().replace(/\s+/g, " ");
  await post("class", { name });
  if (state.classes.includes(name)) await answer(name);
});
$("naming-cancel").addEventListener("click", () => $("naming").close());
$("new").addEventListener("click", nameClass);
$("unsure").addEventListener("click", () => say("unsure"));
$("skip").addEventListener("click", () => say("skip"));
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => label(null));
$("cancel").addEventListener("click", () => select(null));
$("finish").addEventListener("click", () => post("finish", {}));
$("recording").addEventListener("change", (event) => { showRecording(Number(event.target.value)); showDetail(); showText(); showClasses(); });

document.addEventListener("keydown", (event) => {
  if (!state || $("naming").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const place = LETTERS.indexOf(key);
  const moves = { ArrowLeft: [-0.25, 1], ArrowRight: [0.25, 1], "+": [0, 0.5], "-": [0, 2], "0": [0, Infinity] };
  const does = {
    u: undo, s: () => say("skip"), "?": () => say("unsure"), n: nameClass,
    Escape: () => selection && select(null),
    Delete: () => selection && label(null), Backspace: () => selection && label(null),
    " ": () => media && event.target.tagName !== "BUTTON" && (media.paused ? media.play() : media.pause()),
  };
  if (moves[key]) move(...moves[key]);
  else if (event.repeat) return; // a key that is held down is one answer
  else if (does[key]) { if (does[key]() === false) return; if (key === " " && (!media || event.target.tagName === "BUTTON")) return; }
  else if (place >= 0 && place < state.classes.length) answer(state.classes[place]);
  else return;
  event.preventDefault();
});

// ---- moving over the timeline

function move(shift, factor, around = (timeline.from + timeline.to) / 2) {
  const { seconds } = library.recordings[shown];
  const before = timeline.to - timeline.from;
  const span = Math.min(seconds, Math.max(Math.min(CLOSEST, seconds), before * factor));
  let from = around - (around - timeline.from) * (span / before) + shift * span;
  if (span === seconds) from = 0;
  from = Math.max(0, Math.min(seconds - span, from));
  timeline.show(shown, from, from + span);
  drawMap();
}

$("timeline").addEventListener("wheel", (event) => {
  event.preventDefault();
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) move(sideways / 1000, 1);
  else move(0, Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 150), timeline.at(event.offsetX));
}, { passive: false });
$("timeline").addEventListener("dblclick", () => { select(null); move(0, Infinity); });

let grip = null; // where on the timeline the mouse was pressed
$("timeline").addEventListener("pointerdown", (event) => {
  if (event.button) return;
  grip = { x: event.offsetX, at: inside(timeline.at(event.offsetX)) };
  $("timeline").setPointerCapture(event.pointerId);
});
$("timeline").addEventListener("pointermove", (event) => {
  hover(event);
  if (!grip || Math.abs(event.offsetX - grip.x) < 4) return;
  const other = inside(timeline.at(event.offsetX));
  grip.dragged = true;
  selection = [Math.min(grip.at, other), Math.max(grip.at, other)];
  timeline.draw();
});
$("timeline").addEventListener("pointerup", (event) => {
  if (!grip) return;
  const { at, dragged } = grip;
  grip = null;
  if (dragged && selection[1] > selection[0]) return select(selection);
  if (selection) select(null);
  seek(at);
});
const inside = (at) => Math.max(0, Math.min(library.recordings[shown].seconds, at));

function hover(event) {
  const at = timeline.at(event.offsetX);
  const told = predictions.get(shown);
  let text = "";
  if (told && event.offsetX > MARGIN) {
    const recording = library.recordings[shown];
    const [begin, , seconds, first, count] = runAt(recording, at);
    const place = first + Math.min(count - 1, Math.floor((at - begin) / recording.stride));
    if (at < begin + seconds) text = `${state.classes[told.codes[place]]}, ${Math.round(told.confidence[place] / 2.55)} %`;
  }
  if ($("timeline").title !== text) $("timeline").title = text;
}

function drawMap() {
  const canvas = $("map");
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const { seconds, runs } = library.recordings[shown];
  const x = (at) => MARGIN + (at / seconds) * (width - MARGIN);
  pen.fillStyle = ink.line;
  for (const [at, , length] of runs) pen.fillRect(x(at), height / 2 - 1, x(at + length) - x(at), 2);
  for (const [recording, from, to, number] of state?.marks || []) {
    if (recording !== shown) continue;
    pen.fillStyle = number < 0 ? ink.muted : colour(number);
    pen.fillRect(x(from), 5, Math.max(3, x(to) - x(from)), height - 10);
  }
  pen.strokeStyle = ink.accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(x(timeline.from) + 0.75, 1, Math.max(4, x(timeline.to) - x(timeline.from)) - 1.5, height - 2);
}

let held = false;
const glide = (event) => {
  const at = ((event.offsetX - MARGIN) / ($("map").clientWidth - MARGIN)) * library.recordings[shown].seconds;
  bring(at, timeline.to - timeline.from);
  drawMap();
};
$("map").addEventListener("pointerdown", (event) => { held = true; $("map").setPointerCapture(event.pointerId); glide(event); });
$("map").addEventListener("pointermove", (event) => held && glide(event));
$("map").addEventListener("pointerup", () => { held = false; });

// ---- a video or sound beside the recording

let media = null;

function playhead() {
  return media && fromClock(library.recordings[shown], media.currentTime + library.media.offset);
}

function seek(at) {
  if (media) media.currentTime = Math.max(0, toClock(library.recordings[shown], at) - library.media.offset);
}

function openMedia() {
  if (!library.media) return;
  media = document.createElement(library.media.kind);
  media.controls = true;
  media.preload = "auto";
  media.src = "media";
  $("media").append(media);
  $("media").hidden = false;
  $("hint").textContent += " · space plays";
  const follow = () => {
    timeline.draw();
    detail.draw();
    if (!media.paused) requestAnimationFrame(follow);
  };
  for (const what of ["play", "seeked", "timeupdate"]) media.addEventListener(what, follow);
}

// ---- the beginning

async function begin() {
  readInk();
  library = await get("library");
  $("source").textContent = library.name;
  document.title = `${library.name} · img2imu label`;
  library.recordings.forEach((recording, number) => {
    const option = document.createElement("option");
    option.value = number;
    option.textContent = `${recording.subject} · ${recording.name}`;
    $("recording").append(option);
  });
  openMedia();
  await refresh(true);
  if (!state.current) showRecording(0);
  setTimeout(poll, POLL);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readInk(); timeline.draw(); detail.draw(); drawMap(); });
addEventListener("resize", () => library && drawMap());
begin().catch((error) => tell(error.message, true));
