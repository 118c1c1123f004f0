/** The notices at the edge of the page, and the place where screen readers find what has happened. */

import { html } from "../ui.js";
import { announcement, dismiss, notices } from "../notices.js";
import { Icon } from "../icons.js";
import { msg } from "../texts.js";

export const Notices = () => html`
  <div class="hidden" aria-live="polite" id="announcer">${announcement.value}</div>
  <div class="notices" role="status" aria-label=${msg("Notices")}>
    ${notices.value.map(
      ({ id, text, kind, undo }) => html`
        <div class=${`notice notice-${kind}`} key=${id}>
          <p>${text}</p>
          ${undo ? html`<button type="button" class="link-button" onClick=${undo}>${msg("Undo")}</button>` : null}
          <button type="button" class="icon-button small" aria-label=${msg("Dismiss")} onClick=${() => dismiss(id)}>
            <${Icon} name="close" size=${16} />
          </button>
        </div>
      `,
    )}
  </div>
`;
