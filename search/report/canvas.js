// What the figures on canvas share: their data, colours, axes, legends and hints.
// Everything comes from the JSON in #data; text is only ever set with textContent or drawn.
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const PRINTED = 660; // pixels that fit on paper

const element = (name, text, look) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (look) made.className = look;
  return made;
};
const columnOf = (name) => data.trials.head.indexOf(name);
const ofColumns = (axes) => axes.map((axis) => ({ ...axis, column: columnOf(axis.name) }));
const complete = () => {
  const [phase, state, value] = ["phase", "state", "value"].map(columnOf);
  return data.trials.rows.filter((row) => row[phase] === "search" && row[state] === "complete" && row[value] !== null);
};

// Colours are named var(--…), since the scheme may change while the page is open.
const inkNow = () => {
  const style = getComputedStyle(root);
  return (name) => {
    const found = /^var\((--[\w-]+)\)$/.exec(name);
    return style.getPropertyValue(found ? found[1] : name).trim();
  };
};

// A canvas over the whole width of an element, sharp on any screen; drawing is in CSS pixels.
const canvasIn = (host, height, least = 0) => {
  const width = root.classList.contains("printed") ? PRINTED : Math.max(host.clientWidth, least);
  const canvas = element("canvas");
  const sharp = Math.max(2, devicePixelRatio || 1);
  canvas.width = width * sharp;
  canvas.height = height * sharp;
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  pen.font = "12px " + getComputedStyle(document.body).fontFamily;
  host.append(canvas);
  return { canvas, pen, width, height };
};

const written = (value) => {
  if (typeof value !== "number") return value;
  if (Number.isInteger(value) && Math.abs(value) >= 1000) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  return String(Number(value.toPrecision(4)));
};

// Where a cell of a row lies on an axis: from 0 to 1, or null.
const placing = (axis) => {
  if (axis.kind === "options") {
    const places = new Map(axis.options.map((option, at) => [option, (at + 0.5) / axis.options.length]));
    return (value) => places.get(value) ?? null;
  }
  const to = axis.kind === "log" ? Math.log : (value) => value;
  const low = to(axis.low);
  const width = to(axis.high) - low || 1;
  return (value) => (value === null ? null : (to(value) - low) / width);
};

// [place, text] of an axis, no more than `most`.
const ticksOf = (axis, most) => {
  if (axis.kind === "options") {
    const every = Math.ceil(axis.options.length / Math.max(1, most * 2));
    return axis.options.map((option, at) => [(at + 0.5) / axis.options.length, written(option)])
      .filter((_, at) => at % every === 0);
  }
  const place = placing(axis);
  const inside = (values) => values.filter((value) => value >= axis.low * (1 - 1e-9) && value <= axis.high * (1 + 1e-9));
  let values = [];
  if (axis.kind === "log") {
    const powers = [];
    for (let power = Math.floor(Math.log10(axis.low)); power <= Math.log10(axis.high); power++) powers.push(power);
    values = inside(powers.map((power) => 10 ** power));
    if (values.length < 3) values = inside(powers.flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power)));
    const every = Math.ceil(values.length / most);
    values = values.filter((_, at) => at % every === 0);
  } else {
    const rough = (axis.high - axis.low) / most || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough * 0.999);
    for (let at = Math.ceil(axis.low / step - 1e-9); at * step <= axis.high + step * 1e-9; at++) values.push(at * step);
  }
  return values.map((value) => [place(value), written(Number(value.toPrecision(10)))]);
};

// Boxes that show and hide arms. hidden: a set of names, which they change.
const legend = (arms, hidden, changed) => {
  const box = element("div", undefined, "legend");
  for (const arm of arms) {
    const label = element("label");
    const tick = element("input");
    tick.type = "checkbox";
    tick.checked = !hidden.has(arm.name);
    tick.onchange = () => {
      if (tick.checked) hidden.delete(arm.name);
      else hidden.add(arm.name);
      changed();
    };
    const name = element("span", arm.name, "arm");
    name.style.setProperty("--c", arm.colour);
    label.append(tick, name);
    box.append(label);
  }
  return box;
};

// Shows what `found` says of the place that is pointed at, while it says anything.
const hints = (canvas, found) => {
  const hint = element("div", "", "hint");
  hint.hidden = true;
  canvas.parentElement.append(hint);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const host = canvas.parentElement.getBoundingClientRect();
    const text = found(event.clientX - box.x, event.clientY - box.y);
    hint.hidden = !text;
    if (!text) return;
    hint.textContent = text;
    const left = event.clientX - host.x + canvas.parentElement.scrollLeft;
    hint.style.left = (left > host.width / 2 ? left - hint.offsetWidth - 12 : left + 12) + "px";
    hint.style.top = event.clientY - host.y + 12 + "px";
  });
  canvas.addEventListener("pointerleave", () => { hint.hidden = true; });
};

const nearest = (marks, x, y, reach = 9) => {
  let best = null;
  let least = reach ** 2;
  for (const mark of marks) {
    const away = (mark.x - x) ** 2 + (mark.y - y) ** 2;
    if (away < least) [best, least] = [mark, away];
  }
  return best;
};
const called = (row) => `${row[columnOf("arm")]}, trial ${row[columnOf("trial")]}`;

// Dots are alike wherever they lie: a number between -0.5 and 0.5 for each trial.
const jitter = (number) => ((number * 0.6180339887) % 1) - 0.5;
