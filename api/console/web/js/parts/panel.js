/** A titled part of a page. */

import { html } from "../ui.js";

export const Panel = ({ id, title, children }) => html`
  <section class="panel" aria-labelledby=${id}><h2 id=${id}>${title}</h2>${children}</section>
`;
