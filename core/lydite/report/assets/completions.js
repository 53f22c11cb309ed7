// The completions browser. Rows stay arrays as they arrived; the fields of one are named here.
const PAGE_SIZE = 20;
const [INDEX, TEXT, TOKENS, FINISH, ANSWER, FORMAT_ERROR, REWARD, ADVANTAGE, VERDICTS] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const [STATUS, SCORE, VALUE, WEIGHT, PASSED, REASON, PARSED, EVIDENCE, PARTS] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const OUTCOMES = {
  "": ["any outcome", () => true],
  passed: ["passed", (verdict) => verdict[PASSED] === true],
  failed: ["not passed", (verdict) => verdict[PASSED] === false],
  ok: ["ok", (verdict) => verdict[STATUS] === "ok"],
  abstain: ["abstain", (verdict) => verdict[STATUS] === "abstain"],
  error: ["error", (verdict) => verdict[STATUS] === "error"],
  timeout: ["timeout", (verdict) => verdict[STATUS] === "timeout"],
};
const by = (field, sign) => (a, b) => {
  const [x, y] = [a.item[field], b.item[field]];
  if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place; // without a number: last, either way
  return sign * (x - y) || a.place - b.place;
};
const ORDERS = {
  latest: ["latest step first", (a, b) => b.group.step - a.group.step || a.place - b.place],
  earliest: ["first step first", (a, b) => a.place - b.place],
  "reward-down": ["highest reward", by(REWARD, -1)],
  "reward-up": ["lowest reward", by(REWARD, 1)],
  "advantage-down": ["highest advantage", by(ADVANTAGE, -1)],
  "advantage-up": ["lowest advantage", by(ADVANTAGE, 1)],
  longest: ["longest", by(TOKENS, -1)],
  shortest: ["shortest", by(TOKENS, 1)],
};

function flatten(groups) {
  const rows = [];
  for (const group of groups) for (const item of group.items) rows.push({ group, item, place: rows.length, key: `${group.step}/${group.sample}/${item[INDEX]}`, hay: null });
  return rows;
}

function haystack(row) {
  if (row.hay === null) row.hay = [row.group.prompt, row.group.reference, row.group.sample, row.item[TEXT], row.item[ANSWER] || ""].join("\n").toLowerCase();
  return row.hay;
}

function matcher(filter, onlyGroup) {
  const words = filter.search.toLowerCase();
  const outcome = OUTCOMES[filter.outcome][1];
  const judged = filter.outcome || filter.reason || filter.reward;
  const fits = (verdict) => verdict && outcome(verdict) && (!filter.reason || verdict[REASON] === filter.reason.slice(1));
  return (row) => {
    const { group, item } = row;
    if (onlyGroup && group !== onlyGroup && !(group.step === onlyGroup.step && group.sample === onlyGroup.sample)) return false;
    if (filter.from !== null && group.step < filter.from) return false;
    if (filter.to !== null && group.step > filter.to) return false;
    if (filter.malformed && item[FORMAT_ERROR] === null) return false;
    if (filter.cut && item[FINISH] !== "length") return false;
    if (filter.low !== null && !(item[REWARD] !== null && item[REWARD] >= filter.low)) return false;
    if (filter.high !== null && !(item[REWARD] !== null && item[REWARD] <= filter.high)) return false;
    if (judged && !(filter.reward ? fits(item[VERDICTS][filter.reward]) : Object.values(item[VERDICTS]).some(fits))) return false;
    return !words || haystack(row).includes(words);
  };
}

