// Makes the table searchable and sortable. It reads only the page and its address, sends and stores nothing;
// without it the page shows the same.
(() => {
  "use strict";
  const PAGE = 200; // rows shown initially: more are slow to lay out
  const $ = (id) => document.getElementById(id);
  const make = (tag, attributes, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };

  const age = Math.floor((Date.now() - Date.parse(document.body.dataset.made)) / 86400000);
  if (age >= 1) {
    $("page-age").textContent = ` (${age} ${age === 1 ? "day" : "days"} ago)`;
    $("page-age").hidden = false;
  }

  const table = $("fleet");
  if (!table) return;
  document.body.classList.add("live");
  const headers = [...table.tHead.rows[0].cells];
  const entries = [...table.tBodies].map((body, order) => ({
    body, order, id: body.id, row: body.rows[0], more: body.rows[1], text: null,
  }));
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const search = $("q"), state = $("state"), owner = $("owner");
  let sort = "", open = "", unlimited = false;

  // --- the address: #webhook=NAME&q=TEXT&state=WORD&owner=NAME&sort=-COLUMN -------------------------

  const decode = (text) => {
    try { return decodeURIComponent(text); } catch { return ""; }
  };
  const read = () => {
    const found = new Map();
    for (const part of location.hash.slice(1).split("&")) {
      const at = part.indexOf("=");
      if (at > 0) found.set(part.slice(0, at), part.slice(at + 1));
    }
    return found;
  };
  const choose = (select, value) => {
    select.value = value;
    if (select.selectedIndex < 0) select.value = "";
  };
  const write = () => {
    const parts = [];
    if (open) parts.push(`webhook=${open}`);
    for (const [name, value] of [["q", search.value.trim()], ["state", state.value], ["owner", owner.value], ["sort", sort]]) {
      if (value) parts.push(`${name}=${encodeURIComponent(value)}`);
    }
    // Replace the address: each letter of a search would otherwise become a step of "Back".
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
  };
  const follow = () => {
    const asked = read();
    if (![...asked.keys()].some((key) => ["webhook", "q", "state", "owner", "sort"].includes(key))) {
      // A section's anchor keeps the filters; only the "Show all" anchor clears them.
      if (location.hash !== "#webhooks") return;
      asked.clear();
    }
    const wanted = asked.get("webhook") ?? "";
    if (wanted && asked.size === 1) {
      // A link to a webhook must show it, so clear filters that hide it.
      if (!matches(byId.get(`webhook=${wanted}`))) { search.value = ""; state.value = ""; owner.value = ""; }
    } else {
      search.value = decode(asked.get("q") ?? "");
      choose(state, decode(asked.get("state") ?? ""));
      choose(owner, decode(asked.get("owner") ?? ""));
      sort = decode(asked.get("sort") ?? "");
    }
    order();
    show(wanted);
    if (wanted) {
      reveal(wanted);
      write();
    } else if (asked.size) {
      $("webhooks").scrollIntoView();
    }
  };

  // --- rows --------------------------------------------------------------------------------------

  const matches = (entry) => {
    if (!entry) return true;
    if (state.value && entry.body.dataset.state !== state.value) return false;
    if (owner.value && entry.body.dataset.owner !== owner.value) return false;
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return true;
    entry.text ??= entry.body.textContent.toLowerCase();
    return words.every((word) => entry.text.includes(word));
  };
  const show = (keep = open) => {
    let found = 0, shown = 0;
    for (const entry of entries) {
      const fits = matches(entry);
      found += fits;
      const visible = fits && (unlimited || shown < PAGE || entry.id === `webhook=${keep}`);
      shown += visible;
      entry.body.hidden = !visible;
    }
    const number = (n) => n.toLocaleString("en");
    $("shown").textContent = found === entries.length ? `${number(found)} rows` : `${number(found)} of ${number(entries.length)} rows`;
    $("none").hidden = found > 0;
    $("all").hidden = shown === found;
    $("all").textContent = `Show all ${number(found)} (${number(shown)} are shown)`;
    $("clear").disabled = !(search.value || state.value || owner.value);
  };
  const order = () => {
    const key = sort.replace(/^-/, ""), sign = sort.startsWith("-") ? -1 : 1;
    const column = headers.findIndex((header) => header.dataset.key === key);
    headers.forEach((header, index) => {
      if (index === column) header.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    if (column < 0) sort = "";
    // Ages are sorted by time: the smallest timestamp is the greatest age.
    const numeric = headers[column]?.classList.contains("n");
    const value = (entry) => {
      const cell = entry.row.cells[column];
      if (numeric) return cell.dataset.sort ? -Number(cell.dataset.sort) : null;
      return cell.dataset.sort ? Number(cell.dataset.sort) : cell.textContent.trim().toLowerCase();
    };
    const compare = (a, b) => {
      if (column < 0) return a.order - b.order;
      if (a.value === b.value) return a.order - b.order;
      // Rows without a value come last in both directions.
      if (a.value === null || a.value === "–") return 1;
      if (b.value === null || b.value === "–") return -1;
      return sign * (numeric ? a.value - b.value : a.value < b.value ? -1 : 1);
    };
    if (column >= 0) for (const entry of entries) entry.value = value(entry);
    entries.sort(compare);
    table.append(...entries.map((entry) => entry.body));
  };
  const expand = (entry, wide) => {
    entry.button.setAttribute("aria-expanded", String(wide));
    entry.more.hidden = !wide;
    entry.more.querySelector("details").open = wide;
  };
  const reveal = (key) => {
    const entry = byId.get(`webhook=${key}`);
    if (!entry) return;
    byId.get(`webhook=${open}`)?.body.classList.remove("chosen");
    open = key;
    entry.body.classList.add("chosen");
    expand(entry, true);
    entry.body.scrollIntoView({ block: "start" });
    entry.button.focus({ preventScroll: true });
  };

  for (const entry of entries) {
    const name = entry.row.cells[0].querySelector(".name");
    entry.more.id = `more-${entry.order}`;
    entry.button = make("button", { type: "button", class: "toggle", "aria-controls": entry.more.id, "aria-label": `Details of ${name.textContent}` });
    entry.row.cells[0].prepend(entry.button);
    expand(entry, false);
  }
  table.addEventListener("click", (event) => {
    const button = event.target.closest(".toggle");
    if (!button) return;
    const entry = byId.get(button.closest("tbody").id);
    const wide = button.getAttribute("aria-expanded") !== "true";
    expand(entry, wide);
    byId.get(`webhook=${open}`)?.body.classList.remove("chosen");
    open = wide ? entry.id.slice("webhook=".length) : "";
    write();
  });

  // --- controls ------------------------------------------------------------------------

  for (const header of headers) {
    const button = make("button", { type: "button" }, header.textContent);
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = header.dataset.key;
      sort = sort === key ? `-${key}` : sort === `-${key}` ? "" : key;
      order(); show(); write();
    });
  }
  const narrow = () => { unlimited = false; show(); write(); };
  search.addEventListener("input", narrow);
  state.addEventListener("change", narrow);
  owner.addEventListener("change", narrow);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => {
    search.value = ""; state.value = ""; owner.value = "";
    narrow();
    search.focus();
  });
  $("all").addEventListener("click", () => { unlimited = true; show(); });
  for (const item of document.querySelectorAll("[data-filter]")) {
    const anchor = make("a", { href: `#${item.dataset.filter}=${encodeURIComponent(item.dataset.value)}` });
    anchor.append(...item.childNodes);
    item.append(anchor);
  }
  for (const item of document.querySelectorAll("[data-find]")) {
    item.append(" (", make("a", { href: `#q=${encodeURIComponent(item.dataset.find)}` }, "show them"), ")");
  }
  $("filters").hidden = false;
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => { unlimited = true; show(); });
  show();
  follow();
})();
