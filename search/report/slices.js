// Values against each setting: a panel a setting, arms in colour, medians of controls as lines.
const slices = (host, figure) => {
  const rows = complete();
  const { arms } = figure;
  const axes = ofColumns(figure.axes);
  const armOf = columnOf("arm");
  const drawn = columnOf("drawn");
  const valueOf = columnOf("value");
  const trial = columnOf("trial");
  const height = placing(figure.value);
  const hidden = new Set();
  const area = element("div", undefined, "area");
  const MEDIAN_OF = 6; // controls in a stretch, at least
  const STRETCHES = 6;

  const median = (values) => {
    const sorted = values.slice().sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  // [place, median height] of stretches with equally many controls, or of each option.
  const medians = (axis, own) => {
    const groups = [];
    if (axis.kind === "options") {
      for (let at = 0; at < axis.options.length; at++) {
        const place = (at + 0.5) / axis.options.length;
        groups.push(own.filter((mark) => Math.abs(mark.place - place) < 1e-9));
      }
    } else {
      const sorted = own.slice().sort((a, b) => a.place - b.place);
      const number = Math.min(STRETCHES, Math.floor(sorted.length / MEDIAN_OF));
      for (let at = 0; at < number; at++) {
        groups.push(sorted.slice(Math.floor((at * sorted.length) / number), Math.floor(((at + 1) * sorted.length) / number)));
      }
    }
    return groups.filter((group) => group.length >= MEDIAN_OF)
      .map((group) => [median(group.map((mark) => mark.place)), median(group.map((mark) => mark.height))]);
  };
  const draw = () => {
    area.replaceChildren();
    const ink = inkNow();
    const wide = root.classList.contains("printed") ? PRINTED : host.clientWidth;
    const across = Math.max(1, Math.min(Math.ceil(axes.length / Math.ceil(axes.length / 4)), Math.floor(wide / 250)));
    const panel = { width: wide / across, height: 190 };
    const { canvas, pen } = canvasIn(area, panel.height * Math.ceil(axes.length / across));
    const marks = [];
    axes.forEach((axis, at) => {
      const left = (at % across) * panel.width + 46;
      const top = Math.floor(at / across) * panel.height + 10;
      const width = panel.width - 62;
      const tall = panel.height - 54;
      const x = (place) => left + place * width;
      const y = (place) => top + (1 - place) * tall;
      pen.strokeStyle = ink("--grid");
      pen.fillStyle = ink("--muted");
      pen.lineWidth = 1;
      pen.font = "11px " + getComputedStyle(document.body).fontFamily;
      pen.textAlign = "right";
      for (const [place, text] of ticksOf(figure.value, 4)) {
        pen.beginPath();
        pen.moveTo(left, y(place));
        pen.lineTo(left + width, y(place));
        pen.stroke();
        pen.fillText(text, left - 5, y(place) + 4);
      }
      pen.textAlign = "center";
      for (const [place, text] of ticksOf(axis, 4)) pen.fillText(text, x(place), top + tall + 14);
      pen.fillStyle = ink("--ink");
      pen.fillText(axis.name, left + width / 2, top + tall + 32, width);
      pen.save();
      pen.beginPath();
      pen.rect(left - 5, top - 5, width + 10, tall + 10);
      pen.clip();
      const place = placing(axis);
      arms.forEach((arm, number) => {
        if (hidden.has(arm.name)) return;
        const own = rows.filter((row) => row[armOf] === arm.name);
        const shift = axis.kind === "options" ? (0.6 / axis.options.length) : 0;
        const controls = [];
        pen.strokeStyle = pen.fillStyle = ink(arm.colour);
        pen.globalAlpha = Math.min(0.7, Math.max(0.15, 300 / rows.length));
        for (const row of own) {
          const mark = { place: place(row[axis.column]), height: height(row[valueOf]) };
          if (mark.place === null) continue;
          const aside = shift * ((number + 0.5) / arms.length - 0.5 + jitter(row[trial]) / (1.5 * arms.length));
          const dot = { x: x(mark.place + aside), y: y(mark.height), row, axis };
          if (mark.height < -0.02) continue; // beyond the axis
          pen.beginPath();
          pen.arc(dot.x, dot.y, 2.5, 0, 7);
          if (row[drawn] === "at random") {
            pen.fill();
            controls.push(mark);
          } else pen.stroke();
          marks.push(dot);
        }
        pen.globalAlpha = 1;
        pen.lineWidth = 2.5;
        const line = medians(axis, controls);
        pen.beginPath();
        for (const [at, middle] of line) {
          if (axis.kind === "options") {
            const here = at + shift * ((number + 0.5) / arms.length - 0.5);
            const half = shift / (2.4 * arms.length);
            pen.moveTo(x(here - half), y(middle));
            pen.lineTo(x(here + half), y(middle));
          } else pen.lineTo(x(at), y(middle));
        }
        pen.stroke();
        pen.lineWidth = 1;
      });
      pen.restore();
    });
    hints(canvas, (atX, atY) => {
      const mark = nearest(marks, atX, atY);
      return mark && `${called(mark.row)}: ${mark.axis.name} ${written(mark.row[mark.axis.column])}, ${figure.metric} ${written(mark.row[valueOf])}`;
    });
  };
  host.append(legend(arms, hidden, draw), area);
  draw();
  return draw;
};
