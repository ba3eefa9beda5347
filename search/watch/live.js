// The live page. All it shows comes as JSON over server-sent events and is set as text alone.
const find = (selector) => document.querySelector(selector);
const items = new Map();
const withPrefix = (prefix) => [...items].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
const armPlace = (name) => (items.get("head")?.arms ?? []).indexOf(name);
const COLOURS = 7;
const colourOf = (place) => `var(--arm-${Math.max(0, place) % COLOURS})`;
const show = (host, text) => {
  host.hidden = !text;
  if (text) host.textContent = text;
};
const long = (seconds) => {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};
const shown = (value) => (value === null || value === undefined ? "–"
  : value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1000) ? value.toFixed(4) : value.toPrecision(4));

// Tables: a row is a list of cells; a cell is a text or an element.
const table = (host, head, rows, looks = []) => {
  const line = (cells, kind) => {
    const made = element("tr");
    cells.forEach((cell, at) => {
      const one = element(kind, undefined, looks[at] || "");
      if (kind === "th") one.scope = "col";
      one.append(cell ?? "–");
      made.append(one);
    });
    return made;
  };
  host.tHead.replaceChildren(line(head, "th"));
  host.tBodies[0].replaceChildren(...rows.map((cells) => line(cells, "td")));
};
const armName = (name) => {
  const made = element("span", name, "arm");
  made.style.setProperty("--c", colourOf(armPlace(name)));
  return made;
};

// Head, banner, verdict
const PHASES = { search: "searching", confirm: "confirming with fresh seeds", report: "measuring and writing the report", done: "finished" };
const drawHead = () => {
  const head = items.get("head");
  const reading = items.get("reading");
  if (!head) {
    find("#title").textContent = reading === undefined ? "Waiting …" : "The job has not begun its first trial yet";
    return;
  }
  const title = `${head.job}: ${head.arms.length > 1 ? head.arms.slice(0, -1).join(", ") + " and " : ""}${head.arms.at(-1)} on ${head.task}`;
  find("#title").textContent = title;
  document.title = `${head.job}: ${PHASES[head.phase] ?? head.phase}`;
  find("#phase").textContent = head.driven || head.finished ? PHASES[head.phase] ?? head.phase
    : `interrupted while ${PHASES[head.phase] ?? head.phase}`;
  const left = items.get("standing")?.seconds_left ?? null;
  find("#left").textContent = head.finished ? "" : left !== null ? `about ${long(left)} left` : "time left not known yet";
  const report = items.get("report");
  const final = head.finished && report?.phase === "done";
  const banner = find("#provisional");
  banner.hidden = final;
  banner.lastElementChild.textContent = reading !== null && reading !== undefined
    ? `The journal is being read: ${Math.round(100 * reading)} % of it is in what follows.`
    : !head.driven && !head.finished ? `The job does not run. Nothing is lost: ${head.resume} goes on where it was.`
    : head.finished ? "The job has ended; its report is being made."
    : "The job goes on, and all that stands here may change with it.";
  const verdict = find("#verdict");
  show(verdict, report?.sentence);
  verdict.classList.toggle("provisional", !final);
  show(find("#problem"), items.get("problem"));
  const full = items.get("standing")?.storage?.full;
  const waits = [...(items.get("waits") ?? []), ...(full ? [full] : [])];
  find("#waits").hidden = !waits.length;
  find("#waits ul").replaceChildren(...waits.map((text) => element("li", text)));
  find("#stop").disabled = !head.driven || head.finished;
  find("#resume").disabled = head.driven || head.finished;
};

