// Samples at any irregular rate to the model's windows: docs/streaming.md, step by step.

export class WindowStream {
  // axes: values in a sample; rate: nominal, of the samples; target: the model's rate, both in Hz.
  constructor(axes, rate, target, samples, stride) {
    Object.assign(this, { axes, rate, target, samples, stride });
    [this.up, this.down] = fraction(target / rate);
    this.gridRate = (target * this.down) / this.up;
    this.maxGap = Math.max(0.5, 5 / rate);
    this.taps = lowPass(Math.max(this.up, this.down));
    this.reach = this.up === this.down ? 0 : this.taps.length - 1;
    this.origin = this.last = NaN;
    this.grid = [];
  }

  // One sample, at a time in seconds; gives the windows {start, values} that it completes.
  push(time, values) {
    if (![time, ...values].every(Number.isFinite)) return [];
    const windows = [];
    if (!(Math.abs(time - this.last) <= this.maxGap)) {
      windows.push(...this.finish());
      this.begin(time, values);
    } else if (time <= this.last) return [];
    this.last = time;
    let place = (time - this.opening) * this.gridRate;
    if (Math.abs(place - Math.round(place)) < 0.1) place = Math.round(place);
    for (; this.counted <= place; this.counted++) {
      const share = (place - this.counted) / (place - this.place);
      this.grid.push(values.map((value, axis) => value - share * (value - this.before[axis])));
    }
    [this.place, this.before] = [place, values];
    return [...windows, ...this.advance(false)];
  }

  // The end of a recording, or of what came before a gap.
  finish() {
    const windows = this.grid.length ? this.advance(true) : [];
    this.last = NaN;
    this.grid = [];
    return windows;
  }

  begin(time, values) {
    if (Number.isNaN(this.origin)) this.origin = time;
    this.opening = time;
    [this.place, this.before] = [-1, values];
    // Of the segment's grid points and outputs, how many there were; the arrays hold the last ones.
    [this.grid, this.counted, this.outputs, this.given] = [[], 0, [], 0];
  }

  advance(ended) {
    const { up, down, reach } = this;
    const windows = [];
    for (;;) {
      const at = this.given * down;
      const known = ended ? at < this.counted * up : Math.floor((at + reach) / up) < this.counted;
      if (!known) return windows;
      const oldest = this.counted - this.grid.length;
      this.grid.splice(0, Math.max(0, Math.ceil((at - reach) / up) - oldest));
      this.outputs.push(this.output(at));
      this.given++;
      if (this.outputs.length > this.samples) this.outputs.shift();
      const first = this.given - this.samples;
      if (first >= 0 && first % this.stride === 0) {
        const start = this.opening - this.origin + first / this.target;
        windows.push({ start, values: this.window() });
      }
    }
  }

  output(at) {
    const { up, reach, taps, grid } = this;
    const oldest = this.counted - grid.length;
    const sums = new Array(this.axes).fill(0);
    let total = 0;
    for (let k = Math.ceil((at - reach) / up); k <= Math.floor((at + reach) / up); k++) {
      const tap = taps[Math.abs(at - k * up)];
      const values = grid[Math.min(Math.max(k - oldest, 0), grid.length - 1)];
      for (let axis = 0; axis < this.axes; axis++) sums[axis] += tap * values[axis];
      total += tap;
    }
    return sums.map((sum) => sum / total);
  }

  // As the network takes it: axis by axis.
  window() {
    const values = new Float32Array(this.axes * this.samples);
    this.outputs.forEach((output, at) =>
      output.forEach((value, axis) => (values[axis * this.samples + at] = value)));
    return values;
  }
}

// The nearest fraction of integers up to 1000.
function fraction(value) {
  let best = [1, 1], gap = Infinity;
  for (let down = 1; down <= 1000; down++) {
    const up = Math.min(Math.max(Math.round(value * down), 1), 1000);
    const found = Math.abs(value - up / down);
    if (found < gap - 1e-12) [best, gap] = [[up, down], found];
  }
  return best;
}

// Half of a symmetric low-pass: a sinc under Kaiser's window.
function lowPass(slow) {
  if (slow === 1) return [1];
  return Array.from({ length: 10 * slow + 1 }, (_, j) => {
    const angle = (Math.PI * j) / slow;
    return (j ? Math.sin(angle) / angle : 1) * bessel(5 * Math.sqrt(1 - (j / (10 * slow)) ** 2));
  });
}

function bessel(z) {
  let term = 1, sum = 1;
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (z / 2 / n) ** 2;
  return sum;
}
