/** What surrounds every page: the head with navigation, search and account, and on a phone the bar at the bottom. */

import { html, useEffect, useRef, useState } from "../ui.js";
import { facts } from "../facts.js";
import { Icon } from "../icons.js";
import { useKeys } from "../keys.js";
import { attempt, undoLast } from "../notices.js";
import { invitations, unread } from "../notifications.js";
import { forgetAll, unsent } from "../outbox.js";
import { nameOf } from "../people.js";
import { go, linkTo, route, setParams } from "../router.js";
import { profile, signOut } from "../session.js";
import { msg } from "../texts.js";
import { chooseTheme, isDark, theme } from "../theme.js";
import { Avatar } from "./bits.js";
import { Connection } from "./connection.js";
import { KeysDialog } from "./keys_dialog.js";
import { Menu } from "./menu.js";
import { openNewTask } from "./task_form.js";

const PAGES = [
  { path: "board", icon: "board", name: () => msg("Board") },
  { path: "list", icon: "list", name: () => msg("List") },
  { path: "analytics", icon: "chart", name: () => msg("Analytics") },
  { path: "groups", icon: "people", name: () => msg("Groups") },
];
const OPERATIONS = { path: "operations", icon: "gauge", name: () => msg("System") };
const SEARCH_PAUSE_MS = 250;

const isAt = (path) => (route.value.path[0] ?? "board") === path;

const NavLink = ({ page }) => html`
  <a class="nav-link" href=${linkTo(page.path)} aria-current=${isAt(page.path) ? "page" : undefined}>
    <${Icon} name=${page.icon} /><span>${page.name()}</span>
  </a>
`;

function Search() {
  const field = useRef(null);
  const timer = useRef(0);
  const { q } = route.value.params;
  useEffect(() => {
    if (document.activeElement !== field.current) field.current.value = q ?? "";
  }, [q]);
  const search = (text) => {
    if (isAt("board") || isAt("list")) setParams({ q: text });
    else if (text) go("list", { q: text });
  };
  const onInput = (event) => {
    clearTimeout(timer.current);
    const text = event.currentTarget.value.trim();
    timer.current = setTimeout(() => search(text), SEARCH_PAUSE_MS);
  };
  return html`
    <search class="search">
      <${Icon} name="search" size=${18} />
      <input ref=${field} id="search" type="search" placeholder=${msg("Search")} aria-label=${msg("Search tasks")}
        maxlength="200" onInput=${onInput} />
      <kbd aria-hidden="true">/</kbd>
    </search>
  `;
}

async function leave() {
  const question = msg("Some changes have not been sent yet ({count}). Sign out and lose them?", { count: unsent.peek() });
  if (unsent.peek() && !confirm(question)) return;
  const { id } = profile.peek();
  if (await attempt(signOut)) forgetAll(id);
}

function Account({ onKeys }) {
  const { id, username } = profile.value;
  const other = isDark() ? "light" : "dark";
  return html`
    <${Menu} label=${msg("Account of {name}", { name: nameOf(id) })} button=${html`<${Avatar} id=${id}
      size="medium" />`} className="icon-button round">
      <p class="menu-title"><strong>${nameOf(id)}</strong><span>${username}</span></p>
      <a href=${linkTo("settings")}><${Icon} name="settings" />${msg("Settings")}</a>
      <button type="button" onClick=${() => chooseTheme(other)} data-theme-now=${theme.value}>
        <${Icon}
          name=${other === "dark" ? "moon" : "sun"} />${other === "dark" ? msg("Dark colours") : msg("Light colours")}
      </button>
      <button type="button" onClick=${onKeys}><${Icon} name="keyboard" />${msg("Keys")}<kbd>?</kbd></button>
      <button type="button" onClick=${leave}><${Icon} name="out" />${msg("Sign out")}</button>
    <//>
  `;
}

export function Shell({ children }) {
  const [showsKeys, setShowsKeys] = useState(false);
  useKeys({
    n: () => openNewTask(),
    "/": () => document.getElementById("search").focus(),
    b: () => go("board"),
    l: () => go("list"),
    a: () => go("analytics"),
    g: () => go("groups"),
    i: () => go("notifications"),
    "?": () => setShowsKeys(true),
    "ctrl+z": undoLast,
  });
  const pages = profile.value.role === "admin" ? [...PAGES, OPERATIONS] : PAGES;
  const count = unread.value + invitations.value.length;
  const bell = count ? msg("Notifications, {count} unread", { count }) : msg("Notifications");
  return html`
    <button type="button" class="skip"
      onClick=${() => document.getElementById("main").focus()}>${msg("Skip to the content")}</button>
    <header class="head">
      <a class="brand" href=${linkTo("board")} aria-label=${facts.name}>
        <img src=${new URL("../../icon.svg", import.meta.url)} alt="" width="28"
          height="28" /><span>${facts.name}</span>
      </a>
      <nav class="nav" aria-label=${msg("Pages")}>${pages.map((page) => html`<${NavLink} page=${page}
        key=${page.path} />`)}</nav>
      <${Search} />
      <button type="button" class="button primary new-task" onClick=${() => openNewTask()} aria-keyshortcuts="n"
        aria-label=${msg("New task")}>
        <${Icon} name="plus" size=${18} /><span>${msg("New task")}</span>
      </button>
      <${Connection} />
      <a class="icon-button bell" href=${linkTo("notifications")} aria-label=${bell}
        aria-current=${isAt("notifications") ? "page" : undefined}>
        <${Icon} name="bell" />${count ? html`<span class="badge">${count > 99 ? "99+" : count}</span>` : null}
      </a>
      <${Account} onKeys=${() => setShowsKeys(true)} />
    </header>
    <main id="main" tabindex="-1">${children}</main>
    ${showsKeys ? html`<${KeysDialog} onClose=${() => setShowsKeys(false)} />` : null}
  `;
}
