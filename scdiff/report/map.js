(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("map-data").textContent);
  const canvas = byId("map-canvas"), front = canvas.getContext("2d"), tip = byId("map-tip");
  const legend = byId("map-legend"), pick = byId("map-field");
  const back = document.createElement("canvas"), pen = back.getContext("2d"); /* the dots; the ring is drawn over a copy */
  const MISSING = 65535, CELL = 12, REACH = 9;

  const unpack = (text) => {
    const raw = atob(text), codes = new Uint16Array(raw.length / 2);
    for (let i = 0; i < codes.length; i++) codes[i] = raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8);
    return codes;
  };
  const xs = unpack(data.x), ys = unpack(data.y);
  for (const field of data.fields) field.codes = unpack(field.codes);
  let field = data.fields[0], alone = -1, hovered = -1, px, py, grid, columns, width, height, order;

  const share = (code) => code / (MISSING - 1);
  const rampColour = (value) => {
    const last = data.ramp.length - 1, at = Math.min(last, Math.max(0, value * last)), low = Math.floor(at), high = Math.min(last, low + 1);
    return `rgb(${data.ramp[low].map((part, i) => Math.round(part + (data.ramp[high][i] - part) * (at - low))).join(",")})`;
  };
  const tidy = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));
  const said = (one, i) => {
    const code = one.codes[i];
    if (one.kind === "category") return one.levels[code];
    return code === MISSING ? "none" : tidy(one.low + share(code) * (one.high - one.low));
  };

  /* Rare levels and high values are drawn last, on top. */
  const sortOrder = () => {
    const rank = field.kind === "category" ? (code) => code : (code) => (code === MISSING ? -1 : code);
    order = Uint32Array.from({ length: data.n }, (_, i) => i).sort((a, b) => rank(field.codes[a]) - rank(field.codes[b]));
  };

  const layout = () => {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect(), margin = 18;
    width = box.width; height = box.height;
    back.width = canvas.width = Math.round(width * ratio); back.height = canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = Math.min((width - 2 * margin) / Math.max(data.width, 1e-9), (height - 2 * margin) / Math.max(data.height, 1e-9));
    const left = (width - scale * data.width) / 2, bottom = (height + scale * data.height) / 2;
    px = Float32Array.from(xs, (code) => left + share(code) * scale);
    py = Float32Array.from(ys, (code) => bottom - share(code) * scale);
    columns = Math.ceil(width / CELL); grid = new Map();
    for (let i = 0; i < data.n; i++) {
      const key = Math.floor(py[i] / CELL) * columns + Math.floor(px[i] / CELL);
      if (grid.has(key)) grid.get(key).push(i); else grid.set(key, [i]);
    }
  };

  const draw = () => {
    const size = Math.max(1.3, Math.min(5, (0.11 * Math.min(width, height)) / Math.sqrt(data.n) * 2.2));
    const palette = field.kind === "number" && Array.from({ length: 256 }, (_, i) => rampColour(i / 255));
    pen.clearRect(0, 0, width, height);
    for (const i of order) {
      const code = field.codes[i];
      const faint = field.kind === "number" ? code === MISSING && 0.3 : alone >= 0 && code !== alone && 0.08;
      pen.globalAlpha = faint || 0.85;
      pen.fillStyle = palette ? (code === MISSING ? "#8a8f98" : palette[code >> 8]) : field.colours[code];
      if (data.n > 20000) pen.fillRect(px[i] - size / 2, py[i] - size / 2, size, size);
      else { pen.beginPath(); pen.arc(px[i], py[i], size / 2 + 0.4, 0, 6.2832); pen.fill(); }
    }
    pen.globalAlpha = 1;
    show();
  };

  const show = () => {
    const ratio = window.devicePixelRatio || 1;
    if (!back.width || !back.height) return; /* not laid out yet: the observer below comes back */
    front.setTransform(1, 0, 0, 1, 0, 0); front.clearRect(0, 0, canvas.width, canvas.height); front.drawImage(back, 0, 0);
    if (hovered < 0) return;
    front.setTransform(ratio, 0, 0, ratio, 0, 0); front.strokeStyle = getComputedStyle(document.body).color; front.lineWidth = 1.5;
    front.beginPath(); front.arc(px[hovered], py[hovered], 6, 0, 6.2832); front.stroke();
  };

  const nearest = (x, y) => {
    let best = -1, least = REACH * REACH;
    const row = Math.floor(y / CELL), column = Math.floor(x / CELL);
    for (let r = row - 1; r <= row + 1; r++) for (let c = column - 1; c <= column + 1; c++) {
      for (const i of grid.get(r * columns + c) || []) {
        const far = (px[i] - x) ** 2 + (py[i] - y) ** 2;
        if (far < least && (alone < 0 || field.codes[i] === alone)) { least = far; best = i; }
      }
    }
    return best;
  };

  const showTip = (i) => {
    hovered = i; tip.hidden = i < 0; show();
    if (i < 0) return;
    tip.replaceChildren();
    tip.appendChild(document.createElement("b")).textContent = data.names[i];
    for (const one of data.fields) tip.appendChild(document.createElement("div")).textContent = `${one.label}: ${said(one, i)}`;
    tip.style.left = `${Math.max(4, Math.min(width - tip.offsetWidth - 4, px[i] + 14))}px`;
    tip.style.top = `${Math.max(4, Math.min(height - tip.offsetHeight - 4, py[i] + 14))}px`;
  };

  const showLegend = () => {
    legend.replaceChildren();
    if (field.kind === "number") {
      const bar = document.createElement("div");
      bar.className = "ramp"; bar.style.background = `linear-gradient(90deg, ${data.ramp.map((part) => `rgb(${part})`).join(",")})`;
      const [low, high, none] = [tidy(field.low), tidy(field.high), "grey: no value"].map((text) => {
        const label = document.createElement("span"); label.textContent = text; return label;
      });
      legend.append(low, bar, high, ...(field.codes.includes(MISSING) ? [none] : []));
      return;
    }
    field.levels.forEach((level, code) => {
      const button = document.createElement("button"), dot = document.createElement("i"), number = document.createElement("span");
      button.type = "button"; dot.style.background = field.colours[code]; number.textContent = ` ${field.counts[code].toLocaleString("en")}`;
      button.append(dot, level, number); button.setAttribute("aria-pressed", String(alone === code));
      button.onclick = () => { alone = alone === code ? -1 : code; showLegend(); draw(); showTip(-1); };
      legend.append(button);
    });
  };

  const choose = () => { field = data.fields[pick.selectedIndex]; alone = -1; sortOrder(); showLegend(); draw(); showTip(-1); };
  for (const one of data.fields) pick.add(new Option(one.label));
  pick.onchange = choose;
  const follow = (event) => {
    const box = canvas.getBoundingClientRect(), found = nearest(event.clientX - box.left, event.clientY - box.top);
    if (found !== hovered) showTip(found);
  };
  canvas.onpointermove = follow;
  canvas.onpointerdown = follow;
  canvas.onpointerleave = () => showTip(-1);
  canvas.onkeydown = (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") showTip(-1);
    if (move) { event.preventDefault(); showTip((hovered + move + data.n) % data.n); }
  };
  new ResizeObserver(() => { layout(); draw(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  layout(); choose();
})();
