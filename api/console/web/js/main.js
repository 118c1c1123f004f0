/** Starts the console: texts, session, and the page that the address names. */

import { effect, html, render, useEffect } from "./ui.js";
import { facts } from "./facts.js";
import { areGroupsRead, forgetPeople, readGroups } from "./people.js";
import { Analytics } from "./pages/analytics.js";
import { Board } from "./pages/board.js";
import { Groups } from "./pages/groups.js";
import { Invitation } from "./pages/invitation.js";
import { List } from "./pages/list.js";
import { Notifications } from "./pages/notifications.js";
import { Settings } from "./pages/settings.js";
import { Operations } from "./pages/operations.js";
import { SignIn } from "./pages/sign_in.js";
import { TaskPage } from "./pages/task.js";
import { ConflictDialog } from "./parts/conflict_dialog.js";
import { Notices } from "./parts/notices.js";
import { Shell } from "./parts/shell.js";
import { NewTaskDialog } from "./parts/task_form.js";
import { onResync } from "./live.js";
import { go, route } from "./router.js";
import { phase, profile, start } from "./session.js";
import { forgetTasks } from "./tasks.js";
import { msg, speakAsBefore } from "./texts.js";
import { keepConsole } from "./worker.js";

const PAGES = {
  board: { view: Board, title: () => msg("Board") },
  list: { view: List, title: () => msg("List") },
  tasks: { view: TaskPage, title: () => msg("Task") },
  analytics: { view: Analytics, title: () => msg("Analytics") },
  groups: { view: Groups, title: () => msg("Groups") },
  invitation: { view: Invitation, title: () => msg("You are invited") },
  notifications: { view: Notifications, title: () => msg("Notifications") },
  operations: { view: Operations, title: () => msg("System") },
  settings: { view: Settings, title: () => msg("Settings") },
};

function App() {
  return html`<${View} /><${Notices} />`;
}

function View() {
  if (phase.value === "starting") return html`<div class="start"></div>`;
  if (phase.value === "out") return html`<${SignIn} />`;
  return html`<${SignedIn} />`;
}

function SignedIn() {
  const name = route.value.path[0] ?? "board";
  const page = PAGES[name] ?? PAGES.board;
  useEffect(() => {
    if (!PAGES[name]) go("board", {}, { replace: true });
    document.title = `${page.title()} · ${facts.name}`;
    window.scrollTo(0, 0);
  }, [name]);
  useEffect(() => {
    if (!areGroupsRead.peek()) readGroups().catch(() => {});
  }, []);
  return html`
    <${Shell}><${page.view} key=${name} /><//>
    <${NewTaskDialog} />
    <${ConflictDialog} />
  `;
}

onResync(() => void readGroups().catch(() => {}));
effect(() => {
  if (profile.value) return;
  forgetTasks();
  forgetPeople();
});

await speakAsBefore();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
void start();
keepConsole();