// Arms
const STATES = ["running", "paused", "complete", "pruned", "diverged", "failed"];
const drawArms = () => {
  const standing = items.get("standing");
  if (!standing) return;
  const used = STATES.filter((state) => ["running", "complete"].includes(state) || standing.arms.some((arm) => arm.states[state]));
  const confirmed = standing.phase !== "search" && standing.arms.some((arm) => arm.replicates);
  const head = ["arm", `best ${standing.metric}`, `spent of its budget in ${standing.arms[0]?.unit}`, ...used];
  const rows = standing.arms.map((arm) => {
    const spent = element("span", `${written(Number(arm.spent.toPrecision(4)))} of ${written(arm.budget)}`);
    const bar = element("progress");
    bar.max = arm.budget || 1;
    bar.value = arm.spent;
    bar.style.setProperty("--c", colourOf(armPlace(arm.arm)));
    spent.append(bar);
    const row = [armName(arm.arm), shown(arm.best), spent, ...used.map((state) => written(arm.states[state]))];
    if (confirmed) row.push(`${arm.confirmed} of ${arm.replicates}`);
    return row;
  });
  const looks = ["", "number", "spent", ...used.map(() => "number"), "number"];
  table(find("#arms table"), confirmed ? [...head, "confirmed"] : head, rows, looks);
};

// Trials
const told = (trial) => {
  const phase = trial.phase === "confirm" ? "replicate" : trial.control ? "control trial" : "trial";
  return `${phase} ${trial.number}`;
};
const drawSlots = () => {
  const about = items.get("slots");
  find("#slots").hidden = Boolean(items.get("head")?.finished);
  const slots = withPrefix("slot/").map(([, slot]) => slot);
  const more = about && about.held > about.shown ? ` ${about.held - about.shown} more are not shown.` : "";
  const could = about?.could_begin ? ` ${written(about.could_begin)} more trials could begin, were there more workers.` : "";
  find("#slots-note").textContent = !about ? "" : !slots.length ? "No worker has a trial in hand." : about.told
    ? `Each line is a worker.${could}${more}`
    : `The driver cannot be heard from here: each line is a running trial.${more}`;
  const rows = slots.flatMap((slot, number) => {
    if (!slot.trials.length) return [[String(number + 1), "", "", "waits for its next trial", "", "", ""]];
    return slot.trials.map((trial, at) => {
      const last = at === slot.trials.length - 1 && slot.more ? ` and ${slot.more} more` : "";
      const bar = element("progress");
      bar.max = trial.epochs;
      bar.value = trial.epoch;
      bar.style.setProperty("--c", colourOf(armPlace(trial.arm)));
      const epoch = element("span", `${trial.epoch} of ${trial.epochs}`);
      epoch.append(bar);
      const heard = trial.heard ? Math.max(0, Date.now() - trial.heard) / 1000 : null;
      return [at ? "" : String(number + 1), armName(trial.arm), told(trial) + last, trial.settings, epoch,
        trial.value === null ? "–" : shown(trial.value), heard === null ? "no report yet" : `${long(heard)} ago`];
    });
  });
  table(find("#slots table"), ["", "arm", "trial", "settings", "epoch", "value so far", "last heard"], rows,
    ["", "", "", "wide", "", "number", "number"]);
};
const drawLatest = () => {
  const latest = items.get("latest") ?? [];
  find("#latest").hidden = !latest.length;
  const rows = latest.map((trial) => [
    armName(trial.arm), told(trial), trial.state + (trial.reason ? `: ${trial.reason.slice(0, 200)}` : ""), trial.settings,
    String(trial.epoch), trial.value === null ? "–" : shown(trial.value), `${trial.seconds} s`,
  ]);
  table(find("#latest table"), ["arm", "trial", "state", "settings", "epochs", "best value", "took"], rows,
    ["", "", "reason", "wide", "number", "number", "number"]);
};

