// The miner, a figure to play with: three people with three images each in the plane. Drag the points, choose an anchor,
// a miner and a margin, and see which triplets are chosen, the zones, the loss and the loss of an uninformed network.
//
// The upper half holds pure functions that compute what siamese_nbdev.loss computes (tests/test_figures.py compares them).
// The lower half draws. No library, no network: one file, loaded by nbs/03_loss.ipynb.
"use strict";

(function () {
  // ---------------------------------------------------------------- what the library computes

  /** Distances of all points to each other, a list of rows. */
  function pairwiseDistances(points) {
    return points.map((a) => points.map((b) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0))));
  }

  function rowsWhere(labels, keep) {
    return labels.map((_, row) => row).filter(keep);
  }

  function positivesOf(labels, anchor) {
    return rowsWhere(labels, (row) => row !== anchor && labels[row] === labels[anchor]);
  }

  function negativesOf(labels, anchor) {
    return rowsWhere(labels, (row) => labels[row] !== labels[anchor]);
  }

  /** The row with the smallest (sign 1) or largest (sign -1) distance; the first wins a tie. */
  function extreme(rows, distances, sign) {
    return rows.reduce((best, row) => (sign * distances[row] < sign * distances[best] ? row : best));
  }

  /** Every triplet [anchor, positive, negative], sorted. */
  function allTriplets(labels) {
    const found = [];
    labels.forEach((_, anchor) => {
      for (const positive of positivesOf(labels, anchor)) {
        for (const negative of negativesOf(labels, anchor)) found.push([anchor, positive, negative]);
      }
    });
    return found;
  }

  /** Each anchor with its farthest positive and its nearest negative. */
  function batchHardTriplets(distances, labels) {
    const found = [];
    labels.forEach((_, anchor) => {
      const positives = positivesOf(labels, anchor);
      const negatives = negativesOf(labels, anchor);
      if (!positives.length || !negatives.length) return;
      found.push([anchor, extreme(positives, distances[anchor], -1), extreme(negatives, distances[anchor], 1)]);
    });
    return found;
  }

  /** Each pair of one person with the nearest negative beyond the positive; where none is beyond, the farthest. */
  function semiHardTriplets(distances, labels) {
    const found = [];
    labels.forEach((_, anchor) => {
      const to = distances[anchor];
      const negatives = negativesOf(labels, anchor);
      if (!negatives.length) return;
      for (const positive of positivesOf(labels, anchor)) {
        const beyond = negatives.filter((row) => to[row] > to[positive]);
        found.push([anchor, positive, beyond.length ? extreme(beyond, to, 1) : extreme(negatives, to, -1)]);
      }
    });
    return found;
  }

  /** Which share of an anchor's attention each of its negatives has under the weighted loss: [row, share]. */
  function sharesOf(distances, labels, anchor, temperature) {
    const negatives = negativesOf(labels, anchor);
    if (!negatives.length) return [];
    const nearest = Math.min(...negatives.map((row) => distances[anchor][row]));
    const weights = negatives.map((row) => Math.exp((nearest - distances[anchor][row]) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return negatives.map((row, i) => [row, weights[i] / total]);
  }

  /** For each pair of one person: distance of the positive minus soft minimum over all negatives. */
  function weightedGaps(distances, labels, temperature) {
    const found = [];
    labels.forEach((_, anchor) => {
      const far = negativesOf(labels, anchor).map((row) => distances[anchor][row]);
      if (!far.length) return;
      const nearest = Math.min(...far);
      const total = far.reduce((sum, distance) => sum + Math.exp((nearest - distance) / temperature), 0);
      const softMinimum = nearest - temperature * Math.log(total);
      for (const positive of positivesOf(labels, anchor)) {
        found.push({ anchor, positive, gap: distances[anchor][positive] - softMinimum });
      }
    });
    return found;
  }

  /** ln(1 + exp(value)), without overflow. */
  function softplus(value) {
    return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
  }

  /** What a network scores that puts all images on one point. */
  function uninformedLoss(labels, mining, margin) {
    if (mining !== "weighted") return margin;
    let total = 0;
    let pairs = 0;
    labels.forEach((_, anchor) => {
      const negatives = negativesOf(labels, anchor).length;
      const positives = negatives ? positivesOf(labels, anchor).length : 0;
      total += positives * Math.log1p(negatives);
      pairs += positives;
    });
    return total / pairs; // NaN without a pair, as in the library
  }

  /** The loss of a batch: as TripletLoss(margin, mining=, reduction=, temperature=) of siamese_nbdev.loss. */
  function tripletLoss(points, labels, options = {}) {
    const { mining = "semi_hard", margin = 0.3, reduction = "nonzero", temperature = 0.1 } = options;
    const distances = pairwiseDistances(points);
    let items;
    if (mining === "weighted") {
      items = weightedGaps(distances, labels, temperature).map(({ anchor, positive, gap }) => ({
        anchor,
        positive,
        negative: null,
        loss: softplus(gap / temperature),
        active: gap >= 0,
      }));
    } else {
      const mine = { all: (_, rows) => allTriplets(rows), batch_hard: batchHardTriplets, semi_hard: semiHardTriplets };
      items = mine[mining](distances, labels).map(([anchor, positive, negative]) => {
        const loss = Math.max(0, distances[anchor][positive] - distances[anchor][negative] + margin);
        return { anchor, positive, negative, loss, active: loss > 0 };
      });
    }
    const counted = reduction === "nonzero" ? items.filter((item) => item.loss > 0).length : items.length;
    const sum = items.reduce((total, item) => total + item.loss, 0);
    return {
      loss: sum / Math.max(counted, 1),
      triplets: items.length,
      active: items.filter((item) => item.active).length,
      uninformed: uninformedLoss(labels, mining, margin),
      items,
      distances,
    };
  }

  /** The zone of a negative: "hard" (not farther than the positive), "semi-hard" (inside the margin) or "easy". */
  function zoneOf(toPositive, toNegative, margin) {
    if (toNegative <= toPositive) return "hard";
    return toNegative < toPositive + margin ? "semi-hard" : "easy";
  }

  const pure = {
    pairwiseDistances,
    allTriplets,
    batchHardTriplets,
    semiHardTriplets,
    sharesOf,
    weightedGaps,
    uninformedLoss,
    tripletLoss,
    zoneOf,
  };
  if (typeof module !== "undefined") module.exports = pure;
  if (typeof document === "undefined") return;

  // ---------------------------------------------------------------- the figure

  const labels = [0, 0, 0, 1, 1, 1, 2, 2, 2];
  const names = ["A1", "A2", "A3", "B1", "B2", "B3", "C1", "C2", "C3"];
  const startPoints = [
    [0, 0], [0.3, -0.2], [0.9, 0],
    [0.3, 0.4], [-0.3, 0.7], [0.5, 1.3],
    [1.2, 1.7], [0.5, 1], [1.6, -0.1],
  ];
  const miners = { all: "all triplets", batch_hard: "batch-hard", semi_hard: "semi-hard", weighted: "weighted" };
  const temperature = 0.1;
  const low = [-1, -0.6];
  const high = [2, 2];

  const style = `
.miner { --ground: #ffffff; --panel: #f1f4f7; --ink: #1f2933; --soft: #5b6670; --line: #b8c0c8; --positive: #2f7a46;
  --negative: #b83a40; --first: #3a62a7; --second: #a8561b; --third: #6b5aa6; --accent: #a8561b; color: var(--ink);
  background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem; margin: 1rem 0;
  font: 16px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; max-width: 760px; }
@media (prefers-color-scheme: dark) { body:not(.quarto-light) .miner { DARK } }
body.quarto-dark .miner, [data-bs-theme="dark"] .miner { DARK }
[data-bs-theme="light"] .miner { LIGHT }
.miner form { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; align-items: end; margin: 0 0 0.6rem; }
.miner label { display: inline-flex; flex-direction: column; font-size: 0.9rem; color: var(--soft); }
.miner select, .miner button, .miner input { font: inherit; color: var(--ink); background: var(--panel);
  border: 1px solid var(--soft); border-radius: 6px; padding: 0.3rem 0.5rem; min-height: 2.4rem; margin: 0; }
.miner input[type="range"] { padding: 0; width: 11rem; accent-color: var(--first); border: 0; background: none; }
.miner svg { display: block; width: 100%; height: auto; background: var(--panel); border-radius: 6px; }
.miner text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.miner .zone-word { fill: var(--ink); font-weight: 600; }
.miner .point { cursor: grab; touch-action: none; outline: none; }
.miner .point .halo { fill: transparent; }
.miner .point text { paint-order: stroke; stroke: var(--panel); stroke-width: 4px; stroke-linejoin: round; }
.miner .point:focus-visible .halo, .miner .point:focus .halo { stroke: var(--ink); stroke-width: 3; stroke-dasharray: 4 3; }
.miner :is(select, button, input):focus-visible { outline: 3px solid var(--first); outline-offset: 2px; }
.miner .said { margin: 0.6rem 0 0; }
.miner .said strong { font-variant-numeric: tabular-nums; }
.miner ul { margin: 0.3rem 0 0; padding-left: 1.2rem; font-variant-numeric: tabular-nums; }
.miner .key { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin: 0.5rem 0 0; font-size: 0.9rem; }
.miner .key span { display: inline-flex; align-items: center; gap: 0.4rem; }
.miner .key i { width: 1.4rem; height: 0.9rem; border-radius: 2px; border: 0 solid; }
.miner .hint { margin: 0.4rem 0 0; font-size: 0.9rem; color: var(--soft); }
`;
  const darkColors = `--ground: #1b2026; --panel: #262d35; --ink: #e6eaee; --soft: #a7b1bb; --line: #4a545e;
  --positive: #7ccb93; --negative: #f08a8f; --first: #8fb1ee; --second: #eba46a; --third: #b9a9ee; --accent: #eba46a;`;
  const lightColors = `--ground: #ffffff; --panel: #f1f4f7; --ink: #1f2933; --soft: #5b6670; --line: #b8c0c8;
  --positive: #2f7a46; --negative: #b83a40; --first: #3a62a7; --second: #a8561b; --third: #6b5aa6; --accent: #a8561b;`;

  function element(tag, attributes = {}, ...children) {
    const isDrawn = ["svg", "g", "line", "circle", "rect", "polygon", "text", "clipPath", "defs", "title"].includes(tag);
    const made = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function shape(row, size) {
    const fill = `fill: var(--${["first", "second", "third"][labels[row]]})`;
    if (labels[row] === 0) return element("circle", { r: size, style: fill });
    const corners = labels[row] === 1
      ? [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]
      : [[0, -1.15], [1.05, 0.75], [-1.05, 0.75]];
    return element("polygon", { points: corners.map(([x, y]) => `${x * size},${y * size}`).join(" "), style: fill });
  }

  function build(host) {
    const state = {
      points: startPoints.map((point) => [...point]),
      anchor: 0,
      positive: 2,
      mining: "semi_hard",
      margin: 0.3,
      reduction: "nonzero",
    };
    let size;

    if (!document.getElementById("miner-style")) {
      const dressed = style.replaceAll("DARK", darkColors).replaceAll("LIGHT", lightColors);
      document.head.append(element("style", { id: "miner-style" }, dressed));
    }
    const form = element("form", { "aria-label": "What to mine" });
    form.addEventListener("submit", (event) => event.preventDefault());

    function choice(name, words, options) {
      const select = element("select", { name });
      for (const [value, shown] of options) select.append(element("option", { value }, shown));
      select.addEventListener("change", () => set({ [name]: /^\d+$/.test(select.value) ? +select.value : select.value }));
      form.append(element("label", {}, words, select));
      return select;
    }

    const minerChoice = choice("mining", "Miner", Object.entries(miners));
    const anchorChoice = choice("anchor", "Anchor", names.map((name, row) => [row, name]));
    const positiveChoice = choice("positive", "Zones for", []);
    const meanChoice = choice("reduction", "Mean over", [["nonzero", "those with a loss"], ["mean", "all of them"]]);
    const slider = element("input", { type: "range", name: "margin", min: "0.05", max: "1", step: "0.05" });
    const marginWords = element("span");
    slider.addEventListener("input", () => set({ margin: +slider.value }));
    form.append(element("label", {}, marginWords, slider));
    const shrink = element("button", { type: "button", name: "shrink" }, "Shrink all");
    shrink.addEventListener("click", () => {
      const center = [0, 1].map((axis) => state.points.reduce((sum, point) => sum + point[axis], 0) / state.points.length);
      state.points = state.points.map((point) => point.map((x, axis) => center[axis] + 0.7 * (x - center[axis])));
      draw();
    });
    form.append(shrink);
    const again = element("button", { type: "button" }, "Start again");
    again.addEventListener("click", () => {
      state.points = startPoints.map((point) => [...point]);
      set({ anchor: 0, positive: 2, mining: "semi_hard", margin: 0.3, reduction: "nonzero" });
    });
    form.append(again);

    const svg = element("svg", { role: "group", "aria-label": "Nine images of three people as points in the plane" });
    const back = element("g", { "aria-hidden": "true" });
    const front = element("g");
    svg.append(back, front);
    const lossShown = element("strong", { "data-loss": "" });
    const said = element("p", { class: "said", "aria-live": "polite" });
    const list = element("ul");
    const key = element("p", { class: "key" });
    const patch = (color) => `background: color-mix(in srgb, var(--${color}) 24%, var(--panel))`;
    const stroke = (color, kind) => `height: 0; border-top: 3px ${kind} var(--${color})`;
    for (const [words, look] of [
      ["hard", patch("negative")],
      ["semi-hard", patch("accent")],
      ["easy: outside", "background: var(--panel); border: 1px solid var(--line)"],
      ["positive", stroke("positive", "solid")],
      ["chosen negative", stroke("negative", "dashed")],
      ["chosen, loss 0", stroke("soft", "dotted")],
    ]) key.append(element("span", {}, element("i", { style: look, "aria-hidden": "true" }), words));
    const hint = element(
      "p",
      { class: "hint" },
      "Drag a point, or reach it with Tab and move it with the arrow keys (with Shift: farther). Enter makes it the anchor.",
    );
    const frame = element("div", { class: "miner", role: "region", "aria-label": "The miner, a figure to play with" });
    frame.append(form, svg, key, said, list, hint);
    host.replaceChildren(frame);

    const at = ([x, y]) => [(x - low[0]) * size.scale, size.mapHeight - (y - low[1]) * size.scale];
    const within = (value, axis) => Math.min(Math.max(value, low[axis] + 0.1), high[axis] - 0.1);
    const rounded = (value) => Math.round(value * 100) / 100;

    let grip = null;

    // One group for each point, made once, so that the keyboard focus stays where it is.
    const marks = names.map((name, row) => {
      const mark = element("g", { class: "point", tabindex: "0", role: "button" });
      mark.append(
        element("circle", { class: "halo", r: 22 }),
        shape(row, 9),
        element("text", { x: 14, y: -9, style: "font-weight: 600" }, name),
      );
      mark.addEventListener("keydown", (event) => onKey(event, row));
      mark.addEventListener("pointerdown", (event) => onDown(event, row));
      mark.addEventListener("pointermove", (event) => onMove(event, row));
      mark.addEventListener("pointerup", (event) => onUp(event, row));
      mark.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // drag, don't scroll
      mark.addEventListener("pointercancel", () => { grip = null; });
      front.append(mark);
      return mark;
    });

    function onKey(event, row) {
      const step = event.shiftKey ? 0.2 : 0.05;
      const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (move) {
        event.preventDefault();
        const [x, y] = state.points[row];
        moveTo(row, x + move[0], y + move[1]);
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        set({ anchor: row });
      }
    }

    function place(event) {
      const box = svg.getBoundingClientRect();
      const zoom = box.width / size.width || 1;
      return [
        (event.clientX - box.left) / zoom / size.scale + low[0],
        (size.mapHeight - (event.clientY - box.top) / zoom) / size.scale + low[1],
      ];
    }

    function onDown(event, row) {
      const [x, y] = place(event);
      grip = { row, dx: state.points[row][0] - x, dy: state.points[row][1] - y, x: event.clientX, y: event.clientY, moved: false };
      marks[row].setPointerCapture(event.pointerId);
      marks[row].focus({ preventScroll: true });
      event.preventDefault();
    }

    function onMove(event, row) {
      if (!grip || grip.row !== row) return;
      if (!grip.moved && Math.hypot(event.clientX - grip.x, event.clientY - grip.y) < 4) return;
      grip.moved = true;
      const [x, y] = place(event);
      moveTo(row, x + grip.dx, y + grip.dy);
    }

    function onUp(event, row) {
      if (grip && grip.row === row && !grip.moved) set({ anchor: row });
      grip = null;
    }

    function moveTo(row, x, y) {
      state.points[row] = [rounded(within(x, 0)), rounded(within(y, 1))];
      draw();
    }

    function set(changes) {
      Object.assign(state, changes);
      draw();
    }

    // Beside the map where there is width for it, below it on a phone.
    function layOut() {
      const width = Math.max(260, Math.min(760, frame.clientWidth - 26 || 700));
      const isNarrow = width < 520;
      const mapWidth = isNarrow ? width : width - 160;
      const scale = mapWidth / (high[0] - low[0]);
      const mapHeight = scale * (high[1] - low[1]);
      size = { width, scale, isNarrow, mapWidth, mapHeight, height: isNarrow ? mapHeight + 80 : mapHeight };
      svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    }

    function drawZones(result) {
      const clip = element("clipPath", { id: "miner-sheet" });
      clip.append(element("rect", { width: size.mapWidth, height: size.mapHeight }));
      back.append(element("defs", {}, clip));
      const [x, y] = at(state.points[state.anchor]);
      const inner = result.distances[state.anchor][state.positive] * size.scale;
      const outer = inner + (state.mining === "weighted" ? 0 : state.margin * size.scale);
      const zones = element("g", { "clip-path": "url(#miner-sheet)" });
      zones.append(
        element("circle", { cx: x, cy: y, r: outer, style: "fill: var(--accent); opacity: 0.16" }),
        element("circle", { cx: x, cy: y, r: inner, style: "fill: var(--negative); opacity: 0.16" }),
        element("circle", { cx: x, cy: y, r: inner, style: "fill: none; stroke: var(--soft); stroke-width: 1.8" }),
        element("circle", {
          cx: x, cy: y, r: outer, style: "fill: none; stroke: var(--soft); stroke-width: 1.8; stroke-dasharray: 6 5",
        }),
      );
      back.append(zones);
    }

    function drawLines(result) {
      const from = at(state.points[state.anchor]);
      function line(row, color, width, dash = "") {
        const to = at(state.points[row]);
        back.append(element("line", {
          x1: from[0], y1: from[1], x2: to[0], y2: to[1],
          style: `stroke: var(--${color}); stroke-width: ${width}; stroke-dasharray: ${dash || "none"}`,
        }));
      }
      const chosen = result.items.filter((item) => item.anchor === state.anchor);
      for (const row of new Set(chosen.map((item) => item.positive))) line(row, "positive", 2.4);
      if (state.mining === "weighted") {
        for (const [row, share] of sharesOf(result.distances, labels, state.anchor, temperature)) {
          if (share >= 0.005) line(row, "negative", 0.6 + 7 * share, "7 5");
        }
        return;
      }
      for (const row of new Set(chosen.filter((item) => item.active).map((item) => item.negative))) line(row, "negative", 2.4, "7 5");
      const spared = chosen.filter((item) => !item.active).map((item) => item.negative);
      for (const row of new Set(spared)) {
        if (!chosen.some((item) => item.active && item.negative === row)) line(row, "soft", 2, "2 5");
      }
    }

    function drawBar(result) {
      const { isNarrow, mapWidth, mapHeight, width, height } = size;
      const hasFloor = !Number.isNaN(result.uninformed);
      const most = Math.max(result.loss, hasFloor ? result.uninformed : 0, 0.5);
      const free = isNarrow ? width - 30 : height - 70;
      const long = (value) => (free * value) / most;
      const rect = (x, y, wide, tall, color) =>
        back.append(element("rect", { x, y, width: wide, height: tall, style: `fill: var(--${color})` }));
      const line = (x1, y1, x2, y2, look) => back.append(element("line", { x1, y1, x2, y2, style: look }));
      const text = (x, y, words, anchor = "start", weight = 400) =>
        back.append(element("text", { x, y, "text-anchor": anchor, style: `font-weight: ${weight}` }, words));
      const dotted = "stroke: var(--ink); stroke-width: 2; stroke-dasharray: 2 4";
      if (isNarrow) {
        rect(0, mapHeight, width, height - mapHeight, "ground");
        rect(0, mapHeight + 31, long(result.loss), 24, "first");
        text(0, mapHeight + 74, `loss of the batch ${result.loss.toFixed(3)}`, "start", 600);
        if (!hasFloor) return;
        const x = long(result.uninformed);
        line(x, mapHeight + 28, x, mapHeight + 58, dotted);
        text(Math.min(Math.max(x, 66), width - 66), mapHeight + 22, `uninformed ${result.uninformed.toFixed(3)}`, "middle");
        return;
      }
      const base = height - 30;
      rect(mapWidth, 0, width - mapWidth, height, "ground");
      line(mapWidth + 12, base, width - 6, base, "stroke: var(--soft)");
      rect(mapWidth + 16, base - long(result.loss), 40, long(result.loss), "first");
      text(mapWidth + 12, base + 20, "loss of the batch");
      text(mapWidth + 36, base - long(result.loss) - 8, result.loss.toFixed(3), "middle", 600);
      if (!hasFloor) return;
      const y = base - long(result.uninformed);
      line(mapWidth + 12, y, width - 6, y, dotted);
      text(mapWidth + 68, y - 7, "uninformed");
      text(mapWidth + 68, y + 19, result.uninformed.toFixed(3));
    }

    function zone(result, row) {
      const to = result.distances[state.anchor];
      return zoneOf(to[state.positive], to[row], state.mining === "weighted" ? 0 : state.margin);
    }

    function drawMarks(result) {
      marks.forEach((mark, row) => {
        const [x, y] = at(state.points[row]);
        mark.setAttribute("transform", `translate(${x} ${y})`);
        mark.setAttribute("aria-pressed", String(row === state.anchor));
        let role = "";
        if (row === state.anchor) role = "the anchor";
        else if (labels[row] === labels[state.anchor]) role = "a positive";
        else role = `a ${zone(result, row)} negative`;
        const place = state.points[row].map((value) => value.toFixed(2)).join(", ");
        const far = row === state.anchor ? "" : `, ${result.distances[state.anchor][row].toFixed(2)} from the anchor`;
        mark.setAttribute("aria-label", `${names[row]} at ${place}: ${role}${far}`);
      });
      const [x, y] = at(state.points[state.anchor]);
      back.append(element("circle", { cx: x, cy: y, r: 15, style: "fill: none; stroke: var(--ink); stroke-width: 2" }));
    }

    function tell(result) {
      const unit = state.mining === "weighted" ? "pairs" : "triplets";
      lossShown.textContent = `loss ${result.loss.toFixed(3)}`;
      lossShown.setAttribute("data-loss", String(result.loss));
      const still = state.mining === "weighted" ? "whose positive is not the nearer" : "with a loss";
      const isOverAll = state.reduction === "mean" || state.mining === "weighted"; // every weighted pair has a loss
      said.replaceChildren(
        `${miners[state.mining]}: ${result.triplets} ${unit} in the batch, ${result.active} ${still}; `,
        `mean over ${isOverAll ? "all" : "these"}: `,
        lossShown,
        `, uninformed ${result.uninformed.toFixed(3)}. With the anchor ${names[state.anchor]}:`,
      );
      const to = result.distances[state.anchor];
      const rows = result.items.filter((item) => item.anchor === state.anchor);
      list.replaceChildren(...rows.map((item) => {
        const positive = `${names[state.anchor]} with ${names[item.positive]} (${to[item.positive].toFixed(2)})`;
        const negative = item.negative === null ? "all negatives" : `${names[item.negative]} (${to[item.negative].toFixed(2)})`;
        return element("li", {}, `${positive} and ${negative}: loss ${item.loss.toFixed(3)}`);
      }));
    }

    function draw() {
      const result = tripletLoss(state.points, labels, { ...state, temperature });
      const positives = positivesOf(labels, state.anchor);
      const farthest = extreme(positives, result.distances[state.anchor], -1);
      if (state.mining === "batch_hard" || !positives.includes(state.positive)) state.positive = farthest;
      positiveChoice.replaceChildren(...positives.map((row) => element("option", { value: row }, names[row])));
      positiveChoice.value = state.positive;
      positiveChoice.disabled = state.mining === "batch_hard";
      minerChoice.value = state.mining;
      anchorChoice.value = state.anchor;
      meanChoice.value = state.reduction;
      slider.value = state.margin;
      slider.disabled = state.mining === "weighted";
      marginWords.textContent = `Margin ${state.margin.toFixed(2)}`;
      back.replaceChildren();
      drawZones(result);
      drawLines(result);
      drawBar(result);
      drawMarks(result);
      tell(result);
      return result;
    }

    layOut();
    draw();
    if (typeof ResizeObserver !== "undefined") {
      let known = frame.clientWidth;
      new ResizeObserver(() => {
        if (frame.clientWidth === known) return;
        known = frame.clientWidth;
        layOut();
        draw();
      }).observe(frame);
    }
    return {
      state: () => JSON.parse(JSON.stringify(state)),
      set,
      moveTo: (name, x, y) => moveTo(names.indexOf(name), x, y),
      point: (name) => marks[names.indexOf(name)],
      shownLoss: () => +lossShown.getAttribute("data-loss"),
      frame,
    };
  }

  function start() {
    const host = document.getElementById("figure-miner");
    if (!host) return;
    window.siameseFigures = { ...window.siameseFigures, miner: { ...pure, ...build(host) } };
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
