// When each trial was trained: a bar a trial, in the first lane that is free.
const timeline = (host, figure) => {
  const { bars, cuts, length, lanes, lane, arms } = figure;
  const colourOf = new Map(arms.map((arm) => [arm.name, arm.colour]));
  const columns = Object.fromEntries(["phase", "arm", "state"].map((name) => [name, columnOf(name)]));
  const hidden = new Set();
  const area = element("div", undefined, "area");
  const unit = length > 7200 ? [3600, "hours"] : length > 180 ? [60, "minutes"] : [1, "seconds"];
  const draw = () => {
    area.replaceChildren();
    const ink = inkNow();
    const { canvas, pen, width, height } = canvasIn(area, lane * lanes + 44);
    const x = (second) => 8 + (second / (length || 1)) * (width - 16);
    const floor = lane * lanes + 4;
    const gap = lane > 6 ? 2 : lane > 3 ? 1 : 0;
    for (const [number, start, end, at] of bars) {
      const row = data.trials.rows[number];
      if (hidden.has(row[columns.arm])) continue;
      const wide = Math.max(0.5, x(end) - x(start) - (x(end) - x(start) > 4 ? 1 : 0));
      pen.fillStyle = ink(colourOf.get(row[columns.arm]));
      pen.globalAlpha = row[columns.state] === "complete" || row[columns.state] === "running" ? 0.9 : 0.35;
      pen.fillRect(x(start), 2 + at * lane, wide, lane - gap);
      if (row[columns.phase] === "confirm") {
        pen.globalAlpha = 1;
        pen.fillStyle = ink("--ink");
        pen.fillRect(x(start), 2 + (at + 1) * lane - gap - Math.max(1, lane / 6), wide, Math.max(1, lane / 6));
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = ink("--muted");
    pen.setLineDash([3, 3]);
    for (const [at, away] of cuts) {
      pen.beginPath();
      pen.moveTo(x(at), 0);
      pen.lineTo(x(at), floor);
      pen.stroke();
      pen.textAlign = x(at) > width / 2 ? "right" : "left";
      pen.fillText(`paused ${away}`, x(at) + (x(at) > width / 2 ? -3 : 3), floor + 34);
    }
    pen.setLineDash([]);
    pen.beginPath();
    pen.moveTo(x(0), floor);
    pen.lineTo(x(length), floor);
    pen.stroke();
    pen.textAlign = "center";
    for (const [place, text] of ticksOf({ kind: "linear", low: 0, high: length / unit[0] }, 8)) {
      pen.fillText(text, Math.min(width - 10, x(place * length)), floor + 14);
    }
    pen.textAlign = "left";
    pen.fillText(unit[1], 4, floor + 32);
    hints(canvas, (atX, atY) => {
      const second = ((atX - 8) / (width - 16)) * length;
      const at = Math.floor((atY - 2) / lane);
      const bar = bars.find((each) => each[3] === at && each[1] <= second && each[2] >= second);
      if (!bar) return null;
      const row = data.trials.rows[bar[0]];
      return `${called(row)} (${row[columns.phase]}, ${row[columns.state]}): ${written(Number((bar[2] - bar[1]).toPrecision(3)))} s`;
    });
  };
  host.append(legend(arms, hidden, draw), area);
  draw();
  return draw;
};
