// The table of trials: sorted, filtered, page by page.
const trialTable = () => {
  const table = document.getElementById("trial-table");
  const { head, rows } = data.trials;
  const size = 50;
  const early = head.indexOf("state");
  const filtered = ["phase", "arm", "state"].map((name) => head.indexOf(name));
  const chosen = new Map();
  let order = { column: -1, up: true };
  let page = 0;

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
};
