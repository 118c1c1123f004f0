/** A dialog above the page. The browser keeps the focus inside, closes it by Escape, and then gives the focus back. */

import { html, useEffect, useId, useRef } from "../ui.js";
import { msg } from "../texts.js";
import { Icon } from "../icons.js";

export function Dialog({ title, onClose, wide = false, children }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element.showModal();
    element.querySelector("[data-focus]")?.focus();
    return () => {
      element.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  const onPointerDown = (event) => {
    if (event.target === dialog.current) onClose();
  };
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${onCancel}
      onPointerDown=${onPointerDown}>
      <div class="dialog-body">
        <div class="dialog-header">
          <h2 id=${id}>${title}</h2>
          <button type="button" class="icon-button" aria-label=${msg("Close")} onClick=${onClose}><${Icon}
            name="close" /></button>
        </div>
        ${children}
      </div>
    </dialog>
  `;
}
