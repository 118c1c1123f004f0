/** Forms: fields with labels and messages, and what happens when one is sent. */

import { html, useId, useRef, useState } from "../ui.js";
import { explain } from "../notices.js";

const IDLE = { isBusy: false, problem: "", fields: {} };

/**
 * Returns what a form needs.
 * @param {(values: Record<string, string>, form: HTMLFormElement) => Promise<unknown>} send gets the values of the fields
 *     by their names; a problem that it throws is shown at the fields that it is about, or else above the form
 */
export function useForm(send) {
  const [state, setState] = useState(IDLE);
  const isShown = useRef(true);
  const onSubmit = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    if (state.isBusy) return;
    setState({ ...IDLE, isBusy: true });
    let result = IDLE;
    try {
      await send(Object.fromEntries(new FormData(form)), form);
    } catch (error) {
      const fields = error.fields ?? {};
      const isAboutFields = Object.keys(fields).some((name) => form.elements.namedItem(name));
      result = { isBusy: false, problem: isAboutFields ? "" : explain(error), fields };
    }
    if (isShown.current) setState(result);
    requestAnimationFrame(() => form.querySelector("[aria-invalid=true]")?.focus());
  };
  return { ...state, onSubmit };
}

/** A message about a whole form. */
export const FormProblem = ({ text }) => html`<div role="alert" class="form-problem-place">
  ${text ? html`<p class="form-problem">${text}</p>` : null}
</div>`;

function Labelled({ label, hint, error, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children({ id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined })}
      ${hint ? html`<p class="hint" id=${`${id}-hint`}>${hint}</p>` : null}
      ${error ? html`<p class="field-error" id=${`${id}-error`}>${error}</p>` : null}
    </div>
  `;
}

/** A field for a line of text; further properties go to the input. */
export const TextField = ({ label, hint, error, ...input }) => html`
  <${Labelled} label=${label} hint=${hint} error=${error}>
    ${(common) => html`<input type="text" ...${input} ...${common} />`}
  <//>
`;

/** A field for a text of several lines. */
export const AreaField = ({ label, hint, error, ...area }) => html`
  <${Labelled} label=${label} hint=${hint} error=${error}>
    ${(common) => html`<textarea rows="4" ...${area} ...${common}></textarea>`}
  <//>
`;

/**
 * A field for one of several values.
 * @param {{options: [string, string][]}} properties the values with their names
 */
export const SelectField = ({ label, hint, error, options, value, ...select }) => html`
  <${Labelled} label=${label} hint=${hint} error=${error}>
    ${(common) => html`
      <select ...${select} ...${common}>
        ${options.map(([option, name]) => html`<option value=${option}
          selected=${option === String(value ?? "")}>${name}</option>`)}
      </select>
    `}
  <//>
`;
