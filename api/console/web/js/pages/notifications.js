/** The notifications of the reader. */

import { html, classes, useEffect } from "../ui.js";
import { get, post } from "../api.js";
import { Icon } from "../icons.js";
import { attempt } from "../notices.js";
import { arrived, countUnread, unread } from "../notifications.js";
import { linkTo } from "../router.js";
import { msg } from "../texts.js";
import { Ago, Empty } from "../parts/bits.js";
import { Invitations } from "../parts/invitations.js";
import { Reading, useReading } from "./reading.js";

const LIMIT = 100;
const ICONS = { assigned: "person", delegated: "share", commented: "comment", reminder: "clock", overdue: "calendar", weather_warned: "warning", weather_cleared: "cloud", rescheduled: "calendar" };

export function Notifications() {
  const reading = useReading(() => get(`/notifications?limit=${LIMIT}`), arrived.value.length);
  useEffect(() => void countUnread(), []);
  const mark = (items, isRead) => {
    const at = new Date().toISOString();
    reading.setData({ ...reading.data, items: items.map((item) => (isRead(item) ? { ...item, read_at: item.read_at ?? at } : item)) });
  };
  const readOne = async (item) => {
    if (item.read_at) return;
    mark(reading.data.items, ({ id }) => id === item.id);
    unread.value = Math.max(0, unread.peek() - 1);
    await attempt(() => post(`/notifications/${item.id}/read`));
  };
  const readAll = async () => {
    if (!(await attempt(() => post("/notifications/read_all")))) return;
    mark(reading.data.items, () => true);
    unread.value = 0;
  };
  return html`
    <div class="page-head">
      <h1>${msg("Notifications")}</h1>
      <button type="button" class="button" onClick=${readAll} disabled=${unread.value === 0}><${Icon} name="check"
        size=${18} />${msg("Mark all as read")}</button>
    </div>
    <${Invitations} />
    <${Reading} reading=${reading} lines=${6}>
      ${({ items }) =>
        items.length
          ? html`<ul class="panel notifications">${items.map((item) => html`<${Notification} key=${item.id} item=${item}
            onRead=${readOne} />`)}</ul>`
          : html`<${Empty} icon="bell" title=${msg("No notifications")}>
              <p>${msg("When somebody gives you a task or comments on one of yours, and when a deadline comes near, you read it here.")}</p>
            <//>`}
    <//>
  `;
}

function Notification({ item, onRead }) {
  const content = html`
    <span class="notification-icon"><${Icon} name=${ICONS[item.kind] ?? "bell"} /></span>
    <span class="notification-text">
      <span>${item.text}</span>
      ${item.details?.said ? html`<q>${item.details.said}</q>` : null}
      <span class="hint"><${Ago} at=${item.created_at} /></span>
    </span>
    ${item.read_at ? null : html`<span class="unread-dot"><span class="hidden">${msg("unread")}</span></span>`}
  `;
  return html`
    <li class=${classes("notification", { unread: !item.read_at })}>
      ${item.task_id
        ? html`<a href=${linkTo(`tasks/${item.task_id}`)} onClick=${() => void onRead(item)}>${content}</a>`
        : html`<button type="button" onClick=${() => onRead(item)}>${content}</button>`}
    </li>
  `;
}
