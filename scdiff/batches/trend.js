(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("trend-data").textContent);
  const tip = byId("tip");
  const NS = "http://www.w3.org/2000/svg", MOST_LINKS = 1500, PAGE = 100;
  const windows = { process: 150, assay: 150 };

  const make = (name, attributes, parent) => {
    const element = document.createElementNS(NS, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(element);
    return element;
  };
  const known = (value) => value !== null && value !== undefined;
  const digits = (value) => String(Number(value.toPrecision(2)));
  const share = (value) => {
    const text = value > 0.99 && value < 1 ? (100 * value).toFixed(2) : digits(100 * value);
    return `${text} %`;
  };
  const fixed = (value) => value.toFixed(2).replace(/^-0\.00$/, "0.00");
  const whole = (value) => Math.round(value).toLocaleString("en");
  const day = (text) => (text || "").replace("T", " ").replace("Z", " UTC");

  /* Text of a point, on hover and in its label. */
  const valueOf = (one, i) => {
    if (one.kind[i] === "measured") return `${share(one.value[i])} (95 % interval ${digits(100 * one.low[i])}-${share(one.high[i])})`;
    return one.kind[i] === "bound" ? `not detected, at most ${share(one.bound[i])}` : "no number";
  };
  const linesOf = (one, i) => {
    const lines = [`${one.batch[i]}${one.sample[i] === "all" ? "" : `, sample ${one.sample[i]}`}`, valueOf(one, i)];
    const add = (name, value) => { if (known(value) && value !== "") lines.push(`${name}: ${value}`); };
    add("verdict", one.verdict[i]);
    add("cells", known(one.n_cells[i]) ? whole(one.n_cells[i]) : null);
    if (one.kind[i] === "measured") add("score", known(one.score[i]) ? `${fixed(one.score[i])} SD` : null);
    add("analysed", day(one.analysed[i]));
    for (const name of ["role", "donor", "passage", "operator", "chemistry"]) add(name, one[name][i]);
    add("baseline", `${one.baseline[i]}${one.in_baseline[i] ? " (part of it)" : ""}`);
    add("violates", one.rules[i].join(", "));
    for (const note of one.notes[i]) lines.push(`note: ${note}`);
    for (const decision of one.decisions[i]) lines.push(`decision: ${decision}`);
    return lines;
  };
  const showTip = (lines, x, y) => {
    tip.replaceChildren();
    lines.forEach((line, i) => {
      const part = document.createElement(i ? "div" : "b");
      part.textContent = line;
      tip.appendChild(part);
    });
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(innerWidth - box.width - 8, x + 14))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 14) : y + 18}px`;
  };
  const hideTip = () => { tip.hidden = true; };

  /* Scales: fractions on the logit, scores linear. */
  const logit = (value) => Math.log(value / (1 - value));
  const TICKS = [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.99, 0.999];
  const scaleOf = (chart, values, limits) => {
    const put = chart.scale === "share" ? (value) => logit(Math.min(1 - 1e-9, Math.max(1e-9, value))) : (value) => value;
    let low = Infinity, high = -Infinity;
    for (const place of values.filter(known).map(put)) { low = Math.min(low, place); high = Math.max(high, place); }
    const reach = 0.6 * Math.max(high - low, 1); /* limits far from all values would compress the values */
    const edges = limits.filter(known).map(put), near = [low - reach, high + reach];
    for (const place of edges) if (low > high || chart.scale !== "share" || (place >= near[0] && place <= near[1])) { low = Math.min(low, place); high = Math.max(high, place); }
    if (low > high) { low = put(chart.scale === "share" ? 0.001 : -3); high = put(chart.scale === "share" ? 0.1 : 3); }
    if (known(chart.least)) low = Math.min(low, chart.least);
    if (chart.reach) { low = Math.min(low, -chart.reach); high = Math.max(high, chart.reach); }
    const room = Math.max(0.06 * (high - low), 1e-6);
    low = known(chart.least) ? low : low - room; high += room;
    let ticks = TICKS.filter((tick) => put(tick) >= low && put(tick) <= high);
    if (chart.scale !== "share" || ticks.length < 2) {
      const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((one) => (high - low) / one <= 7) || 50;
      ticks = [];
      if (chart.scale !== "share") for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toFixed(6)));
      else for (const part of [0.15, 0.5, 0.85]) { const z = low + part * (high - low); ticks.push(Number((1 / (1 + Math.exp(-z))).toPrecision(2))); }
    }
    return { put, low, high, ticks, say: (tick) => (chart.scale === "share" ? share(tick) : String(tick)) };
  };

  const drawn = new Map();
  const draw = (chart) => {
    const host = document.querySelector(`[data-chart="${chart.id}"]`);
    const one = data.series[chart.series], n = one.batch.length;
    const first = Math.max(0, n - windows[chart.series]), shown = Array.from({ length: n - first }, (_, i) => first + i);
    const width = Math.max(280, host.clientWidth), height = chart.scale === "share" ? 320 : 220;
    const left = chart.scale === "share" ? 58 : 40, right = 12, top = 24, bottom = 34;
    const y2 = chart.second ? one[chart.second].map((value) => (known(value) ? -value : null)) : null;
    const spec = chart.specification ? data.specification : [];
    const values = [], limits = [];
    for (const i of shown) {
      values.push(one[chart.y][i]);
      if (y2) values.push(y2[i]);
      if (chart.bound && one.kind[i] === "bound") values.push(one[chart.bound][i]);
      for (const line of chart.lines) if (line.column) limits.push(known(one[line.column][i]) ? (line.sign || 1) * one[line.column][i] : null);
    }
    for (const line of chart.lines) if (known(line.value)) limits.push(line.value);
    for (const limit of spec) if (known(limit) && limit > 0 && limit < 1) limits.push(limit);
    const scale = scaleOf(chart, values, limits);
    const step = (width - left - right) / Math.max(shown.length, 1);
    const px = (i) => left + (i - first + 0.5) * step;
    const py = (value) => top + ((scale.high - Math.max(scale.low, Math.min(scale.high, scale.put(value)))) / (scale.high - scale.low)) * (height - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${chart.title}, ${shown.length} points` });

    for (const tick of scale.ticks) {
      make("line", { x1: left, x2: width - right, y1: py(tick), y2: py(tick), class: "grid" }, svg);
      make("text", { x: left - 7, y: py(tick) + 4, "text-anchor": "end" }, svg).textContent = scale.say(tick);
    }
    make("text", { x: left, y: 12, class: "title" }, svg).textContent = chart.unit;
    make("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis" }, svg);
    const wide = 74, labels = Math.max(1, Math.floor((width - left - right) / wide)), every = Math.max(1, Math.ceil(shown.length / labels));
    for (let k = 0; k < shown.length; k += every) {
      const name = one.batch[shown[k]], anchor = k === 0 && step < wide ? "start" : k + every >= shown.length && step < wide / 2 ? "end" : "middle";
      const room = Math.max(5, Math.floor((step * every - 8) / 6.6)), text = name.length > room ? `${name.slice(0, room - 1)}…` : name;
      make("text", { x: Math.min(px(shown[k]), width - right), y: height - bottom + 17, "text-anchor": anchor }, svg).textContent = text;
    }

    /* Limits as steps, with a gap between phases and without limits. */
    for (const line of chart.lines) {
      let path = "", open = false, phase = null;
      for (const i of shown) {
        const value = line.column ? one[line.column][i] : known(one.centre[i]) || chart.series === "assay" ? line.value : null;
        if (!known(value) || (line.value !== undefined && !known(one.centre[i]))) { open = false; continue; }
        const place = scale.put((line.sign || 1) * value);
        if (place < scale.low || place > scale.high) { open = false; continue; }
        const y = py((line.sign || 1) * value);
        if (one.phase[i] !== phase) open = false;
        path += `${open ? "L" : "M"}${(px(i) - step / 2).toFixed(1)} ${y.toFixed(1)}L${(px(i) + step / 2).toFixed(1)} ${y.toFixed(1)}`;
        open = true; phase = one.phase[i];
      }
      if (path) make("path", { d: path, class: `line ${line.look}` }, svg);
    }
    for (const limit of spec) {
      if (!known(limit) || limit <= 0 || limit >= 1) continue;
      make("line", { x1: left, x2: width - right, y1: py(limit), y2: py(limit), class: "line specification" }, svg);
      make("text", { x: width - right, y: py(limit) - 5, "text-anchor": "end", class: "title" }, svg).textContent = `specification ${share(limit)}`;
    }
    /* A break between two phases says what changed, on the side with more room. */
    const breaks = shown.filter((i) => i !== first && one.phase[i] !== one.phase[i - 1]);
    let taken = left + 50; /* the unit is at the left */
    breaks.forEach((i, k) => {
      const x = px(i) - step / 2, next = k + 1 < breaks.length ? px(breaks[k + 1]) - step / 2 : width - right;
      const line = make("line", { x1: x, x2: x, y1: top - 8, y2: height - bottom, class: "break" }, svg);
      const late = x - taken > next - x, name = `phase ${one.phase[i] + 1}: ${one.change[i]}`;
      const room = Math.floor((Math.max(x - taken, next - x) - 12) / 6.6);
      const text = name.length <= room ? name : room < 9 ? String(one.phase[i] + 1) : `${name.slice(0, room - 1)}…`;
      const label = make("text", { x: late ? x - 5 : x + 5, y: 12, "text-anchor": late ? "end" : "start", class: "title" }, svg);
      label.textContent = text;
      taken = late ? x : x + 5 + 6.6 * text.length;
      for (const part of [line, label]) make("title", {}, part).textContent = `${name} (from ${one.batch[i]})`;
    });
    if (chart.joined) for (const column of y2 ? [one[chart.y], y2] : [one[chart.y]]) {
      let path = "", phase = null;
      for (const i of shown) {
        if (!known(column[i])) { if (column !== one[chart.y] || one.kind[i] !== "none") phase = null; continue; }
        path += `${phase === one.phase[i] ? "L" : "M"}${px(i).toFixed(1)} ${py(column[i]).toFixed(1)}`;
        phase = one.phase[i];
      }
      if (path) make("path", { d: path, class: "line joined" }, svg);
    }

    /* Points: each links to its report. Above MOST_LINKS points a click opens the report instead. */
    const size = Math.max(1.6, Math.min(4.2, step * 0.42)), links = shown.length <= MOST_LINKS, marks = new Map();
    for (const i of shown) {
      const rules = one.rules[i].filter((rule) => chart.rules.includes(rule) && rule !== "1-2s"); /* a warning is not an alarm */
      const look = `${one.in_baseline[i] ? "base " : ""}${rules.length ? (one.notes[i].length ? "noted" : "alarm") : ""}`;
      const bounded = chart.bound && one.kind[i] === "bound";
      let value = bounded ? one[chart.bound][i] : one[chart.y][i];
      if (y2 && known(value) && -y2[i] > value) value = y2[i];
      if (!known(value) && !(chart.scale === "share" && one.kind[i] === "none")) continue;
      const place = { x: px(i), y: known(value) ? py(value) : height - bottom - 8 };
      let group = svg;
      if (links) {
        group = make("a", { href: one.report[i], "aria-label": linesOf(one, i).join("; ") }, svg);
        group.addEventListener("focus", () => { const box = svg.getBoundingClientRect(); showTip(linesOf(one, i), box.left + (place.x / width) * box.width, box.top + (place.y / height) * box.height); });
        group.addEventListener("blur", hideTip);
      }
      if (chart.bars && one.kind[i] === "measured" && known(one[chart.bars[0]][i]))
        make("line", { x1: place.x, x2: place.x, y1: py(Math.max(one[chart.bars[0]][i], 1e-9)), y2: py(one[chart.bars[1]][i]), class: "bar" }, group);
      const { x, y } = place, half = size;
      if (!known(value)) make("path", { d: `M${x - half} ${y - half}l${2 * half} ${2 * half}M${x + half} ${y - half}l${-2 * half} ${2 * half}`, class: "absent-mark" }, group);
      else if (bounded) make("path", { d: `M${x - half} ${y}h${2 * half}M${x} ${y}v${3.2 * half}M${x - half * 0.8} ${y + 1.9 * half}l${half * 0.8} ${1.3 * half}l${half * 0.8} ${-1.3 * half}`, class: `arrow ${look}` }, group);
      else make("circle", { cx: x, cy: y, r: rules.length ? size * 1.25 : size, class: `dot ${look}` }, group);
      if (links) make("circle", { cx: x, cy: y, r: size + 4, class: "halo" }, group);
      marks.set(i, { ...place, group });
    }
    const nearest = (event) => {
      const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * width;
      const middle = first + Math.floor((x - left) / step);
      let best = null, reach = 14;
      for (let i = middle - Math.ceil(14 / step); i <= middle + Math.ceil(14 / step); i++) {
        const mark = marks.get(i);
        if (mark && Math.abs(mark.x - x) < reach) { reach = Math.abs(mark.x - x); best = i; }
      }
      return best;
    };
    let near = null;
    const leave = () => { if (near !== null && links) marks.get(near).group.classList.remove("near"); near = null; hideTip(); };
    svg.addEventListener("pointermove", (event) => {
      const found = nearest(event);
      if (found === null) return leave();
      if (found !== near) { leave(); near = found; if (links) marks.get(found).group.classList.add("near"); }
      showTip(linesOf(one, found), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", leave);
    if (!links) svg.addEventListener("click", (event) => { const found = nearest(event); if (found !== null) location.href = one.report[found]; });
    host.replaceChildren(svg);
    drawn.set(chart.id, width);
  };
  const drawAll = (series) => { for (const chart of data.charts) if (!series || chart.series === series) draw(chart); };

  for (const pick of document.querySelectorAll(".window select")) {
    const n = data.series[pick.dataset.series].batch.length;
    const sizes = [50, 150, 500].filter((size) => size < n);
    for (const size of [...sizes, n]) {
      const option = document.createElement("option");
      option.value = size;
      option.textContent = size === n ? `all ${whole(n)} points` : `the last ${size}`;
      pick.appendChild(option);
    }
    windows[pick.dataset.series] = n <= 150 ? n : 150;
    pick.value = windows[pick.dataset.series];
    pick.parentElement.hidden = n <= 50;
    pick.addEventListener("change", () => { windows[pick.dataset.series] = Number(pick.value); drawAll(pick.dataset.series); });
  }
  drawAll();
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { for (const chart of data.charts) if (document.querySelector(`[data-chart="${chart.id}"]`).clientWidth !== drawn.get(chart.id)) draw(chart); }, 120);
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

  /* The table: latest first, filtered, in portions of rows. */
  const COLUMNS = ["batch", "analysed", "role", "donor", "passage", "cells", "value", "verdict", "score", "signals", "decisions", "scdiff"];
  if (!Object.values(data.series).some((one) => one.decisions.some((made) => made.length))) COLUMNS.splice(COLUMNS.indexOf("decisions"), 1);
  const NUMBERS = new Set(["passage", "cells", "value", "score"]);
  const rows = [];
  for (const name of ["process", "assay"]) {
    const one = data.series[name];
    for (let i = 0; i < one.batch.length; i++) rows.push({ one, i, number: one.number[i], text: ["batch", "donor", "operator", "chemistry", "sample"].map((key) => one[key][i] || "").join(" ").toLowerCase() });
  }
  rows.sort((a, b) => b.number - a.number);
  const cell = (row, name) => {
    const { one, i } = row;
    const short = one.kind[i] === "measured" ? share(one.value[i]) : one.kind[i] === "bound" ? `≤ ${share(one.bound[i])}` : "–";
    const special = { cells: () => (known(one.n_cells[i]) ? whole(one.n_cells[i]) : ""), value: () => short, analysed: () => day(one.analysed[i]).slice(0, 16), signals: () => one.rules[i].join(", "), decisions: () => one.decisions[i].join("; "), score: () => (known(one.score[i]) ? fixed(one.score[i]) : "") };
    const value = special[name] ? special[name]() : one[name][i];
    return known(value) ? String(value) : "";
  };
  const head = document.querySelector("#rows thead tr"), body = document.querySelector("#rows tbody"), more = byId("rows-more");
  for (const name of COLUMNS) {
    const th = document.createElement("th");
    th.scope = "col"; th.textContent = name;
    if (NUMBERS.has(name)) th.className = "num";
    head.appendChild(th);
  }
  const fill = (id, key) => {
    const values = [...new Set(rows.map((row) => row.one[key][row.i]))].sort();
    for (const value of values) { const option = document.createElement("option"); option.value = option.textContent = value; byId(id).appendChild(option); }
  };
  fill("filter-role", "role"); fill("filter-verdict", "verdict");
  let limit = PAGE;
  const list = () => {
    const text = byId("filter-text").value.trim().toLowerCase(), role = byId("filter-role").value, verdict = byId("filter-verdict").value, only = byId("filter-signals").checked;
    const found = rows.filter(({ one, i, text: own }) => own.includes(text) && (!role || one.role[i] === role) && (!verdict || one.verdict[i] === verdict) && (!only || one.rules[i].length));
    body.replaceChildren();
    for (const row of found.slice(0, limit)) {
      const tr = document.createElement("tr");
      for (const name of COLUMNS) {
        const td = document.createElement("td"), value = cell(row, name);
        if (NUMBERS.has(name)) td.className = "num";
        if (name === "signals") td.className = "flag";
        if (name === "batch") {
          const link = document.createElement("a");
          link.href = row.one.report[row.i]; link.textContent = value;
          td.appendChild(link);
        } else td.textContent = value;
        tr.appendChild(td);
      }
      body.appendChild(tr);
    }
    byId("rows-said").textContent = `${whole(Math.min(limit, found.length))} of ${whole(found.length)} rows${found.length < rows.length ? `, of ${whole(rows.length)} in all` : ""}, the latest first.`;
    more.hidden = found.length <= limit;
  };
  for (const id of ["filter-text", "filter-role", "filter-verdict", "filter-signals"]) byId(id).addEventListener("input", () => { limit = PAGE; list(); });
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { limit += 5 * PAGE; list(); });
  list();
})();
