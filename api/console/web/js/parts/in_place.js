/** Fields that are shown as they are and changed in their place. */

import { html, useEffect, useId, useRef, useState } from "../ui.js";
import { msg } from "../texts.js";

/**
 * A text that becomes a field when it is clicked. Enter or leaving the field saves it, Escape does not. What somebody else
 * changes meanwhile does not change the field; `onSave` also gets the `basis` that was there when the editing began.
 * @param {{value: string, basis?: unknown, onSave: (value: string, basis: unknown) => void, as: string, label: string,
 *     multiline?: boolean}} properties
 */
export function TextInPlace({ value, basis, onSave, as, className, label, placeholder = "", multiline = false, required = false, maxlength }) {
  const [isEditing, setEditing] = useState(false);
  const field = useRef(null);
  const button = useRef(null);
  const hadFocus = useRef(false);
  const before = useRef({ value, basis });
  const isOpen = useRef(false);
  useEffect(() => {
    if (isEditing) {
      field.current.focus();
      field.current.select();
    } else if (hadFocus.current) {
      button.current?.focus();
    }
    hadFocus.current = isEditing;
  }, [isEditing]);
  const finish = (isSaved) => {
    // A field that is taken away loses the focus, and would be finished a second time.
    if (!isOpen.current) return;
    isOpen.current = false;
    const text = field.current.value.trim();
    if (isSaved && text !== before.current.value && !(required && !text)) onSave(text, before.current.basis);
    setEditing(false);
  };
  const begin = () => {
    isOpen.current = true;
    before.current = { value, basis };
    setEditing(true);
  };
  const onKeyDown = (event) => {
    const saves = event.key === "Enter" && (!multiline || event.ctrlKey || event.metaKey);
    if (!saves && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    finish(saves);
  };
  const common = { ref: field, class: `${className} in-place-field`, "aria-label": label, maxlength, onKeyDown, onBlur: () => finish(true) };
  if (isEditing && multiline) {
    return html`
      <textarea ...${common} rows=${Math.max(4, before.current.value.split("\n").length + 1)}
        defaultValue=${before.current.value}></textarea>
      <p class="hint">${msg("Ctrl+Enter saves, Escape discards.")}</p>
    `;
  }
  if (isEditing) return html`<input ...${common} defaultValue=${before.current.value} />`;
  return html`
    <${as} class=${`${className} in-place`}>
      <button ref=${button} type="button" class=${value ? "" : "placeholder"}
        aria-label=${msg("{label}: {value}. Change", { label, value: value || msg("empty") })} onClick=${begin}>
        ${value || placeholder}
      </button>
    <//>
  `;
}

/** A field for one of several values, which is saved when another one is chosen. */
export function FieldSelect({ label, value, options, onSave }) {
  const id = useId();
  return html`
    <div class="fact-field">
      <label class="fact-label" for=${id}>${label}</label>
      <select id=${id} onChange=${(event) => onSave(event.currentTarget.value)}>
        ${options.map(([option, name]) => html`<option value=${option} selected=${option === value}>${name}</option>`)}
      </select>
    </div>
  `;
}