function completionsBrowser() {
  let rows = [], gallery = null, onlyGroup = null, page = 0, range = [0, 1], timer = 0;
  const open = new Set();
  const number = (name, label) => el("input", { name, type: "number", step: "any", placeholder: label, "aria-label": label, autocomplete: "off" });
  const field = (label, control, width = "") => el("label", { class: "field " + width }, label, control);
  const search = el("input", { name: "search", type: "search", placeholder: "prompt, completion, answer …", autocomplete: "off", spellcheck: "false" });
  const reward = el("select", { name: "reward" }), reason = el("select", { name: "reason" });
  const outcome = el("select", { name: "outcome" }, Object.entries(OUTCOMES).map(([value, [label]]) => option(value, label)));
  const order = el("select", { name: "order" }, Object.entries(ORDERS).map(([value, [label]]) => option(value, label)));
  const malformed = el("input", { name: "malformed", type: "checkbox" }), cut = el("input", { name: "cut", type: "checkbox" });
  const steps = [number("from", "from"), number("to", "to")], totals = [number("low", "min"), number("high", "max")];
  const form = el("form", { class: "card filters", id: "filters", role: "search", "aria-label": "Filter completions" },
    field("Search", search, "w4"), field("Reward", reward), field("Outcome", outcome), field("Reason", reason, "w4"),
    el("div", { class: "field w3", role: "group", "aria-label": "Steps" }, "Steps", el("div", { class: "pairs" }, steps)),
    el("div", { class: "field w3", role: "group", "aria-label": "Total reward" }, "Total reward", el("div", { class: "pairs" }, totals)),
    el("div", { class: "checks" }, el("label", {}, malformed, "format broken"), el("label", {}, cut, "cut at the limit")),
    field("Sort by", order, "sort"));
  const count = el("p", { id: "count", role: "status" }), chip = el("span", { class: "chip", hidden: true });
  const reset = el("button", { class: "act", type: "button", id: "reset", click: () => { clear(); refresh(); } }, "Clear filters");
  const note = el("p", { class: "note", id: "sample-note", hidden: true });
  const list = el("ol", { class: "rows", id: "completion-list" });
  const pages = pager((step) => { page += step; show(); form.scrollIntoView({ block: "start" }); });
  const node = el("div", {}, form, el("div", { class: "tools" }, count, el("div", { class: "right" }, chip, reset)), note, list, pages.node);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { clearTimeout(timer); list.setAttribute("aria-busy", "true"); timer = setTimeout(refresh, 120); });
  reward.addEventListener("change", offerReasons);

  function filterNow() {
    const given = (input) => (input.value.trim() === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);
    return {
      search: search.value.trim(), reward: reward.value, outcome: outcome.value, reason: reason.value, malformed: malformed.checked, cut: cut.checked,
      from: given(steps[0]), to: given(steps[1]), low: given(totals[0]), high: given(totals[1]),
    };
  }

  function offerReasons() {
    const counts = new Map();
    for (const row of rows) for (const [name, verdict] of Object.entries(row.item[VERDICTS])) {
      if (!reward.value || reward.value === name) counts.set(verdict[REASON] || "", (counts.get(verdict[REASON] || "") || 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 200);
    // The values begin with "=" so that the empty reason is not the empty choice.
    setOptions(reason, [["", "any reason"], ...sorted.map(([code, n]) => ["=" + code, `${code || "(no reason)"}  (${num(n)})`])]);
  }

  function clear() {
    form.reset();
    onlyGroup = null;
    offerReasons(); // those of one reward may be all that is offered
  }

  function refresh() {
    clearTimeout(timer);
    list.removeAttribute("aria-busy");
    page = 0;
    show();
  }

  function show() {
    const filter = filterNow();
    const chosen = rows.filter(matcher(filter, onlyGroup)).sort(ORDERS[order.value][1]);
    const last = Math.max(0, Math.ceil(chosen.length / PAGE_SIZE) - 1);
    page = Math.min(Math.max(page, 0), last);
    count.textContent = chosen.length === rows.length ? `${num(rows.length)} completions` : `${num(chosen.length)} of ${num(rows.length)} completions`;
    chip.hidden = onlyGroup === null;
    if (onlyGroup) fill(chip, `step ${onlyGroup.step}, ${onlyGroup.sample}`, el("button", { type: "button", "aria-label": "Show all questions again", click: () => { onlyGroup = null; refresh(); } }, "✕"));
    const focused = document.activeElement && document.activeElement.closest && document.activeElement.closest("#completion-list details");
    const key = focused && focused.dataset.key;
    fill(list, chosen.length ? chosen.slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE).map((row) => el("li", {}, rowNode(row))) : el("li", { class: "empty" }, rows.length ? "No completion fits these filters." : "No completions yet."));
    if (key) for (const one of list.querySelectorAll("details.row")) if (one.dataset.key === key) one.firstElementChild.focus();
    pages.show(page, last + 1);
  }

  function rowNode(row) {
    const { group, item } = row;
    const width = item[REWARD] === null ? 0 : Math.max(0, Math.min(1, (item[REWARD] - range[0]) / (range[1] - range[0] || 1)));
    const flags = [item[FORMAT_ERROR] !== null ? el("span", { class: "badge watch" }, "format: " + item[FORMAT_ERROR]) : null, item[FINISH] === "length" ? el("span", { class: "badge watch" }, "cut") : null];
    const details = el("details", { class: "row", "data-key": row.key, open: open.has(row.key) }, el("summary", {},
      el("span", { class: "cell-step" }, "step " + group.step),
      el("span", { class: "cell-reward" }, el("b", {}, num(item[REWARD])), el("span", { class: "bar", "aria-hidden": "true" }, el("i", { width: width * 100 + "%" }))),
      el("span", { class: "cell-advantage " + (item[ADVANTAGE] > 0 ? "up" : item[ADVANTAGE] < 0 ? "down" : ""), title: "advantage" }, signed(item[ADVANTAGE])),
      el("div", { class: "cell-text" }, el("div", { class: "q" }, group.question), el("div", {}, oneLine(item[ANSWER] === null ? item[TEXT] : item[ANSWER]) || "(empty)")),
      el("span", { class: "badges" }, flags, Object.entries(item[VERDICTS]).map(([name, verdict]) => el("span", { class: "badge " + tone(verdict), title: verdict[REASON] || null }, name + " " + (verdict[STATUS] === "ok" ? num(verdict[SCORE], 2) : verdict[STATUS]))))));
    const build = () => { if (details.open && details.childElementCount === 1) details.append(detailNode(row)); };
    details.addEventListener("toggle", () => { details.open ? open.add(row.key) : open.delete(row.key); build(); });
    build();
    return details;
  }

  function detailNode(row) {
    const { group, item } = row;
    const length = `${num(item[TOKENS])} tokens, ${item[FINISH] === "length" ? "cut at the limit" : "ended by itself"}`;
    const text = (title, content, side) => el("div", {}, el("h4", {}, title, side ? el("span", {}, side) : null), el("pre", { tabindex: "0" }, content));
    return el("div", { class: "detail" },
      text("Prompt, as the model saw it", group.prompt), text("Completion", item[TEXT], length),
      el("div", {}, el("h4", {}, "Answer, as the format read it"), el("pre", {}, item[ANSWER] === null ? `none: ${item[FORMAT_ERROR] || "the format was broken"}` : item[ANSWER])),
      el("div", {}, el("h4", {}, "Reference"), el("pre", {}, group.reference || NOTHING)),
      el("div", { class: "full scroll" }, verdictTable(item[VERDICTS])),
      el("div", { class: "full tools" }, el("span", { class: "muted" }, `sample ${group.sample}, completion ${item[INDEX]}, advantage ${signed(item[ADVANTAGE])}`),
        el("button", { class: "act", type: "button", click: () => { onlyGroup = group; refresh(); form.scrollIntoView({ block: "start" }); } }, "All answers to this question")));
  }

  return {
    node,
    update(next) {
      gallery = next;
      rows = flatten(gallery.groups);
      const names = new Set();
      range = [0, 0];
      for (const { item } of rows) {
        for (const name of Object.keys(item[VERDICTS])) names.add(name);
        if (item[REWARD] !== null) range = [Math.min(range[0], item[REWARD]), Math.max(range[1], item[REWARD])];
      }
      setOptions(reward, [["", "any reward"], ...[...names].map((name) => [name, name])]);
      offerReasons();
      const notes = [];
      if (gallery.shown < gallery.total) notes.push(`${num(gallery.shown)} of ${num(gallery.total)} completions are in this page: one prompt in ${num(gallery.every)} with all its completions, spread evenly over the run, and the latest. All are in completions.jsonl.`);
      if (gallery.cut) notes.push(`${num(gallery.cut)} very long texts lost their middle here.`);
      note.hidden = notes.length === 0;
      note.textContent = notes.join(" ");
      show();
    },
    only(name, status, code) {
      clear();
      reward.value = name;
      offerReasons();
      outcome.value = status;
      reason.value = "=" + code;
      refresh();
      node.closest("section").scrollIntoView({ block: "start" });
    },
  };
}

