/** A button that opens a short list of links and actions. */

import { html, useEffect, useRef, useState } from "../ui.js";

/** @param {{label: string, button: unknown, children: unknown, className?: string}} properties */
export function Menu({ label, button, children, className = "icon-button" }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef(null);
  useEffect(() => {
    if (!isOpen) return undefined;
    const close = (event) => {
      if (!root.current.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    root.current.querySelector(".menu-list a, .menu-list button, .menu-list select")?.focus();
    return () => document.removeEventListener("pointerdown", close);
  }, [isOpen]);
  const onKeyDown = (event) => {
    if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      setOpen(false);
      root.current.querySelector("button").focus();
    }
    if (["ArrowDown", "ArrowUp"].includes(event.key) && isOpen && event.target.tagName !== "SELECT") {
      event.preventDefault();
      const items = [...root.current.querySelectorAll(".menu-list a, .menu-list button, .menu-list select")];
      const next = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      items[(next + items.length) % items.length].focus();
    }
  };
  const onListClick = (event) => {
    if (event.target.closest("a, button")) setOpen(false);
  };
  return html`
    <div class="menu" ref=${root} onKeyDown=${onKeyDown}>
      <button type="button" class=${className} aria-label=${label} aria-expanded=${String(isOpen)}
        onClick=${() => setOpen(!isOpen)}>
        ${button}
      </button>
      ${isOpen ? html`<div class="menu-list" onClick=${onListClick}>${children}</div>` : null}
    </div>
  `;
}
