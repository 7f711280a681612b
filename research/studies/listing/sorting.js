// The table of runs: a head sorts by its column, what is missing last; a text and a status choose the rows shown.
(() => {
"use strict";
const panel = document.getElementById("runs"), find = panel.querySelector(".find"), text = find.querySelector("input");
const body = panel.querySelector("tbody"), rows = [...body.rows], heads = [...panel.querySelectorAll("thead th")];
const choices = [...find.querySelectorAll("button[data-state]")], told = find.querySelector("[role=status]");
let state = "";

const show = () => {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const said = row.textContent.toLowerCase();
    row.hidden = (state !== "" && row.dataset.state !== state) || !words.every((word) => said.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  told.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
};

const sort = (head, column) => {
  const falling = head.getAttribute("aria-sort") === "ascending", numeric = head.dataset.sort === "number";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const valueOf = (row) => row.cells[column].dataset.value;
  const order = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", {numeric: true}));
  const known = rows.filter((row) => valueOf(row) !== ""), missing = rows.filter((row) => valueOf(row) === "");
  known.sort((a, b) => (falling ? -1 : 1) * order(valueOf(a), valueOf(b)));
  body.append(...known, ...missing);
};

heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => sort(head, column)));
text.addEventListener("input", show);
for (const choice of choices) {
  choice.addEventListener("click", () => {
    state = choice.dataset.state;
    for (const other of choices) other.setAttribute("aria-pressed", String(other === choice));
    show();
  });
}
find.hidden = false;
// A browser that comes back to the page keeps what was typed.
show();
})();
