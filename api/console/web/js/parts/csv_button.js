/** A button that saves a table as a file for spreadsheets. */

import { html } from "../ui.js";
import { save } from "../api.js";
import { csvOf } from "../csv.js";
import { Icon } from "../icons.js";

/** @param {{label: string, head: string[], rows: unknown[][], filename: string}} properties */
export function CsvButton({ label, head, rows, filename }) {
  const download = () => save(new Blob([csvOf(head, rows)], { type: "text/csv" }), filename);
  return html`<button type="button" class="button" onClick=${download}
    aria-label=${label}><${Icon} name="download" size=${18} />CSV</button>`;
}
