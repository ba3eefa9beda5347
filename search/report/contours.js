// Means of values over two settings, in steps of an arm's colour; trials as marks.
const contours = (host, figure) => {
  const LEVELS = 8;
  const area = element("div", undefined, "area");
  const draw = () => {
    area.replaceChildren();
    const ink = inkNow();
    const wide = root.classList.contains("printed") ? PRINTED : host.clientWidth;
    const across = Math.max(1, Math.min(3, figure.panels.length, Math.floor(wide / 300)));
    const each = { width: Math.min(wide / across, 420), height: figure.panel };
    const { canvas, pen } = canvasIn(area, each.height * Math.ceil(figure.panels.length / across));
    const marks = [];
    figure.panels.forEach((panel, at) => {
      const left = (at % across) * each.width + 52;
      const top = Math.floor(at / across) * each.height + 26;
      const width = each.width - 70;
      const tall = each.height - 76;
      const x = (place) => left + place * width;
      const y = (place) => top + (1 - place) * tall;
      const [first, second] = ofColumns(panel.axes);
      const cells = panel.area.length;
      pen.fillStyle = ink(panel.colour);
      panel.area.forEach((line, column) => line.forEach((good, row) => {
        if (good === null) return;
        pen.globalAlpha = 0.08 + 0.77 * (Math.min(LEVELS - 1, Math.floor(good * LEVELS)) / (LEVELS - 1));
        // Whole pixels: else neighbours would let the paper through, or overlap.
        const [l, r] = [x(column / cells), x((column + 1) / cells)].map(Math.round);
        const [u, d] = [y((row + 1) / cells), y(row / cells)].map(Math.round);
        pen.fillRect(l, u, r - l, d - u);
      }));
      pen.globalAlpha = 1;
      pen.strokeStyle = ink("--line");
      pen.strokeRect(left, top, width, tall);
      const places = [placing(first), placing(second)];
      pen.strokeStyle = ink("--ink");
      pen.fillStyle = ink("--paper");
      for (const number of panel.rows) {
        const row = data.trials.rows[number];
        const trial = row[columnOf("trial")];
        const spread = (axis, turn) => (axis.kind === "options" ? (0.5 / axis.options.length) * jitter(trial * turn) : 0);
        const mark = {
          x: x(places[0](row[first.column]) + spread(first, 1)),
          y: y(places[1](row[second.column]) + spread(second, 7)),
          row,
          panel,
        };
        pen.beginPath();
        pen.arc(mark.x, mark.y, panel.rows.length > 150 ? 1.5 : 2.5, 0, 7);
        pen.fill();
        pen.stroke();
        marks.push(mark);
      }
      pen.font = "11px " + getComputedStyle(document.body).fontFamily;
      pen.fillStyle = ink("--muted");
      pen.textAlign = "center";
      for (const [place, text] of ticksOf(first, 4)) pen.fillText(text, x(place), top + tall + 14);
      pen.textAlign = "right";
      for (const [place, text] of ticksOf(second, 4)) pen.fillText(text, left - 4, y(place) + 4);
      pen.fillStyle = ink("--ink");
      pen.textAlign = "center";
      pen.fillText(first.name, left + width / 2, top + tall + 32);
      pen.save();
      pen.translate(left - 40, top + tall / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText(second.name, 0, 0);
      pen.restore();
      pen.font = "600 13px " + getComputedStyle(document.body).fontFamily;
      pen.fillStyle = ink(panel.colour);
      pen.fillText(panel.arm, left + width / 2, top - 8);
    });
    hints(canvas, (atX, atY) => {
      const mark = nearest(marks, atX, atY);
      if (!mark) return null;
      const settings = ofColumns(mark.panel.axes).map((axis) => `${axis.name} ${written(mark.row[axis.column])}`);
      return `${called(mark.row)}: ${settings.join(", ")}, value ${written(mark.row[columnOf("value")])}`;
    });
  };
  host.append(area);
  draw();
  return draw;
};
