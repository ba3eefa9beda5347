// The figures of Plotly. Its code is text until a reader comes near the first of them: running it
// takes most of the time that a page needs to open.
const plotlyRuns = () => {
  if (window.Plotly) return;
  const run = element("script");
  run.textContent = document.getElementById("plotly").textContent;
  document.body.append(run);
};
const resolve = (part, ink) => {
  if (Array.isArray(part)) return part.map((each) => resolve(each, ink));
  if (part && typeof part === "object") {
    return Object.fromEntries(Object.entries(part).map(([k, v]) => [k, resolve(v, ink)]));
  }
  return typeof part === "string" && part.startsWith("var(--") ? ink(part) : part;
};
const plot = (host, figure) => {
  plotlyRuns();
  const draw = () => {
    const ink = inkNow();
    const width = root.classList.contains("printed") ? PRINTED : undefined;
    const axis = {
      gridcolor: ink("--grid"), linecolor: ink("--line"), zeroline: false,
      automargin: true, ticks: "outside", tickcolor: ink("--line"),
    };
    const own = resolve(figure.layout, ink);
    const axes = Object.fromEntries(
      ["xaxis", "yaxis", ...Object.keys(own)].filter((key) => /^[xy]axis\d*$/.test(key))
        .map((key) => [key, { ...axis, ...own[key] }]),
    );
    const narrow = host.clientWidth < 560;
    const layout = {
      ...own,
      autosize: !width,
      width,
      margin: { l: 56, r: 12, t: 8, b: 48 },
      paper_bgcolor: ink("--paper"), plot_bgcolor: ink("--paper"),
      font: { color: ink("--ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { align: "left" },
      legend: {
        orientation: "h", x: 0, y: 1, yanchor: "bottom", ...own.legend,
      },
      ...axes,
    };
    Plotly.react(host, resolve(figure.traces, ink), layout, {
      responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
    });
  };
  draw();
  return draw;
};
