// A browser's motion events in the units and signs of the recordings.

const STANDARD_GRAVITY = 9.80665;

// Recordings are as Android has them: at rest, the axis that points up reads +1 g. Safari gives the
// opposite sign, and so does every browser on iOS, which is Safari underneath.
export const IOS = /iP(hone|ad|od)/.test(navigator.userAgent) ||
  (/Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);

const READ = {
  accel: (event, ios) => {
    const { x, y, z } = event.accelerationIncludingGravity ?? {};
    return scaled([x, y, z], (ios ? -1 : 1) / STANDARD_GRAVITY);
  },
  // Degrees a second about x, y and z: what all browsers mean by these names.
  gyro: (event) => {
    const { alpha, beta, gamma } = event.rotationRate ?? {};
    return scaled([alpha, beta, gamma], Math.PI / 180);
  },
};

const scaled = (values, factor) =>
  values.map((value) => (typeof value === "number" ? value * factor : NaN));

// What the model asks for and a phone's browser has not; empty if it has everything.
export const missing = (sensors) => sensors.filter(({ name }, at) => {
  const kind = kindOf(name);
  return !READ[kind] || sensors.findIndex((other) => kindOf(other.name) === kind) < at;
});

const kindOf = (name) => name.split(".").pop();

// Acceleration in g and rotation in rad/s, in the model's order; NaN where the phone says nothing.
export const reading = (event, sensors, ios) =>
  sensors.flatMap(({ name }) => READ[kindOf(name)](event, ios));

// Why there is nothing to listen to; null once events may come. iOS wants to be asked by a tap.
export async function refusal() {
  if (!isSecureContext)
    return "Browsers give motion sensors to secure pages only: open this page by https, or by " +
      "localhost.";
  if (typeof DeviceMotionEvent === "undefined") return "This browser has no motion events.";
  if (typeof DeviceMotionEvent.requestPermission !== "function") return null;
  const answer = await DeviceMotionEvent.requestPermission().catch(() => "denied");
  return answer === "granted" ? null : "The browser was not allowed to read the motion sensors.";
}

// Hz, by the median step of event times in milliseconds.
export function nominalRate(times) {
  const steps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
  return Math.max(1, Math.round(1000 / steps[steps.length >> 1]));
}