// Figures
const span = (values, around = 0.04) => {
  const sorted = values.filter((value) => value !== null && Number.isFinite(value)).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const far = 3 * (at(0.9) - at(0.1)); // what lies further out would flatten all the rest
  const low = Math.max(sorted[0], at(0.1) - far);
  const high = Math.min(sorted.at(-1), at(0.9) + far);
  const more = around * (high - low || Math.abs(high) || 1);
  return { kind: "linear", low: low - more, high: high + more };
};
const hidden = new Set();
const framed = (host, across, up, titles) => {
  host.replaceChildren();
  const head = items.get("head");
  host.append(legend(head.arms.map((name, place) => ({ name, colour: colourOf(place) })), hidden, () => mark("best", "curve")));
  const area = element("div", undefined, "area");
  host.append(area);
  const { canvas, pen, width, height } = canvasIn(area, 300);
  const ink = inkNow();
  const box = { left: 56, right: width - 8, top: 8, bottom: height - 40 };
  const [x, y] = [placing(across), placing(up)];
  const toX = (value) => box.left + x(value) * (box.right - box.left);
  const toY = (value) => box.bottom - y(value) * (box.bottom - box.top);
  pen.lineWidth = 1;
  pen.fillStyle = ink("--muted");
  pen.strokeStyle = ink("--grid");
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const [place, text] of ticksOf(up, 5)) {
    const at = box.bottom - place * (box.bottom - box.top);
    pen.beginPath(); pen.moveTo(box.left, at); pen.lineTo(box.right, at); pen.stroke();
    pen.fillText(text, box.left - 6, at);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const [place, text] of ticksOf(across, width < 500 ? 5 : 8)) {
    if (text.includes(".")) continue;
    pen.fillText(text, box.left + place * (box.right - box.left), box.bottom + 6);
  }
  pen.fillText(titles[0], (box.left + box.right) / 2, box.bottom + 22);
  pen.save();
  pen.beginPath(); pen.rect(box.left - 4, box.top - 4, box.right - box.left + 8, box.bottom - box.top + 8); pen.clip();
  return { canvas, pen, ink, toX, toY, close: () => pen.restore() };
};
const line = ({ pen, toX, toY }, xs, ys) => {
  pen.beginPath();
  xs.forEach((x, at) => (at ? pen.lineTo(toX(x), toY(ys[at])) : pen.moveTo(toX(x), toY(ys[at]))));
  pen.stroke();
};
const nothing = (host, text) => host.replaceChildren(element("p", text, "caption"));

