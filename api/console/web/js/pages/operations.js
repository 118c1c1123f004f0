/** The operator's pages: the state of the installation, failed work, accounts, the audit log and feedback. */

import { html } from "../ui.js";
import { linkTo, route } from "../router.js";
import { profile } from "../session.js";
import { msg } from "../texts.js";
import { Empty } from "../parts/bits.js";
import { Accounts } from "./operations_accounts.js";
import { AuditLog, FeedbackList } from "./operations_logs.js";
import { Details } from "./operations_details.js";
import { Overview } from "./operations_overview.js";
import { FailedWork } from "./operations_work.js";

const PARTS = {
  overview: { view: Overview, name: () => msg("Overview") },
  details: { view: Details, name: () => msg("Processes") },
  work: { view: FailedWork, name: () => msg("Failed work") },
  accounts: { view: Accounts, name: () => msg("Accounts") },
  audit: { view: AuditLog, name: () => msg("Audit log") },
  feedback: { view: FeedbackList, name: () => msg("Feedback") },
};

export function Operations() {
  if (profile.value.role !== "admin") {
    return html`<${Empty} icon="settings" title=${msg("Only for admins")}><p>${msg("This page shows the state of the installation to those who run it.")}</p><//>`;
  }
  const present = PARTS[route.value.path[1]] ? route.value.path[1] : "overview";
  const { view, name } = PARTS[present];
  return html`
    <div class="page-head"><h1>${name()}</h1></div>
    <nav class="part-links" aria-label=${msg("System")}>
      ${Object.keys(PARTS).map((part) => html`<a key=${part} href=${linkTo(`operations/${part}`)}
        aria-current=${part === present ? "page" : undefined}>${PARTS[part].name()}</a>`)}
    </nav>
    <${view} key=${present} />
  `;
}