function tone(verdict) {
  if (verdict[STATUS] === "error" || verdict[STATUS] === "timeout") return "bad";
  if (verdict[STATUS] === "abstain") return "";
  return verdict[PASSED] === true ? "good" : verdict[PASSED] === false ? "bad" : "";
}

function verdictTable(verdicts) {
  const heads = ["Reward", "Status", "Passed", "Score", "Counts as", "Weight", "Reason", "Read as", "Evidence"];
  const rows = [];
  const add = (name, verdict, depth) => {
    const passed = verdict[PASSED] === true ? "yes" : verdict[PASSED] === false ? "no" : NOTHING;
    rows.push(el("tr", { class: depth ? "part" : null }, el("td", {}, name), el("td", {}, el("span", { class: "badge " + (verdict[STATUS] === "ok" ? "" : tone(verdict)) }, verdict[STATUS])), el("td", { class: verdict[PASSED] === true ? "up" : verdict[PASSED] === false ? "down" : null }, passed),
      el("td", { class: "n" }, num(verdict[SCORE])), el("td", { class: "n" }, num(verdict[VALUE])), el("td", { class: "n" }, num(verdict[WEIGHT], 2)),
      el("td", { class: "mono" }, verdict[REASON] || NOTHING), el("td", { class: "mono" }, verdict[PARSED] || NOTHING), el("td", {}, (verdict[EVIDENCE] || []).join("; ") || NOTHING)));
    for (const [part, inner] of Object.entries(verdict[PARTS] || {})) add(part, inner, depth + 1);
  };
  for (const [name, verdict] of Object.entries(verdicts)) add(name, verdict, 0);
  return el("table", {}, el("thead", {}, el("tr", {}, heads.map((head, place) => el("th", { scope: "col", class: place >= 3 && place <= 5 ? "n" : null }, head)))), el("tbody", {}, rows));
}