const drawBest = () => {
  const host = find("#plot-best");
  const head = items.get("head");
  const all = withPrefix("best/").map(([name, best]) => ({ ...best, place: Number(name.slice(5)) })).filter((best) => best.x.length);
  if (!head || !all.length) return nothing(host, "No trial is complete yet.");
  const lines = all.filter(({ place }) => !hidden.has(head.arms[place]));
  const up = span((lines.length ? lines : all).flatMap(({ y, low, high }) => [...y, ...low, ...high]));
  const across = { kind: "linear", low: 1, high: Math.max(2, ...all.map(({ x }) => x.at(-1))) };
  const drawing = framed(host, across, up, ["complete trials"]);
  const { pen, ink, toX, toY } = drawing;
  const marks = [];
  for (const best of lines) {
    pen.strokeStyle = pen.fillStyle = ink(colourOf(best.place));
    const from = best.low.findIndex((value) => value !== null);
    if (from >= 0) {
      const xs = best.x.slice(from);
      const edge = [...xs.map((x, at) => [x, best.low[from + at]]), ...xs.map((x, at) => [x, best.high[from + at]]).reverse()];
      pen.globalAlpha = 0.13;
      pen.beginPath();
      edge.forEach(([x, y], at) => (at ? pen.lineTo(toX(x), toY(y)) : pen.moveTo(toX(x), toY(y))));
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.lineWidth = 2.5;
    const steps = best.x.flatMap((x, at) => (at ? [[x, best.y[at - 1]], [x, best.y[at]]] : [[x, best.y[at]]]));
    line(drawing, steps.map(([x]) => x), steps.map(([, y]) => y));
    pen.beginPath(); pen.arc(toX(best.x.at(-1)), toY(best.y.at(-1)), 4, 0, 7); pen.fill();
    best.x.forEach((x, at) => marks.push({ x: toX(x), y: toY(best.y[at]), text: `${head.arms[best.place]}: ${shown(best.y[at])}, the best of ${x}` }));
  }
  drawing.close();
  hints(drawing.canvas, (x, y) => nearest(marks, x, y, 16)?.text);
};

const drawCurves = () => {
  const host = find("#plot-curves");
  const head = items.get("head");
  const everything = withPrefix("curve/").map(([name, curve]) => ({ ...curve, key: name.slice(6) }));
  if (!head || !everything.length) return nothing(host, "No epoch has been reported yet.");
  find("#drawn").textContent = `${written(everything.length)} curves of ${written(head.trials)} trials and replicates are drawn.`;
  const all = everything.filter((curve) => !hidden.has(head.arms[curve.arm]));
  const strong = new Set(withPrefix("best/").map(([, best]) => best.trial));
  const xs = (curve) => curve.x ?? curve.y.map((_, at) => at + 1);
  const longest = Math.max(2, ...everything.map((curve) => xs(curve).at(-1)));
  const drawing = framed(host, { kind: "linear", low: 1, high: longest },
    span((all.length ? all : everything).flatMap((curve) => curve.y)), ["epoch"]);
  const { pen, ink, toX, toY } = drawing;
  const marks = [];
  const weight = (curve) => (strong.has(curve.key) ? 2 : curve.state === "running" ? 1 : 0);
  for (const curve of all.sort((a, b) => weight(a) - weight(b))) {
    const heavy = weight(curve);
    pen.strokeStyle = pen.fillStyle = ink(colourOf(curve.arm));
    pen.globalAlpha = [0.3, 0.9, 1][heavy];
    pen.lineWidth = [1, 1.5, 3][heavy];
    const x = xs(curve);
    line(drawing, x, curve.y);
    const [endX, endY] = [toX(x.at(-1)), toY(curve.y.at(-1))];
    if (curve.state === "running") { pen.beginPath(); pen.arc(endX, endY, 3.5, 0, 7); pen.fill(); }
    if (curve.state === "pruned") {
      pen.lineWidth = 1.2;
      for (const sign of [1, -1]) { pen.beginPath(); pen.moveTo(endX - 3, endY - 3 * sign); pen.lineTo(endX + 3, endY + 3 * sign); pen.stroke(); }
    }
    const text = `${head.arms[curve.arm]}, trial ${curve.number} (${curve.state}), epoch ${x.at(-1)}: ${shown(curve.y.at(-1))}`;
    marks.push({ x: endX, y: endY, text });
  }
  pen.globalAlpha = 1;
  drawing.close();
  hints(drawing.canvas, (x, y) => nearest(marks, x, y, 12)?.text);
};

// The report: in a frame, which another one takes the place of once that is drawn. One that its
// reader has touched stays until they ask for the latest.
let frame = null;
let framedAt = 0;
let framedOf = null;
let wanted = false;
let touched = false;
const loadReport = () => {
  const report = items.get("report");
  if (!wanted || !report?.made || report.made === framedAt) return;
  framedAt = report.made;
  framedOf = items.get("head")?.job_id;
  const next = element("iframe", undefined, frame ? "waiting" : "");
  next.title = "The report, as far as it is known";
  next.onload = () => {
    const inside = next.contentDocument;
    if (!inside?.getElementById("summary")) { // it could not be had: the next change has it loaded again
      next.remove();
      framedAt = 0;
      return;
    }
    inside.querySelector("header").hidden = true;
    const fit = () => { next.style.height = Math.ceil(inside.documentElement.getBoundingClientRect().height) + 4 + "px"; };
    new ResizeObserver(fit).observe(inside.documentElement);
    fit();
    for (const kind of ["pointerdown", "keydown"]) inside.addEventListener(kind, () => { touched = true; });
    frame?.remove();
    frame = next;
    frame.classList.remove("waiting");
    touched = false;
  };
  next.src = `/report?made=${report.made}`;
  find("#frames").append(next);
};
const drawReport = () => {
  const report = items.get("report");
  const job = items.get("head")?.job_id;
  if (framedAt && job && job !== framedOf) { // another job has taken the place of the one before
    find("#frames").replaceChildren();
    find("#report-note").textContent = "It is made once a trial has begun.";
    find("#later").hidden = true;
    frame = null;
    framedAt = 0;
    touched = false;
  }
  if (!report) return;
  if (report.error) { find("#report-note").textContent = `It cannot be made now: ${report.error}`; return; }
  const when = new Date(report.made).toLocaleTimeString();
  find("#report-note").textContent = `Made at ${when}, when ${written(report.trials)} trials and replicates had ended.`;
  const later = report.made !== framedAt;
  find("#later").hidden = !(later && touched);
  if (later && !touched) loadReport();
};
find("#later").onclick = () => { loadReport(); find("#later").hidden = true; };
new IntersectionObserver((entries) => {
  if (!entries.some((entry) => entry.isIntersecting)) return;
  wanted = true;
  drawReport();
}, { rootMargin: "400px" }).observe(find("#report"));

// What has changed is drawn once a frame, and figures four times a second at most.
const parts = {
  head: drawHead, standing: drawArms, slot: drawSlots, latest: drawLatest, best: drawBest, curve: drawCurves, report: drawReport,
};
const dirty = new Set();
let drawing = false;
const mark = (...names) => {
  names.forEach((name) => dirty.add(name));
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const now = [...dirty];
    dirty.clear();
    now.forEach((name) => parts[name]());
  });
};
const partsOf = (name) => {
  const first = name.split("/")[0];
  if (first === "head") return Object.keys(parts);
  if (first === "standing") return ["head", "standing"];
  if (first === "report") return ["head", "report"];
  if (first === "slots") return ["slot"];
  return first in parts ? [first] : ["head"];
};
const take = ({ all, set, gone }) => {
  if (all) items.clear();
  for (const name of gone) items.delete(name);
  for (const [name, value] of Object.entries(set)) items.set(name, value);
  mark(...[...Object.keys(set), ...gone].flatMap(partsOf));
  if (all) mark(...Object.keys(parts));
};
const connection = find("#connection");
const said = (text, look) => { connection.textContent = text; connection.className = look; };
const follow = () => {
  const source = new EventSource("/events");
  source.onopen = () => said("live", "live");
  source.onmessage = (event) => { said("live", "live"); take(JSON.parse(event.data)); };
  source.onerror = () => {
    said("connection lost; trying again …", "lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  };
};
follow();
setInterval(() => mark("slot"), 1000);
const again = () => mark("best", "curve");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("resize", again);

// Stop and resume: with the token, which comes behind the # of the address and is never sent in one.
const given = /^#token=(.+)$/.exec(location.hash);
if (given) {
  sessionStorage.setItem("gatesearch-token", given[1]);
  history.replaceState(null, "", location.pathname);
}
const token = sessionStorage.getItem("gatesearch-token");
find("#act").hidden = !token;
const act = async (path, question) => {
  if (!confirm(question)) return;
  const headers = { Authorization: "Bearer " + token };
  const answer = await fetch(path, { method: "POST", headers }).catch(() => null);
  const text = !answer ? "The page’s server cannot be reached." : answer.status === 401 ? "That is not the token."
    : answer.headers.get("Content-Type").startsWith("application/json") ? (await answer.json()).text : await answer.text();
  find("#acted").textContent = text;
};
find("#stop").onclick = () => act("/stop", "Stop the job? It can be resumed.");
find("#resume").onclick = () => act("/resume", "Resume the job?");
