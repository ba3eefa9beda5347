// Parallel coordinates: a line a trial; ranges are dragged on axes, arms and the best are chosen.
const parallel = (host, figure) => {
  const rows = complete();
  const { arms } = figure;
  const axes = ofColumns(figure.axes);
  const armOf = columnOf("arm");
  const valueOf = columnOf("value");
  const places = axes.map((axis) => {
    const place = placing(axis);
    const up = axis.name !== "value" || figure.maximize;
    return rows.map((row) => {
      const at = place(row[axis.column]);
      return at === null || up ? at : 1 - at;
    });
  });
  // The rank of each trial in its arm, as the share of the arm's trials that are better.
  const better = new Array(rows.length);
  for (const arm of arms) {
    const own = rows.map((_, at) => at).filter((at) => rows[at][armOf] === arm.name);
    own.sort((a, b) => (figure.maximize ? rows[b][valueOf] - rows[a][valueOf] : rows[a][valueOf] - rows[b][valueOf]));
    own.forEach((at, rank) => { better[at] = rank / own.length; });
  }
  const colourOf = new Map(arms.map((arm) => [arm.name, arm.colour]));
  const hidden = new Set();
  const ranges = new Map();
  let share = rows.length >= 50 ? 10 : 100;

  const said = element("span");
  const best = element("input");
  best.type = "range";
  best.min = 1;
  best.max = 100;
  best.value = share;
  const bestSaid = element("span");
  const clear = element("button", "Clear ranges");
  const label = element("label", "best ");
  label.append(best, bestSaid);
  const bar = element("div", undefined, "filters");
  const area = element("div", undefined, "area");
  const outer = element("div", undefined, "scroll");
  outer.append(area);
  let behind, front;
  const top = 40;
  const bottom = figure.height - 34;
  const x = (at) => 46 + (at * (front.width - 92)) / (axes.length - 1);
  const y = (place) => bottom - place * (bottom - top);

  const trace = (pen, at) => {
    let drawing = false;
    pen.beginPath();
    for (let axis = 0; axis < axes.length; axis++) {
      const place = places[axis][at];
      if (place === null) { drawing = false; continue; }
      if (drawing) pen.lineTo(x(axis), y(place));
      else pen.moveTo(x(axis), y(place));
      drawing = true;
    }
    pen.stroke();
  };
  const select = () => {
    const ink = inkNow();
    const pen = front.pen;
    pen.clearRect(0, 0, front.width, front.height);
    const chosen = rows.map((_, at) => at).filter((at) => !hidden.has(rows[at][armOf])
      && better[at] < Math.max(share / 100, 1e-9)
      && [...ranges].every(([axis, [low, high]]) => places[axis][at] !== null && places[axis][at] >= low && places[axis][at] <= high));
    pen.globalAlpha = Math.min(0.85, Math.max(0.08, 40 / Math.max(1, chosen.length)));
    pen.lineWidth = chosen.length > 400 ? 1 : 1.5;
    for (const at of chosen) {
      pen.strokeStyle = ink(colourOf.get(rows[at][armOf]));
      trace(pen, at);
    }
    pen.globalAlpha = 1;
    pen.textAlign = "center";
    axes.forEach((axis, at) => {
      pen.strokeStyle = ink("--ink");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x(at), top);
      pen.lineTo(x(at), bottom);
      pen.stroke();
      pen.fillStyle = ink("--ink");
      pen.font = "600 12px " + getComputedStyle(document.body).fontFamily;
      pen.fillText(axis.name === "value" ? figure.metric : axis.name, x(at), at % 2 ? 12 : 27, 150);
      pen.font = "11px " + getComputedStyle(document.body).fontFamily;
      for (const [place, text] of ticksOf(axis, 5)) {
        const height = y(axis.name !== "value" || figure.maximize ? place : 1 - place);
        const width = pen.measureText(text).width + 4;
        pen.fillStyle = ink("--paper");
        pen.globalAlpha = 0.8;
        pen.fillRect(x(at) - width / 2, height - 7, width, 14);
        pen.globalAlpha = 1;
        pen.fillStyle = ink("--ink");
        pen.fillText(text, x(at), height + 4);
      }
      if (ranges.has(at)) {
        const [low, high] = ranges.get(at);
        pen.strokeStyle = ink("--link");
        pen.lineWidth = 2;
        pen.strokeRect(x(at) - 9, y(high), 18, y(low) - y(high));
      }
    });
    pen.fillStyle = ink("--muted");
    pen.fillText("the top is best", x(axes.length - 1), bottom + 22);
    bestSaid.textContent = ` ${share} % of each arm`;
    const first = chosen.reduce((a, b) => (a === null || better[b] < better[a] ? b : a), null);
    said.textContent = `${chosen.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} trials`
      + (first === null ? "" : chosen.length === 1 ? `: ${called(rows[first])}, ${written(rows[first][valueOf])}` : "");
    clear.disabled = ranges.size === 0;
  };
  const draw = () => {
    area.replaceChildren();
    const ink = inkNow();
    behind = canvasIn(area, figure.height, 88 * axes.length);
    front = canvasIn(area, figure.height, 88 * axes.length);
    const pen = behind.pen;
    pen.strokeStyle = ink("--muted");
    pen.globalAlpha = Math.min(0.25, Math.max(0.05, 40 / rows.length)); // less would change the hue
    rows.forEach((_, at) => trace(pen, at));
    drag(front.canvas);
    select();
  };
  const drag = (canvas) => {
    let axis = -1;
    let began = 0;
    const place = (event) => {
      const height = event.clientY - canvas.getBoundingClientRect().y;
      return Math.min(1, Math.max(0, (bottom - height) / (bottom - top)));
    };
    canvas.onpointerdown = (event) => {
      const left = event.clientX - canvas.getBoundingClientRect().x;
      axis = axes.findIndex((_, at) => Math.abs(x(at) - left) < 16);
      if (axis < 0) return;
      canvas.setPointerCapture(event.pointerId);
      began = place(event);
    };
    canvas.onpointermove = (event) => {
      const left = event.clientX - canvas.getBoundingClientRect().x;
      canvas.style.cursor = axes.some((_, at) => Math.abs(x(at) - left) < 16) ? "ns-resize" : "default";
      if (axis < 0) return;
      const at = place(event);
      if (Math.abs(at - began) * (bottom - top) < 4) ranges.delete(axis);
      else ranges.set(axis, [Math.min(at, began), Math.max(at, began)]);
      requestAnimationFrame(select);
    };
    canvas.onpointerup = canvas.onpointercancel = (event) => {
      if (axis >= 0 && Math.abs(place(event) - began) * (bottom - top) < 4) ranges.delete(axis);
      axis = -1;
      select();
    };
  };
  best.oninput = () => { share = Number(best.value); requestAnimationFrame(select); };
  clear.onclick = () => { ranges.clear(); select(); };
  bar.append(legend(arms, hidden, select), label, clear, said);
  host.append(bar, outer);
  draw();
  return draw;
};
