// Puts the page together once, and again with every piece of news while a run is followed.
const POLL = 2000;
const SECTIONS = [
  ["overview", "Overview", ""],
  ["heldout", "Before and after", "The same held-out questions, answered greedily before training and later. Open an answer to read all of it.", "no charts"],
  ["rewards", "Rewards", "What each reward gave, before its weight."],
  ["completions", "Completions", "Every completion with every verdict. Open one to read it."],
  ["learning", "Learning", "The optimisation itself."],
  ["machine", "Machine", "Where time and memory went."],
  ["setup", "Set-up", "What is needed to run it again.", "no charts"],
];

function section(id, title, lead, ...content) {
  return el("section", { id, "aria-labelledby": id + "-title" }, el("h2", { id: id + "-title" }, title), el("p", { class: "lead", hidden: !lead }, lead), ...content);
}

function start() {
  const main = document.getElementById("main"), nav = document.getElementById("nav"), foot = document.getElementById("foot");
  const grids = new Map(SECTIONS.filter(([, , , kind]) => kind !== "no charts").map(([id]) => [id, chartGrid()]));
  const answers = el("ul", { class: "answers", id: "answers", "aria-label": "Did it learn, is it honest, where did the time go" });
  const findings = el("ul", { class: "findings", id: "findings", "aria-label": "What stands out" });
  const verifiers = el("div", { class: "verifiers", id: "verifiers" }), probes = el("div", { class: "verifiers probes", id: "probes" }), setup = el("div", { class: "setup" });
  const heldout = heldoutTable(), browser = completionsBrowser();
  const extra = { overview: [answers, findings], heldout: [heldout.node], rewards: [], completions: [], learning: [], machine: [], setup: [setup] };
  const after = { rewards: [verifiers, probes], completions: [el("div", { class: "gap" }), browser.node] };
  const nodes = new Map(SECTIONS.map(([id, title, lead]) => [id, section(id, title, lead, ...extra[id], grids.has(id) ? grids.get(id).node : null, ...(after[id] || []))]));
  main.append(...nodes.values());
  let seen = { overview: "", completions: "" };

  function update(data) {
    const head = JSON.stringify(data.overview);
    if (head !== seen.overview) showHead(document.getElementById("head"), data.overview);
    document.title = `${data.overview.name} · lydite report`;
    showAnswers(answers, data.answers);
    showFindings(findings, data.findings);
    for (const [id, grid] of grids) grid.show(data.charts.filter((chart) => chart.section === id));
    nodes.get("heldout").hidden = !data.heldout;
    if (data.heldout) heldout.update(data.heldout);
    showVerifiers(verifiers, data.verifiers, browser.only);
    showProbes(probes, data.probes);
    const stamp = `${data.completions.total}/${data.completions.shown}`;
    if (stamp !== seen.completions) browser.update(data.completions);
    for (const id of ["learning", "machine", "rewards"]) nodes.get(id).hidden = !data.charts.some((chart) => chart.section === id) && !(id === "rewards" && data.verifiers.length);
    showSetup(setup, data);
    foot.textContent = data.thinned ? `Curves draw one step in ${data.thinned}; metrics.jsonl has all of them.` : "Everything on this page comes from the run's folder; it asks nothing of any network.";
    fill(nav, el("ul", {}, SECTIONS.filter(([id]) => !nodes.get(id).hidden).map(([id, title]) => el("li", {}, el("a", { href: "#" + id }, title)))));
    seen = { overview: head, completions: stamp };
  }

  async function follow(version) {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL));
      const status = document.getElementById("status");
      try {
        const answer = await fetch(`data.json?have=${version}`, { cache: "no-store" });
        if (!answer.ok && answer.status !== 204) throw new Error(`the server said ${answer.status}`);
        if (status.classList.contains("lost")) { status.classList.remove("lost"); status.textContent = status.dataset.was; }
        if (answer.status === 204) continue;
        const data = await answer.json();
        version = data.version;
        update(data);
      } catch (error) {
        if (!status.classList.contains("lost")) { status.dataset.was = status.textContent; status.textContent = "connection lost"; status.classList.add("lost"); }
      }
    }
  }

  const data = JSON.parse(document.getElementById("data").textContent);
  update(data);
  for (const node of [main, nav, foot]) node.hidden = false;
  document.addEventListener("DOMContentLoaded", () => { for (const grid of grids.values()) grid.draw(); document.documentElement.dataset.ready = "yes"; });
  if (data.live) follow(data.version);
}

start();
