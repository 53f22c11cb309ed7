// The head, what stands out, verifier statistics and the set-up of the run.
const LEVELS = { bad: "wrong", watch: "look at this", note: "note" };
const STATUSES = ["ok", "abstain", "error", "timeout"];

function showHead(head, overview) {
  const where = [overview.model, overview.device].filter(Boolean);
  fill(head, el("div", { class: "wrap" },
    el("div", { class: "brand" }, "lydite report"),
    el("div", { class: "title" }, el("h1", {}, overview.name), el("span", { class: "pill " + overview.status, id: "status", role: "status" }, overview.status_text)),
    el("p", { class: "sub" }, where.map((one) => el("span", {}, one))),
    el("dl", { class: "tiles" }, overview.tiles.map((tile) => el("div", { class: "tile" }, el("dt", {}, tile.label), el("dd", {}, tile.value, el("small", {}, tile.detail)))))));
}

function showAnswers(node, answers) {
  fill(node, answers.map((one) => el("li", { class: "answer verdict-" + one.verdict }, el("h3", {}, one.question), el("p", { class: "short" }, one.short), el("p", {}, one.text))));
}

function showFindings(node, findings) {
  node.hidden = findings.length === 0;
  fill(node, findings.map((one) => el("li", { class: "finding level-" + one.level }, el("span", { class: "level" }, LEVELS[one.level]), el("h3", {}, one.title), el("p", {}, one.text))));
}

function figure(label, value) {
  return el("div", {}, el("dt", {}, label), el("dd", {}, value));
}

function showVerifiers(node, verifiers, onReason) {
  fill(node, verifiers.map((one) => {
    const who = [one.verifier, one.version].filter(Boolean).join(" ");
    const shares = STATUSES.filter((status) => one.statuses[status]);
    const most = Math.max(1, ...one.reasons.map(([, , n]) => n));
    return el("article", { class: "card" },
      el("h3", {}, one.name), el("p", { class: "who" }, who || "verifier unknown"),
      el("dl", { class: "figures" },
        figure("Verdicts", num(one.n)), figure("Mean score", num(one.mean)), figure("Range seen", one.low === null ? NOTHING : `${num(one.low, 2)} to ${num(one.high, 2)}`),
        figure("Passed", percent(one.passed)), figure("Time, mean", seconds(one.seconds_mean)), figure("Time, longest", seconds(one.seconds_max))),
      el("div", { class: "bar", "aria-hidden": "true" }, shares.map((status) => el("i", { class: "s-" + status, width: (one.statuses[status] / one.n) * 100 + "%" }))),
      el("div", { class: "legend" }, shares.map((status) => el("span", {}, el("i", { class: "s-" + status }), `${status} ${percent(one.statuses[status] / one.n)}`))),
      el("div", { class: "reasons" },
        one.reasons.map(([status, reason, n]) => el("button", { type: "button", title: "Show these completions", click: () => onReason(one.name, status, reason) },
          el("i", { class: "s-" + status, width: (n / most) * 100 + "%" }), el("span", { class: "mono" }, reason || "(no reason)"), el("span", { class: "muted" }, num(n)))),
        one.more_reasons ? el("p", { class: "who" }, `and ${num(one.more_reasons)} more reasons`) : null));
  }));
}

function showProbes(node, probes) {
  node.hidden = probes.length === 0;
  fill(node, probes.map((one) => {
    const what = one.kind === "canary" ? "canaries for its judge" : "attack texts";
    const said = one.passed ? `passed ${num(one.passed)} of ${num(one.tried)} ${what}` : `passed none of ${num(one.tried)} ${what}`;
    return el("article", { class: "card" },
      el("h3", {}, `${one.reward}: ${one.kind === "canary" ? "canaries" : "probes"}`),
      el("p", { class: "who" }, `${said}, ${num(one.attacks)} kinds, in ${num(one.rounds)} ${one.rounds === 1 ? "round" : "rounds"}`),
      one.taken.length ? el("table", {}, el("thead", {}, el("tr", {}, ["attack", "passed", "last step", "text"].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, one.taken.map((row) => el("tr", {}, el("td", { class: "mono" }, row.attack), el("td", {}, `${num(row.passed)} of ${num(row.tried)}`), el("td", {}, num(row.last_step)), el("td", { class: "mono" }, row.example.trim() || "(nothing to see)"))))) : null,
      one.more ? el("p", { class: "who" }, `and ${num(one.more)} more kinds`) : null);
  }));
}

function pairsTable(title, rows) {
  return el("div", { class: "card" }, el("h3", {}, title), el("table", {}, el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, place) => el("td", { class: place ? "mono" : null }, cell)))))));
}

function showSetup(node, data) {
  const { facts, plugins, packages } = data.overview;
  const skipped = data.skipped.rows.map((one) => [one.sample, one.reason]);
  if (data.skipped.more) skipped.push(["…", `and ${num(data.skipped.more)} more in skipped.jsonl`]);
  fill(node,
    el("div", { class: "stack" }, pairsTable("This run", facts),
      plugins.length ? pairsTable("Plugins", plugins.map(([name, version, digest]) => [name, digest ? `${version}, sha256 ${digest}…` : version])) : null,
      packages.length ? pairsTable("Packages", packages) : null,
      data.judges.length ? pairsTable("Judges", data.judges) : null,
      skipped.length ? pairsTable("Samples that were left out", skipped) : null),
    data.config ? el("div", { class: "card" }, el("h3", {}, "config.toml"), el("pre", { tabindex: "0" }, data.config)) : null);
}
