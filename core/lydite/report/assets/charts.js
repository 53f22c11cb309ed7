// Charts arrive as plotly figures whose colours are names; here they get the colours of the page's theme.
const SMALL = window.matchMedia("(max-width: 720px)");
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
const COARSE = window.matchMedia("(pointer: coarse)");

function themeColor(name) {
  const [, series, kind] = name.match(/^@(\d)(?:-(soft|area))?$/) || [];
  const color = getComputedStyle(document.documentElement).getPropertyValue("--c" + series).trim();
  return kind ? color + (kind === "soft" ? "2e" : "b8") : color;
}

function themed(value) {
  if (typeof value === "string") return value.startsWith("@") ? themeColor(value) : value;
  if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map(themed);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, themed(one)]));
  return value;
}

function layoutOf(chart) {
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--strong-line"), linecolor: color("--strong-line"), tickcolor: color("--strong-line"), nticks: 6 };
  return {
    autosize: true,
    uirevision: chart.id,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: css.getPropertyValue("--sans"), size: 12, color: color("--muted") },
    margin: { l: 50, r: chart.layout.yaxis2 ? 50 : 14, t: chart.layout.showlegend ? 30 : 10, b: 30 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: color("--card"), bordercolor: color("--strong-line"), font: { color: color("--ink"), size: 12 } },
    dragmode: COARSE.matches ? false : "zoom",
    modebar: { bgcolor: color("--card"), color: color("--muted"), activecolor: color("--gold") },
    showlegend: chart.layout.showlegend,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11.5 }, itemwidth: 30, traceorder: "normal", tracegroupgap: 0 },
    xaxis: { ...axis, showgrid: false, ticks: "outside", ticklen: 4, zeroline: false, unifiedhovertitle: { text: "step %{x}" } },
    yaxis: { ...axis, zeroline: true, ...chart.layout.yaxis },
    ...(chart.layout.yaxis2 ? { yaxis2: { ...axis, ...chart.layout.yaxis2 } } : {}),
  };
}

function drawChart(node, chart) {
  const config = { responsive: true, displaylogo: false, displayModeBar: SMALL.matches || COARSE.matches ? false : "hover", modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] };
  return window.Plotly.react(node, themed(chart.data), layoutOf(chart), config);
}

// As many columns as leave no lone chart in the last row.
function columnsFor(n) {
  return n === 1 ? 1 : n % 3 === 0 ? 3 : n % 2 === 0 ? 2 : 3;
}

function chartGrid() {
  const node = el("div", { class: "charts" });
  const cards = new Map();
  let shown = [];
  const draw = () => { if (window.Plotly) for (const chart of shown) drawChart(cards.get(chart.id).plot, chart); };
  DARK.addEventListener("change", draw);
  return {
    node,
    draw,
    show(charts) {
      shown = charts;
      node.dataset.columns = columnsFor(charts.length);
      for (const chart of charts) {
        if (!cards.has(chart.id)) {
          const title = el("h3", {}), hint = el("p", {}), plot = el("div", { class: "plot", role: "img" });
          const figure = el("figure", { class: "chart", id: "chart-" + chart.id }, el("figcaption", {}, title, hint), plot);
          cards.set(chart.id, { figure, title, hint, plot });
          node.append(figure);
        }
        const card = cards.get(chart.id);
        card.title.textContent = chart.title;
        card.hint.textContent = chart.hint;
        card.plot.setAttribute("aria-label", chart.summary);
      }
      draw();
    },
  };
}
