/** The files of a task: uploaded by choosing or dropping them, with their progress. */

import { html, classes, useState } from "../ui.js";
import { download, get, remove, upload } from "../api.js";
import { facts } from "../facts.js";
import { Icon } from "../icons.js";
import { attempt, explain } from "../notices.js";
import { nameOf } from "../people.js";
import { profile } from "../session.js";
import { newId } from "../tabs.js";
import { language, msg } from "../texts.js";
import { Ago } from "../parts/bits.js";
import { Reading, useReading } from "./reading.js";

/** Returns a size as people read it: "1.2 MB". */
function sizeText(bytes) {
  const [unit, size] = bytes >= 1e6 ? ["megabyte", 1e6] : bytes >= 1e3 ? ["kilobyte", 1e3] : ["byte", 1];
  return new Intl.NumberFormat(language.value, { style: "unit", unit, maximumFractionDigits: 1 }).format(bytes / size);
}

export function Files({ taskId, ownerId, events }) {
  const reading = useReading(() => get(`/tasks/${taskId}/attachments?limit=200`), `${taskId} ${events}`);
  const [uploads, setUploads] = useState([]);
  const [isOver, setOver] = useState(false);

  const update = (id, values) => setUploads((all) => all.map((one) => (one.id === id ? { ...one, ...values } : one)));
  const dismiss = (id) => setUploads((all) => all.filter((one) => one.id !== id));
  const send = async (file) => {
    const id = newId();
    setUploads((all) => [...all, { id, name: file.name, share: 0, problem: "" }]);
    if (file.size > facts.fileBytes) {
      update(id, { problem: msg("The file is too large: at most {size}.", { size: sizeText(facts.fileBytes) }) });
      return;
    }
    try {
      await upload(`/tasks/${taskId}/attachments`, file, (share) => update(id, { share }));
      dismiss(id);
      await reading.reload();
    } catch (error) {
      update(id, { problem: explain(error) });
    }
  };
  const sendAll = (files) => [...files].forEach((file) => void send(file));
  const onDrop = (event) => {
    event.preventDefault();
    setOver(false);
    sendAll(event.dataTransfer.files);
  };
  const onDragOver = (event) => {
    event.preventDefault();
    setOver(true);
  };
  const onChoose = (event) => {
    sendAll(event.currentTarget.files);
    event.currentTarget.value = "";
  };
  return html`
    <section class=${classes("part files", { over: isOver })} aria-labelledby="files" onDragOver=${onDragOver}
      onDragLeave=${() => setOver(false)} onDrop=${onDrop}>
      <h2 id="files">${msg("Files")}</h2>
      <${Reading} reading=${reading} lines=${2}>
        ${({ items }) => html`<ul class="file-list">
          ${items.map((file) => html`<${Attachment} key=${file.id} file=${file} ownerId=${ownerId}
            onChange=${reading.reload} />`)}
        </ul>`}
      <//>
      <ul class="file-list" aria-live="polite">
        ${uploads.map((one) => html`<${Upload} key=${one.id} upload=${one} onDismiss=${() => dismiss(one.id)} />`)}
      </ul>
      <label class="file-choice">
        <input type="file" multiple class="hidden" onChange=${onChoose} />
        <${Icon} name="plus" size=${18} /><span>${msg("Choose files, or drop them here")}</span>
      </label>
    </section>
  `;
}

function Attachment({ file, ownerId, onChange }) {
  const path = `/tasks/${file.task_id}/attachments/${file.id}`;
  const mayDelete = [file.user_id, ownerId].includes(profile.value?.id) || profile.value?.role === "admin";
  const onDelete = async () => (await attempt(() => remove(path))) && onChange();
  return html`
    <li class="file">
      <${Icon} name="file" />
      <div class="file-content">
        <button type="button" class="link-button file-name"
          onClick=${() => attempt(() => download(`${path}/content`, file.filename))}>${file.filename}</button>
        <p class="hint">${sizeText(file.size)} · ${nameOf(file.user_id)} · <${Ago} at=${file.created_at} /></p>
      </div>
      ${mayDelete ? html`<button type="button" class="icon-button small"
        aria-label=${msg("Delete “{title}”", { title: file.filename })} onClick=${onDelete}><${Icon} name="trash"
        size=${18} /></button>` : null}
    </li>
  `;
}

const Upload = ({ upload: { name, share, problem }, onDismiss }) => html`
  <li class="file">
    <${Icon} name="file" />
    <div class="file-content">
      <span class="file-name">${name}</span>
      ${problem
        ? html`<p class="field-error">${problem}</p>`
        : html`<progress max="1" value=${share} aria-label=${msg("Upload of “{title}”", { title: name })}></progress>`}
    </div>
    ${problem ? html`<button type="button" class="icon-button small" aria-label=${msg("Dismiss")}
      onClick=${onDismiss}><${Icon} name="close" size=${16} /></button>` : null}
  </li>
`;
