// The held-out questions, before and after: answers of the first evaluation beside those of a later one.
const HELDOUT_PAGE = 10;
const CHANGES = {
  changed: ["changed", (before, after) => before !== after],
  fixed: ["wrong → right", (before, after) => !before && after],
  broken: ["right → wrong", (before, after) => before && !after],
  wrong: ["wrong both times", (before, after) => !before && !after],
  right: ["right both times", (before, after) => before && after],
  all: ["all", () => true],
};

function heldoutTable() {
  let heldout = null, page = 0;
  const kind = el("select", { id: "heldout-kind", change: () => { page = 0; show(); } }, Object.entries(CHANGES).map(([value, [label]]) => option(value, label)));
  const against = el("select", { id: "heldout-against", change: () => { page = 0; show(); } });
  const counts = el("div", { class: "score", id: "heldout-counts" });
  const body = el("tbody", {}), head = el("thead", {});
  const empty = el("p", { class: "empty", hidden: true }, "No question did this.");
  const pages = pager((by) => { page += by; show(); });
  const note = el("p", { class: "note" });
  const node = el("div", {},
    el("div", { class: "tools" }, counts, el("div", { class: "right" }, el("label", {}, "Show", kind), el("label", {}, "Compare with", against))),
    note, el("div", { class: "rows" }, el("table", { class: "before", id: "heldout-table" }, el("colgroup", {}, el("col", { class: "q" }), el("col", { class: "r" }), el("col", {}), el("col", {})), head, body), empty), pages.node);

  function cell(label, answer) {
    const state = answer.right === null ? ["", "?", "not judged"] : answer.right ? ["good", "✓", "right"] : ["bad", "✗", "wrong"];
    const full = answer.completion !== answer.text;
    const reason = answer.reason ? el("p", { class: "note mono" }, answer.reason) : null;
    return el("td", { "data-label": label }, el("details", {}, el("summary", {}, el("span", { class: "mark " + state[0], title: state[2] }, state[1]), el("span", { class: "sr" }, state[2]), el("span", {}, answer.text || "(empty)")), full ? el("pre", { tabindex: "0" }, answer.completion) : null, reason));
  }

  function show() {
    const choice = heldout.later[Number(against.value) || 0];
    const rows = heldout.questions.map((question, place) => ({ question, before: heldout.first.answers[place], after: choice.answers[place] }));
    const tally = (name) => rows.filter((row) => CHANGES[name][1](row.before.right === true, row.after.right === true)).length;
    fill(counts, ["fixed", "broken", "right", "wrong"].map((name) => el("span", {}, el("b", {}, num(tally(name))), " " + CHANGES[name][0])));
    const chosen = rows.filter((row) => CHANGES[kind.value][1](row.before.right === true, row.after.right === true));
    const last = Math.max(0, Math.ceil(chosen.length / HELDOUT_PAGE) - 1);
    page = Math.min(Math.max(page, 0), last);
    const names = [`Before (step ${heldout.first.step})`, `After (step ${choice.step})`];
    fill(head, el("tr", {}, ["Question", "Reference", ...names].map((name) => el("th", { scope: "col" }, name))));
    fill(body, chosen.slice(page * HELDOUT_PAGE, (page + 1) * HELDOUT_PAGE).map((row) => el("tr", {},
      el("td", {}, row.question.question), el("td", { "data-label": "Reference" }, row.question.reference || NOTHING), cell(names[0], row.before), cell(names[1], row.after))));
    empty.hidden = chosen.length > 0;
    pages.show(page, last + 1);
  }

  return {
    node,
    update(next) {
      heldout = next;
      setOptions(against, heldout.later.map((one, place) => [String(place), one.label]));
      note.hidden = !heldout.left_out;
      note.textContent = `${num(heldout.left_out)} more questions are in evals.jsonl; they would make this page too large.`;
      show();
    },
  };
}
