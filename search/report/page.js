// Draws each figure when the reader comes near it, so that a long page opens as soon as a short one.
const drawers = { parallel, slices, contours, timeline };
const redraws = new Map(); // of figures that are drawn: host -> what draws it again

const draw = (host) => {
  if (redraws.has(host)) return;
  const figure = data.figures.find((each) => "plot-" + each.name === host.id);
  redraws.set(host, (drawers[figure.drawer] || plot)(host, figure));
};
const hosts = data.figures.map((figure) => document.getElementById("plot-" + figure.name));
const near = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    near.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "300px" });
hosts.forEach((host) => near.observe(host));

const redrawAll = () => redraws.forEach((redraw) => redraw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) redrawAll();
  width = innerWidth;
});

// Paper is white and narrow, whatever the screen is, and nobody scrolls or opens anything on it.
addEventListener("beforeprint", () => {
  root.classList.add("printed");
  document.querySelectorAll("details[data-on=print]").forEach((each) => { each.open = true; });
  redrawAll();
  hosts.forEach(draw);
});
addEventListener("afterprint", () => {
  root.classList.remove("printed");
  redrawAll();
});

const trials = document.querySelector("#trials details");
if (trials) trials.addEventListener("toggle", trialTable, { once: true });
