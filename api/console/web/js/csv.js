/** Tables as files for spreadsheets. */

/** Returns a table as CSV (RFC 4180). */
export function csvOf(head, rows) {
  const cell = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
