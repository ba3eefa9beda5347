"use strict";
// Draws the figures with the colours of the reader's scheme and fills the trials table.
// Everything comes from the JSON in #data; text is only ever set with textContent.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // A figure names its colours var(--…), since the scheme may change while the page is open.
  const resolve = (part, style) => {
    if (Array.isArray(part)) return part.map((each) => resolve(each, style));
    if (part && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([k, v]) => [k, resolve(v, style)]));
    }
    const found = typeof part === "string" && /^var\((--[\w-]+)\)$/.exec(part);
    return found ? style.getPropertyValue(found[1]).trim() : part;
  };

  const root = document.documentElement;
  const draw = (figures) => {
    const style = getComputedStyle(root);
    const width = root.classList.contains("printed") ? 660 : undefined;
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false,
      automargin: true, ticks: "outside", tickcolor: colour("--line"),
    };
    for (const figure of figures) {
      const element = document.getElementById("plot-" + figure.name);
      const own = resolve(figure.layout, style);
      const narrow = element.clientWidth < 560;
      const layout = {
        ...own,
        autosize: !width,
        width,
        margin: { l: 56, r: 12, t: 8, b: 48 },
        paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"),
        font: { color: colour("--ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
        hoverlabel: { align: "left" },
        legend: {
          orientation: "h", x: 0, y: 1, yanchor: "bottom", ...own.legend,
        },
        xaxis: { ...axis, ...own.xaxis },
        yaxis: { ...axis, ...own.yaxis },
      };
      Plotly.react(element, resolve(figure.traces, style), layout, {
        responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
        modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
      });
    }
  };
  // A figure is drawn when the reader comes near it, so that a long page opens as soon as a short one.
  const drawn = new Set();
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      near.unobserve(entry.target);
      const figure = data.figures.find((each) => "plot-" + each.name === entry.target.id);
      if (!drawn.has(figure)) draw([figure]);
      drawn.add(figure);
    }
  }, { rootMargin: "600px" });
  for (const figure of data.figures) near.observe(document.getElementById("plot-" + figure.name));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(drawn));

  // Paper is white and narrow, whatever the screen is, and nobody scrolls on it.
  addEventListener("beforeprint", () => {
    root.classList.add("printed");
    document.querySelectorAll("details[data-on=print]").forEach((each) => { each.open = true; });
    data.figures.forEach((figure) => drawn.add(figure));
    draw(drawn);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printed");
    draw(drawn);
  });

  // ---- trials -------------------------------------------------------------------------------
  const table = document.getElementById("trial-table");
  if (!table) return;
  const { head, rows } = data.trials;
  const size = 50;
  const early = head.indexOf("state");
  const filtered = ["phase", "arm", "state"].map((name) => head.indexOf(name));
  const chosen = new Map();
  let order = { column: -1, up: true };
  let page = 0;

  const element = (name, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const shown = (value, name) => {
    if (value === null) return "–";
    if (typeof value !== "number") return value;
    if (name === "seconds") return value.toFixed(2);
    if (name === "parameters") return value.toLocaleString("en");
    if (Number.isInteger(value)) return String(value);
    if (name !== "value" && name !== "test") return String(Number(value.toPrecision(4)));
    return Math.abs(value) >= 0.001 && Math.abs(value) < 1000 ? value.toFixed(4) : value.toPrecision(4);
  };
  const numeric = head.map((_, column) => rows.every((row) => row[column] === null || typeof row[column] === "number"));
  const compare = (a, b) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    const by = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return order.up ? by : -by;
  };

  const fill = () => {
    let matching = rows.filter((row) => [...chosen].every(([column, value]) => row[column] === value));
    if (order.column >= 0) matching = matching.slice().sort((a, b) => compare(a[order.column], b[order.column]));
    const last = Math.max(0, Math.ceil(matching.length / size) - 1);
    page = Math.min(page, last);
    table.tBodies[0].replaceChildren(...matching.slice(page * size, (page + 1) * size).map((row) => {
      const made = element("tr");
      if (row[early] !== "complete") made.className = "early";
      row.forEach((value, column) => {
        const cell = element("td", shown(value, head[column]));
        if (numeric[column]) cell.className = "number";
        made.append(cell);
      });
      return made;
    }));
    table.tHead.rows[0].childNodes.forEach((cell, column) => {
      const sorted = column === order.column;
      cell.setAttribute("aria-sort", sorted ? (order.up ? "ascending" : "descending") : "none");
      cell.firstChild.textContent = head[column] + (sorted ? (order.up ? " ▲" : " ▼") : "");
    });
    const back = element("button", "Previous");
    const on = element("button", "Next");
    back.disabled = page === 0;
    on.disabled = page === last;
    back.onclick = () => { page -= 1; fill(); };
    on.onclick = () => { page += 1; fill(); };
    const first = matching.length ? page * size + 1 : 0;
    document.getElementById("pages").replaceChildren(
      back, on, element("span", `${first} to ${Math.min(matching.length, (page + 1) * size)} of ${matching.length}`));
  };

  const top = element("tr");
  head.forEach((name, column) => {
    const cell = element("th");
    const button = element("button", name);
    button.onclick = () => {
      order = { column, up: order.column === column ? !order.up : true };
      page = 0;
      fill();
    };
    if (numeric[column]) cell.className = "number";
    cell.append(button);
    top.append(cell);
  });
  table.tHead.append(top);

  for (const column of filtered) {
    const label = element("label", head[column] + " ");
    const select = element("select");
    for (const value of ["all", ...new Set(rows.map((row) => row[column]))]) select.append(element("option", value));
    select.onchange = () => {
      if (select.selectedIndex === 0) chosen.delete(column);
      else chosen.set(column, select.value);
      page = 0;
      fill();
    };
    label.append(select);
    document.getElementById("filters").append(label);
  }
  fill();
})();
