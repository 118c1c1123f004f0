/**
 * Live events. One tab has the socket and passes everything on to the others, because an account may have only a few
 * open sockets. When that tab is closed, another one connects and continues behind the last event that it has seen.
 */

import { effect, signal } from "./ui.js";
import { post } from "./api.js";
import { Problem } from "./http.js";
import { endEverywhere, profile } from "./session.js";
import { exclusively, onTold, tell } from "./tabs.js";
import { msg } from "./texts.js";

const LONGEST_WAIT_SECONDS = 30;
const PING_SECONDS = 20;
const PONG_SECONDS = 8;

/** @type {{value: "connecting"|"live"|"offline"}} */
export const connection = signal("connecting");

const listeners = new Set();
const resyncListeners = new Set();

let socket = null;
let isLeader = false;
let seq = null;
let attempts = 0;
let timer = null;
let pulse = null;

/** Calls a function with every event that this account may read. */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Calls a function when events were missed, so that everything has to be read again. */
export function onResync(listener) {
  resyncListeners.add(listener);
  return () => resyncListeners.delete(listener);
}

/** Connects at once, if there is no connection. */
export function reconnect() {
  if (!isLeader) tell("reconnect", null);
  else if (!socket) connect();
}

function setConnection(state) {
  connection.value = state;
  tell("connection", state);
}

function lead() {
  isLeader = true;
  connect();
  // The lock is kept until the tab is closed.
  return new Promise(() => {});
}

async function connect() {
  clearTimeout(timer);
  if (socket || !profile.peek()) return;
  if (!navigator.onLine) {
    setConnection("offline");
    return;
  }
  if (connection.peek() !== "offline") setConnection("connecting");
  socket = "wanted";
  try {
    const { ticket } = await post("/ws/tickets");
    open(ticket);
  } catch (error) {
    socket = null;
    if (error instanceof Problem && error.status === 401) return;
    lose((error instanceof Problem && error.retryAfter) || null);
  }
}

function open(ticket) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const since = seq === null ? "" : `&since=${seq}`;
  const opened = new WebSocket(`${scheme}://${location.host}/ws?ticket=${encodeURIComponent(ticket)}${since}`);
  socket = opened;
  opened.onmessage = ({ data }) => receive(JSON.parse(data));
  opened.onclose = ({ code }) => {
    if (socket !== opened) return;
    socket = null;
    clearInterval(pulse);
    close(code);
  };
  let isAnswered = true;
  pulse = setInterval(() => {
    isAnswered = false;
    if (opened.readyState === WebSocket.OPEN) opened.send('{"action":"ping"}');
    setTimeout(() => isAnswered || drop(opened), PONG_SECONDS * 1000);
  }, PING_SECONDS * 1000);
  opened.addEventListener("message", () => (isAnswered = true));
}

/** Gives a connection up that does not answer, without waiting for it to be closed. */
function drop(dead) {
  if (socket !== dead) return;
  socket = null;
  clearInterval(pulse);
  dead.close();
  lose(null);
}

function receive(frame) {
  if (frame.type === "pong" || frame.type === "error") return;
  if (frame.type === "ready") {
    attempts = 0;
    const isFirst = seq === null;
    seq = frame.seq;
    setConnection("live");
    if (isFirst) spread({ type: "resync_required", seq });
    return;
  }
  spread(frame);
}

function spread(frame) {
  tell("frame", frame);
  take(frame);
}

function take(frame) {
  if (frame.seq) seq = Math.max(seq ?? 0, frame.seq);
  if (frame.type === "resync_required") {
    seq = frame.seq;
    for (const listener of resyncListeners) listener();
    return;
  }
  for (const listener of listeners) listener(frame);
}

function close(code) {
  if (code === 4403) {
    endEverywhere(msg("Your session was ended elsewhere. Please sign in again."));
  } else if (code === 4401) {
    void connect(); // The token has expired; a new one is used for the next ticket.
  } else if (code === 4429) {
    lose(LONGEST_WAIT_SECONDS);
  } else {
    lose(code === 1012 ? 1 : null);
  }
}

/** Waits before the next attempt: as long as the server says, or longer after each attempt, each browser another time. */
function lose(seconds) {
  if (!profile.peek()) return;
  setConnection("offline");
  attempts += 1;
  const longest = Math.min(LONGEST_WAIT_SECONDS, 2 ** Math.min(attempts, 5));
  timer = setTimeout(connect, 1000 * (seconds ?? 0.5 + Math.random() * longest));
}

function hangUp() {
  const open = socket;
  socket = null;
  clearTimeout(timer);
  clearInterval(pulse);
  if (open instanceof WebSocket) open.close();
}

onTold("frame", take);
onTold("connection", (state) => (connection.value = state));
onTold("reconnect", () => isLeader && !socket && connect());
onTold("connection?", () => isLeader && tell("connection", connection.peek()));
window.addEventListener("online", () => isLeader && connect());
window.addEventListener("offline", () => {
  if (!isLeader) return;
  hangUp();
  setConnection("offline");
});

let isWaiting = false;
effect(() => {
  const isSignedIn = profile.value !== null;
  if (!isSignedIn) {
    hangUp();
    seq = null;
    attempts = 0;
  } else if (isLeader) {
    void connect();
  } else if (!isWaiting) {
    isWaiting = true;
    tell("connection?", null);
    void exclusively("socket", lead);
  }
});
