// The table of results, sorted by a click on a head: best first, then the other way round.

/** The value to sort by; missing ones are null. */
function valueOf(row, column) {
  const value = row.cells[column].dataset.value;
  if (value === undefined) return null;
  return column === 0 ? value : Number(value);
}

function sortTable(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const first = heads[column].dataset.better === "higher" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = heads[column].getAttribute("aria-sort") === first ? other : first;
  heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? direction : "none"));
  const sign = direction === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
  table.tBodies[0].append(...rows);
}

function startTable() {
  const table = byId("results");
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sortTable(table, column));
  });
}
