// Everything that a run says goes into the page through text nodes and attributes set here: never as HTML.
const NOTHING = "—";

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "width") node.style.width = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
}

function num(value, digits = 3) {
  if (typeof value !== "number") return NOTHING;
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits);
}

function signed(value) {
  return typeof value === "number" ? (value > 0 ? "+" : "") + value.toFixed(2) : NOTHING;
}

function percent(share) {
  return typeof share === "number" ? (share * 100).toFixed(1) + "%" : NOTHING;
}

function seconds(value) {
  if (typeof value !== "number") return NOTHING;
  return value < 0.001 ? (value * 1e6).toFixed(0) + " µs" : value < 1 ? (value * 1e3).toFixed(1) + " ms" : value.toFixed(2) + " s";
}

function oneLine(text) {
  return text.slice(0, 400).replace(/\s+/g, " ").trim();
}

function option(value, label) {
  return el("option", { value }, label === undefined ? value : label);
}

// Choices that come from data: replaced only when they changed, and what was chosen stays chosen.
function setOptions(select, options) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options === wanted) return;
  const chosen = select.value;
  fill(select, options.map(([value, label]) => option(value, label)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
  select.dataset.options = wanted;
}

function pager(onMove) {
  const label = el("span", { "aria-live": "polite" });
  const back = el("button", { class: "act", type: "button", click: () => onMove(-1) }, "Previous");
  const next = el("button", { class: "act", type: "button", click: () => onMove(1) }, "Next");
  const node = el("div", { class: "pager" }, back, label, next);
  return {
    node,
    show(page, pages) {
      node.hidden = pages < 2;
      label.textContent = `Page ${page + 1} of ${pages}`;
      back.disabled = page === 0;
      next.disabled = page >= pages - 1;
    },
  };
}
