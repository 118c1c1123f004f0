/**
 * How cards are moved. With the mouse a card follows as soon as it is pulled; by touch it is held for a moment first, so
 * that the page can still be scrolled. With the keyboard Space picks a card up, and arrow keys carry it.
 */

import { signal } from "../ui.js";
import { statusName } from "../labels.js";
import { announce } from "../notices.js";
import { STATUSES } from "../tasks.js";
import { msg } from "../texts.js";

const PULL_PIXELS = 6;
const HOLD_MS = 280;
/** How long after the end of a drag a click still belongs to it; by touch it comes a little later. */
const CLICK_MS = 50;
const EDGE_PIXELS = 60;
const SCROLL_PIXELS = 12;

/** The id of the card that follows the pointer, or null. */
export const dragged = signal(null);
/** The status of the column below the pointer, or null. */
export const overColumn = signal(null);
/** The card that the keyboard carries: `{id, title, from}`, or null. */
export const carried = signal(null);

/** Begins to follow a pointer that was put down on a card. `move` is called with the id and the status in the end. */
export function startDrag(event, id, move) {
  if (event.button !== 0 || !event.isPrimary) return;
  const card = event.currentTarget;
  const from = { x: event.clientX, y: event.clientY };
  const isTouch = event.pointerType !== "mouse";
  let ghost = null;
  let timer = isTouch ? setTimeout(() => lift(from.x, from.y), HOLD_MS) : 0;

  function lift(x, y) {
    const place = card.getBoundingClientRect();
    ghost = card.cloneNode(true);
    ghost.classList.add("ghost");
    ghost.setAttribute("aria-hidden", "true");
    ghost.style.width = `${place.width}px`;
    ghost.dataset.left = place.left - from.x;
    ghost.dataset.top = place.top - from.y;
    document.body.append(ghost);
    document.body.classList.add("dragging");
    dragged.value = id;
    follow(x, y);
  }

  function follow(x, y) {
    ghost.style.transform = `translate(${x + Number(ghost.dataset.left)}px, ${y + Number(ghost.dataset.top)}px)`;
    overColumn.value = document.elementFromPoint(x, y)?.closest("[data-status]")?.dataset.status ?? null;
    scrollAtEdge(x, y);
  }

  function onMove({ clientX: x, clientY: y, pointerId }) {
    if (pointerId !== event.pointerId) return;
    const pulled = Math.hypot(x - from.x, y - from.y) > PULL_PIXELS;
    if (ghost) follow(x, y);
    else if (pulled && isTouch) stop();
    else if (pulled) lift(x, y);
  }

  function stop() {
    clearTimeout(timer);
    timer = 0;
    window.removeEventListener("pointermove", onMove);
    window.removeEventListener("pointerup", onUp);
    window.removeEventListener("pointercancel", stop);
    window.removeEventListener("keydown", onEscape, true);
    window.removeEventListener("touchmove", keepPage);
    window.removeEventListener("contextmenu", keepMenu);
    ghost?.remove();
    ghost = null;
    document.body.classList.remove("dragging");
    dragged.value = null;
    overColumn.value = null;
  }

  function onUp() {
    const status = overColumn.peek();
    const wasDragged = ghost !== null;
    stop();
    if (!wasDragged) return;
    // The click that follows would open the task.
    window.addEventListener("click", swallow, { capture: true });
    setTimeout(() => window.removeEventListener("click", swallow, { capture: true }), CLICK_MS);
    if (status) move(id, status);
  }

  const onEscape = (pressed) => pressed.key === "Escape" && stop();
  // Holding a link would open its menu, and moving would scroll the page.
  const keepMenu = (menu) => isTouch && menu.preventDefault();
  const keepPage = (moved) => ghost && moved.preventDefault();

  window.addEventListener("pointermove", onMove);
  window.addEventListener("pointerup", onUp);
  window.addEventListener("pointercancel", stop);
  window.addEventListener("keydown", onEscape, true);
  window.addEventListener("touchmove", keepPage, { passive: false });
  window.addEventListener("contextmenu", keepMenu);
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}

function scrollAtEdge(x, y) {
  const board = document.querySelector(".board");
  if (x < EDGE_PIXELS) board.scrollLeft -= SCROLL_PIXELS;
  if (x > window.innerWidth - EDGE_PIXELS) board.scrollLeft += SCROLL_PIXELS;
  if (y < EDGE_PIXELS) window.scrollBy(0, -SCROLL_PIXELS);
  if (y > window.innerHeight - EDGE_PIXELS) window.scrollBy(0, SCROLL_PIXELS);
}

/** Handles a key that was pressed on a card. */
export function onCardKey(event, task, move) {
  const isCarried = carried.peek()?.id === task.id;
  const handled = isCarried ? carry(event.key, task, move) : walk(event, task);
  if (handled) {
    event.preventDefault();
    event.stopPropagation();
  }
}

function carry(key, task, move) {
  if (key === " " || key === "Enter") {
    carried.value = null;
    announce(msg("“{title}” was put down in “{status}”.", { title: task.title, status: statusName(task.status) }));
  } else if (key === "Escape") {
    const { from } = carried.peek();
    carried.value = null;
    move(task.id, from);
    announce(msg("“{title}” is back in “{status}”.", { title: task.title, status: statusName(from) }));
  } else if (key === "ArrowLeft" || key === "ArrowRight") {
    const status = STATUSES[STATUSES.indexOf(task.status) + (key === "ArrowRight" ? 1 : -1)];
    if (status) move(task.id, status);
  } else {
    return key !== "Tab";
  }
  return true;
}

/** Goes to another card by arrow keys, or picks this one up. */
function walk(event, task) {
  if (event.key === " ") {
    carried.value = { id: task.id, from: task.status };
    announce(msg("“{title}” is picked up. Carry it with the arrow keys, put it down with Space.", { title: task.title }));
    return true;
  }
  const card = event.currentTarget;
  const cards = [...card.parentElement.children];
  const position = cards.indexOf(card);
  const columns = [...document.querySelectorAll(".column")];
  const column = columns.indexOf(card.closest(".column"));
  const beside = (step) => {
    for (let next = column + step; columns[next]; next += step) {
      const others = columns[next].querySelectorAll(".card");
      if (others.length) return others[Math.min(position, others.length - 1)];
    }
    return null;
  };
  const target = {
    ArrowDown: () => cards[position + 1],
    ArrowUp: () => cards[position - 1],
    ArrowLeft: () => beside(-1),
    ArrowRight: () => beside(1),
  }[event.key]?.();
  target?.querySelector("a").focus();
  return Boolean(target);
}
