// The table of results: a click on a column heading sorts by it, best first, and another click reverses the order.

/** The value to sort by; null if it is missing. */
function sortValue(row, column) {
  const value = row.cells[column].dataset.value;
  if (value === undefined) return null;
  return column === 0 ? value : Number(value);
}

function sortTable(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const bestFirst = heads[column].dataset.better === "higher" ? "descending" : "ascending";
  const reverse = bestFirst === "ascending" ? "descending" : "ascending";
  const order = heads[column].getAttribute("aria-sort") === bestFirst ? reverse : bestFirst;
  heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? order : "none"));
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [sortValue(a, column), sortValue(b, column)];
    if (x === null || y === null) return (x === null) - (y === null); // missing values last
    return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
  table.tBodies[0].append(...rows);
}

function initTable() {
  const table = byId("results");
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sortTable(table, column));
  });
}
