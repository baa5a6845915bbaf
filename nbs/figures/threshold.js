// The threshold, a figure to play with: pairs of one person above a level line, pairs of two people below it, by
// their distances. A slider moves the threshold; marks on its wrong side are errors.
//
// The upper half holds pure functions that compute what siamese_nbdev.verification computes (tests/test_threshold_figure.py
// compares them). The lower half draws. No library, no network: one file, loaded by nbs/08_verification.ipynb.
"use strict";

(function () {
  // Distance in thousandths, and the two people of each pair of `valid`, by the network that the pages share.
  // Written by tools/figures.py.
  // stored pairs: begin
  const stored = [
    [287, 16, 16], [311, 16, 16], [347, 103, 103], [360, 30, 30], [369, 132, 132], [373, 103, 103], [388, 129, 129], [395, 16, 16],
    [404, 30, 30], [406, 103, 103], [425, 16, 16], [425, 116, 116], [429, 16, 16], [430, 16, 16], [434, 123, 123], [437, 98, 98],
    [439, 98, 98], [445, 98, 98], [447, 58, 58], [452, 98, 98], [455, 103, 103], [455, 58, 58], [456, 16, 16], [458, 211, 211],
    [460, 98, 98], [460, 16, 16], [465, 58, 58], [475, 98, 98], [477, 98, 98], [493, 194, 194], [496, 116, 116], [498, 98, 98],
    [498, 98, 98], [499, 58, 58], [502, 193, 193], [504, 193, 193], [510, 36, 36], [511, 36, 36], [512, 103, 103], [529, 103, 103],
    [532, 58, 58], [539, 194, 194], [547, 6, 6], [548, 71, 71], [549, 193, 193], [551, 30, 30], [561, 156, 156], [562, 103, 103],
    [573, 116, 116], [574, 129, 129], [575, 143, 143], [581, 129, 129], [588, 6, 6], [588, 71, 71], [590, 116, 116], [593, 68, 68],
    [593, 194, 194], [595, 20, 20], [599, 20, 20], [599, 116, 116], [605, 211, 211], [606, 39, 39], [612, 68, 68], [613, 71, 71],
    [614, 30, 30], [618, 143, 143], [619, 129, 129], [623, 20, 20], [624, 36, 36], [625, 20, 20], [630, 116, 116], [640, 36, 36],
    [644, 68, 68], [646, 71, 71], [649, 36, 36], [649, 6, 6], [650, 36, 36], [650, 193, 193], [658, 6, 6], [663, 39, 39],
    [667, 140, 140], [669, 116, 116], [689, 129, 129], [694, 116, 116], [696, 211, 211], [697, 194, 194], [703, 103, 103], [709, 6, 6],
    [713, 30, 30], [715, 6, 6], [727, 71, 71], [735, 194, 194], [738, 194, 194], [746, 211, 211], [747, 20, 20], [752, 36, 36],
    [753, 39, 39], [756, 58, 58], [764, 20, 68], [769, 39, 39], [769, 20, 20], [783, 39, 39], [791, 58, 58], [797, 30, 30],
    [799, 143, 143], [807, 143, 143], [808, 71, 71], [823, 20, 129], [828, 156, 156], [829, 129, 129], [835, 20, 20], [835, 58, 58],
    [842, 143, 143], [844, 58, 58], [846, 39, 211], [873, 143, 143], [877, 58, 135], [896, 103, 116], [902, 20, 20], [913, 20, 140],
    [926, 143, 143], [927, 20, 20], [941, 58, 58], [966, 98, 129], [975, 123, 194], [976, 58, 123], [983, 58, 135], [984, 123, 194],
    [1001, 143, 143], [1034, 58, 58], [1087, 30, 39], [1089, 16, 30], [1098, 16, 211], [1106, 36, 71], [1111, 68, 129], [1113, 68, 98],
    [1179, 30, 39], [1181, 58, 143], [1187, 58, 98], [1191, 58, 58], [1195, 58, 98], [1202, 36, 39], [1210, 68, 116], [1210, 39, 211],
    [1215, 36, 71], [1217, 58, 98], [1247, 98, 135], [1251, 58, 194], [1253, 13, 16], [1253, 30, 39], [1253, 132, 194], [1255, 98, 123],
    [1255, 16, 129], [1256, 129, 135], [1258, 36, 39], [1260, 80, 194], [1263, 20, 211], [1275, 58, 143], [1276, 6, 36], [1279, 16, 129],
    [1279, 20, 58], [1282, 20, 58], [1282, 16, 98], [1282, 30, 80], [1287, 16, 20], [1291, 36, 71], [1293, 13, 80], [1294, 16, 58],
    [1295, 16, 129], [1297, 39, 71], [1301, 103, 194], [1304, 13, 80], [1305, 16, 20], [1306, 13, 16], [1306, 58, 129], [1307, 16, 68],
    [1307, 58, 156], [1308, 103, 193], [1309, 98, 103], [1311, 98, 103], [1312, 16, 20], [1318, 36, 129], [1332, 6, 129], [1334, 193, 194],
    [1338, 16, 20], [1340, 98, 103], [1340, 36, 129], [1341, 193, 194], [1343, 58, 123], [1344, 116, 143], [1346, 20, 123], [1351, 98, 140],
    [1351, 16, 20], [1354, 58, 211], [1361, 98, 140], [1362, 129, 132], [1364, 16, 143], [1365, 36, 211], [1368, 13, 116], [1370, 16, 140],
    [1373, 16, 68], [1375, 6, 98], [1378, 39, 71], [1379, 16, 116], [1379, 20, 132], [1380, 36, 68], [1381, 16, 132], [1382, 116, 193],
    [1384, 103, 211], [1386, 36, 116], [1387, 36, 156], [1392, 71, 116], [1392, 20, 132], [1393, 140, 211], [1396, 16, 58], [1397, 16, 156],
    [1397, 6, 20], [1399, 129, 193], [1400, 36, 116], [1401, 36, 193], [1403, 194, 211], [1404, 20, 58], [1405, 20, 211], [1405, 39, 71],
    [1405, 13, 20], [1405, 143, 156], [1406, 36, 103], [1407, 71, 156], [1408, 20, 30], [1412, 36, 193], [1413, 6, 103], [1414, 6, 103],
    [1416, 129, 143], [1417, 98, 156], [1417, 103, 143], [1418, 103, 143], [1420, 30, 71], [1422, 36, 193], [1425, 16, 116], [1425, 6, 71],
    [1426, 39, 143], [1426, 80, 193], [1427, 6, 71], [1429, 116, 156], [1430, 20, 116], [1430, 39, 71], [1432, 36, 143], [1432, 36, 123],
    [1432, 36, 129], [1433, 16, 156], [1433, 36, 129], [1434, 140, 156], [1437, 39, 132], [1437, 16, 132], [1437, 36, 39], [1438, 116, 211],
    [1438, 20, 103], [1440, 36, 80], [1441, 20, 39], [1442, 58, 211], [1443, 16, 80], [1443, 193, 211], [1444, 36, 123], [1444, 132, 211],
    [1444, 58, 193], [1445, 68, 116], [1445, 123, 193], [1445, 39, 132], [1447, 116, 211], [1449, 68, 116], [1449, 68, 132], [1449, 194, 211],
    [1449, 68, 194], [1451, 129, 193], [1452, 71, 103], [1453, 16, 135], [1454, 129, 143], [1454, 58, 68], [1456, 58, 103], [1458, 116, 123],
    [1459, 36, 132], [1462, 36, 193], [1464, 39, 143], [1465, 129, 211], [1466, 36, 211], [1469, 13, 211], [1470, 6, 132], [1472, 6, 58],
    [1475, 58, 211], [1475, 58, 116], [1481, 58, 103], [1481, 6, 71], [1481, 6, 143], [1481, 98, 116], [1483, 140, 193], [1483, 103, 132],
    [1485, 143, 211], [1485, 30, 129], [1486, 36, 103], [1487, 36, 103], [1489, 20, 39], [1489, 39, 140], [1490, 36, 194], [1490, 6, 143],
    [1490, 132, 193], [1492, 20, 143], [1493, 30, 132], [1494, 16, 80], [1494, 30, 123], [1497, 36, 98], [1498, 6, 135], [1499, 30, 71],
    [1499, 103, 143], [1500, 98, 116], [1502, 6, 194], [1505, 68, 71], [1512, 30, 123], [1512, 71, 194], [1513, 13, 39], [1517, 36, 194],
    [1521, 6, 116], [1523, 30, 193], [1524, 39, 58], [1526, 30, 123], [1526, 20, 116], [1526, 129, 143], [1526, 71, 143], [1528, 71, 143],
    [1528, 30, 103], [1528, 143, 211], [1529, 30, 103], [1533, 116, 129], [1535, 71, 132], [1536, 140, 194], [1536, 36, 80], [1536, 116, 211],
    [1537, 123, 140], [1542, 16, 71], [1542, 116, 129], [1546, 20, 39], [1549, 71, 194], [1549, 71, 129], [1550, 58, 71], [1550, 30, 71],
    [1550, 116, 132], [1551, 30, 123], [1552, 6, 116], [1552, 39, 129], [1555, 68, 143], [1555, 71, 98], [1556, 30, 36], [1563, 13, 143],
    [1564, 58, 116], [1566, 20, 116], [1568, 30, 123], [1568, 71, 98], [1582, 16, 71], [1586, 68, 143], [1586, 71, 194], [1597, 58, 116],
  ];
  // stored pairs: end

  // ---------------------------------------------------------------- what the library computes

  /** How many pairs of each kind a threshold accepts and rejects, and both rates. */
  function confusion(pairs, threshold) {
    const counts = { friendsIn: 0, friendsOut: 0, strangersIn: 0, strangersOut: 0 };
    for (const { distance, isSame } of pairs) {
      const who = isSame ? "friends" : "strangers";
      counts[who + (distance <= threshold ? "In" : "Out")] += 1;
    }
    const falseAcceptRate = counts.strangersIn / (counts.strangersIn + counts.strangersOut);
    const falseRejectRate = counts.friendsOut / (counts.friendsIn + counts.friendsOut);
    return { ...counts, falseAcceptRate, falseRejectRate };
  }

  /** Both rates after each distance, smallest first; the first row accepts nothing. */
  function roc(pairs) {
    const distances = [...new Set(pairs.map((pair) => pair.distance))].sort((a, b) => a - b);
    return [-Infinity, ...distances].map((threshold) => ({ threshold, ...confusion(pairs, threshold) }));
  }

  /** The rate at which both errors are equally frequent, on a line between two rows where need be, and its distance. */
  function equalErrorRate(pairs) {
    const curve = roc(pairs);
    const gap = (row) => curve[row].falseRejectRate - curve[row].falseAcceptRate;
    const row = curve.findIndex((_, number) => gap(number) < 1e-12);
    const share = gap(row - 1) / (gap(row - 1) - gap(row));
    const before = curve[row - 1].falseAcceptRate;
    return { rate: before + share * (curve[row].falseAcceptRate - before), distance: curve[row].threshold };
  }

  /** The largest distance that accepts at most this share of the different pairs. */
  function largestDistance(pairs, falseAcceptRate) {
    return roc(pairs).filter((row) => row.falseAcceptRate <= falseAcceptRate).pop().threshold;
  }

  /** The rate that may still be true, with 95 % confidence, where n pairs show no error: the rule of three, exactly. */
  function highestUnseenRate(n) {
    return 1 - 0.05 ** (1 / n);
  }

  /** The pairs that change sides when the threshold moves. */
  function flipped(pairs, from, to) {
    const [low, high] = from < to ? [from, to] : [to, from];
    return pairs.filter(({ distance }) => distance > low && distance <= high);
  }

  /** For each place, the lowest level on which no earlier mark lies nearer than a width: heaps of marks. */
  function heap(places, width) {
    const ends = [];
    return places.map((place) => {
      let level = ends.findIndex((end) => place - end >= width);
      if (level < 0) level = ends.length;
      ends[level] = place;
      return level;
    });
  }

  const pairs = stored.map(([thousandths, first, second]) => ({
    distance: thousandths / 1000, isSame: first === second, first, second,
  }));
  const pure = { pairs, confusion, roc, equalErrorRate, largestDistance, highestUnseenRate, flipped, heap };
  if (typeof module !== "undefined") module.exports = pure;
  if (typeof document === "undefined") return;

  // ---------------------------------------------------------------- the figure

  const style = `
.threshold { LIGHT color: var(--ink); background: var(--ground); border: 1px solid var(--line); border-radius: 8px;
  padding: 0.75rem; margin: 1rem 0; max-width: 760px;
  font: 16px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { body:not(.quarto-light) .threshold { DARK } }
body.quarto-dark .threshold, [data-bs-theme="dark"] .threshold { DARK }
[data-bs-theme="light"] .threshold { LIGHT }
.threshold form { margin: 0 0 0.6rem; }
.threshold label { display: block; font-weight: 600; font-variant-numeric: tabular-nums; }
.threshold input { display: block; width: 100%; margin: 0.2rem 0 0.5rem; min-height: 2rem; accent-color: var(--anchor); }
.threshold button { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--soft);
  border-radius: 6px; padding: 0.3rem 0.6rem; min-height: 2.4rem; margin: 0 0.4rem 0.4rem 0; }
.threshold :is(button, input):focus-visible { outline: 3px solid var(--anchor); outline-offset: 2px; }
.threshold svg { display: block; width: 100%; height: auto; background: var(--panel); border-radius: 6px; }
.threshold text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.threshold .same { stroke: var(--positive); fill: none; }
.threshold .different { stroke: var(--negative); fill: none; }
.threshold .same.wrong { fill: var(--positive); }
.threshold .different.wrong { fill: var(--negative); }
.threshold .right { opacity: 0.75; }
.threshold .flip { stroke: var(--ink); stroke-width: 2.5; opacity: 1; }
.threshold table { border-collapse: collapse; margin: 0.7rem 0 0; width: 100%; font-variant-numeric: tabular-nums; }
.threshold th, .threshold td { border: 1px solid var(--line); padding: 0.3rem 0.5rem; text-align: right; font-weight: 400;
  color: var(--ink); background: none; }
.threshold th { color: var(--soft); }
.threshold th[scope="row"] { text-align: left; }
.threshold td.wrong { font-weight: 700; background: var(--panel); }
.threshold .said { margin: 0.7rem 0 0; font-variant-numeric: tabular-nums; }
.threshold .flips { margin: 0.3rem 0 0; font-size: 0.95rem; color: var(--soft); font-variant-numeric: tabular-nums;
  min-height: 2.8em; }
`;
  const lightColors = `--ground: #ffffff; --panel: #f1f4f7; --ink: #1f2933; --soft: #5b6670; --line: #b8c0c8;
  --positive: #2f7a46; --negative: #b83a40; --anchor: #3a62a7;`;
  const darkColors = `--ground: #1b2026; --panel: #262d35; --ink: #e6eaee; --soft: #a7b1bb; --line: #4a545e;
  --positive: #7ccb93; --negative: #f08a8f; --anchor: #8fb1ee;`;
  const drawn = ["svg", "g", "line", "rect", "polygon", "text"];

  function element(tag, attributes = {}, ...children) {
    const made = drawn.includes(tag)
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  function build(host) {
    const step = 0.005;
    const farthest = Math.ceil(Math.max(...pairs.map((pair) => pair.distance)) * 10) / 10;
    const equal = equalErrorRate(pairs);
    const state = { threshold: equal.distance, before: null };
    const same = pairs.filter((pair) => pair.isSame).sort((a, b) => a.distance - b.distance);
    const different = pairs.filter((pair) => !pair.isSame).sort((a, b) => a.distance - b.distance);

    if (!document.getElementById("threshold-style")) {
      const dressed = style.replaceAll("DARK", darkColors).replaceAll("LIGHT", lightColors);
      document.head.append(element("style", { id: "threshold-style" }, dressed));
    }

    const form = element("form", { "aria-label": "The threshold" });
    form.addEventListener("submit", (event) => event.preventDefault());
    const words = element("span");
    const slider = element("input", {
      type: "range", name: "threshold", id: "threshold-slider", min: 0, max: farthest, step,
    });
    slider.addEventListener("input", () => moveTo(+slider.value));
    form.append(element("label", { for: "threshold-slider" }, words), slider);
    for (const [name, shown, place] of [
      ["none", "No stranger comes in", () => largestDistance(pairs, 0)],
      ["equal", "Both errors equal", () => equal.distance],
      ["two", "At most 2 strangers in 100", () => largestDistance(pairs, 0.02)],
    ]) {
      const button = element("button", { type: "button", name }, shown);
      // The slider knows steps of 0.005; the place itself may lie between two of them.
      button.addEventListener("click", () => moveTo(place()));
      form.append(button);
    }

    const svg = element("svg", {
      role: "img", "aria-label": "Pairs of one person above a level line and pairs of two people below it, by distance; an upright line is the threshold",
    });
    const back = element("g");
    const marks = element("g");
    const front = element("g");
    svg.append(back, marks, front);
    const cells = {};
    const cell = (name, isWrong) => (cells[name] = element("td", isWrong ? { class: "wrong" } : {}));
    const head = (text) => element("th", { scope: "col" }, text);
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("td"), head("accepted"), head("rejected"), head("error rate"))),
      element(
        "tbody",
        {},
        element("tr", {}, element("th", { scope: "row" }, "same person"), cell("friendsIn"), cell("friendsOut", true), cell("falseRejectRate")),
        element("tr", {}, element("th", { scope: "row" }, "two people"), cell("strangersIn", true), cell("strangersOut"), cell("falseAcceptRate")),
      ),
    );
    const said = element("p", { class: "said", "aria-live": "polite" });
    const flips = element("p", { class: "flips" });
    const frame = element("div", { class: "threshold", role: "region", "aria-label": "The threshold, a figure to play with" });
    frame.append(form, svg, table, said, flips);
    host.replaceChildren(frame);

    const shapes = new Map();
    let size;

    function layOut() {
      const width = Math.max(260, Math.min(760, frame.clientWidth - 26 || 700));
      const mark = width < 520 ? 4.6 : 7.2;
      const left = 12;
      const scale = (width - 2 * left) / farthest;
      const at = (distance) => left + distance * scale;
      const levels = [same, different].map((kind) => heap(kind.map((pair) => at(pair.distance)), mark + 1));
      const heights = levels.map((kind) => (Math.max(...kind) + 1) * (mark + 1));
      const middle = 34 + heights[0];
      size = { width, mark, at, middle, height: middle + heights[1] + 60 };
      svg.setAttribute("viewBox", `0 0 ${width} ${size.height}`);
      marks.replaceChildren();
      [same, different].forEach((kind, number) => {
        kind.forEach((pair, row) => {
          const x = at(pair.distance);
          const away = (levels[number][row] + 0.5) * (mark + 1) + 3;
          const y = number ? middle + away : middle - away;
          const half = mark / 2;
          const shape = number
            ? element("polygon", { points: `${x},${y - half} ${x + half},${y + half} ${x - half},${y + half}` })
            : element("rect", { x: x - half, y: y - half, width: mark, height: mark });
          shapes.set(pair, shape);
          marks.append(shape);
        });
      });
    }

    function drawAxis() {
      const { width, middle, height, at } = size;
      const base = height - 30;
      back.replaceChildren(
        element("rect", { x: 0, y: 0, width: at(state.threshold), height: base, style: "fill: var(--anchor); opacity: 0.1" }),
        element("line", { x1: 0, y1: middle, x2: width, y2: middle, style: "stroke: var(--soft)" }),
        element("line", { x1: 0, y1: base, x2: width, y2: base, style: "stroke: var(--line)" }),
        element("text", { x: 10, y: 22, style: "fill: var(--positive); font-weight: 600" }, "same person"),
        element("text", { x: 10, y: base - 10, style: "fill: var(--negative); font-weight: 600" }, "two people"),
      );
      for (let tick = 0; tick < farthest - 0.05; tick += 0.5) {
        back.append(element("text", { x: at(tick), y: height - 9, "text-anchor": tick ? "middle" : "start" }, tick.toFixed(1)));
      }
      back.append(element("text", { x: width - 10, y: base - 10, "text-anchor": "end", style: "fill: var(--soft)" }, "distance"));
      const x = at(state.threshold);
      const isRight = x < 250;
      front.replaceChildren(
        element("line", { x1: x, y1: 0, x2: x, y2: base, style: "stroke: var(--ink); stroke-width: 2" }),
        element("text", {
          x: isRight ? Math.max(x + 8, 125) : x - 8, y: 22, "text-anchor": isRight ? "start" : "end", style: "font-weight: 600",
        }, isRight ? "rejected \u2192" : "\u2190 accepted"),
      );
    }

    function tell(counts, changed) {
      for (const name of ["friendsIn", "friendsOut", "strangersIn", "strangersOut"]) cells[name].textContent = counts[name];
      cells.falseAcceptRate.textContent = percent(counts.falseAcceptRate);
      cells.falseRejectRate.textContent = percent(counts.falseRejectRate);
      words.textContent = `Threshold ${state.threshold.toFixed(3)}`;
      slider.value = state.threshold;
      slider.setAttribute("aria-valuetext", state.threshold.toFixed(3));
      const unseen = counts.strangersIn
        ? ""
        : ` None among ${different.length} is not never: the true rate may be ${percent(highestUnseenRate(different.length))}.`;
      said.textContent =
        `Threshold ${state.threshold.toFixed(3)}: ${counts.strangersIn} of ${different.length} strangers let in ` +
        `(${percent(counts.falseAcceptRate)}), ${counts.friendsOut} of ${same.length} friends sent away ` +
        `(${percent(counts.falseRejectRate)}).${unseen}`;
      if (state.before === null) {
        flips.textContent = "Move the threshold: the pairs that change sides are listed here.";
        return;
      }
      const verb = state.threshold > state.before ? "now accepted" : "now rejected";
      const named = changed.slice(0, 4).map(({ first, second, distance, isSame }) =>
        isSame ? `person ${first} (${distance.toFixed(3)})` : `${first} with ${second} (${distance.toFixed(3)})`);
      const more = changed.length > named.length ? ` and ${changed.length - named.length} more` : "";
      flips.textContent = changed.length
        ? `From ${state.before.toFixed(3)}: ${changed.length} ${verb}: ${named.join(", ")}${more}.`
        : `From ${state.before.toFixed(3)}: no pair changed sides.`;
    }

    function draw() {
      const counts = confusion(pairs, state.threshold);
      const changed = state.before === null ? [] : flipped(pairs, state.before, state.threshold);
      for (const [pair, shape] of shapes) {
        const isWrong = pair.isSame !== pair.distance <= state.threshold;
        const isFlip = changed.includes(pair);
        shape.setAttribute(
          "class",
          `${pair.isSame ? "same" : "different"} ${isWrong ? "wrong" : "right"}${isFlip ? " flip" : ""}`,
        );
      }
      drawAxis();
      tell(counts, changed);
    }

    function moveTo(threshold) {
      state.before = state.threshold;
      state.threshold = Math.round(threshold * 1000) / 1000;
      draw();
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
    return { state: () => ({ ...state }), moveTo, frame };
  }

  function start() {
    const host = document.getElementById("figure-threshold");
    if (!host) return;
    window.siameseFigures = { ...window.siameseFigures, threshold: { ...pure, ...build(host) } };
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
