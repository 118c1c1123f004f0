/** A table of the operator's pages. */

import { html } from "../ui.js";

/**
 * @param {{caption: string, columns: {name: string, show: (row: object) => unknown, isNumber?: boolean}[], rows: object[],
 *     keyOf: (row: object) => unknown}} properties
 */
export const Table = ({ caption, columns, rows, keyOf }) => html`
  <div class="table-place" role="region" aria-label=${caption} tabindex="0">
    <table class="plain-table">
      <caption class="hidden">${caption}</caption>
      <thead><tr>${columns.map(({ name, isNumber }) => html`<th scope="col" key=${name}
        class=${isNumber ? "number" : ""}>${name}</th>`)}</tr></thead>
      <tbody>
        ${rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map(({ name, show, isNumber }) => html`<td key=${name}
          class=${isNumber ? "number" : ""}>${show(row)}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>
`;
