/** The processes, what they have done in the last minutes, and what PostgreSQL says. */

import { html } from "../ui.js";
import { get } from "../api.js";
import { bytesInWords, measureValue } from "../measures.js";
import { msg } from "../texts.js";
import { Ago } from "../parts/bits.js";
import { Table } from "../parts/table.js";
import { Reading } from "./reading.js";
import { State, useRefreshed } from "./operations_overview.js";

const text = (name, show) => ({ name, show });
const figure = (name, show) => ({ name, show, isNumber: true });
const known = (value, unit) => measureValue(value, unit);

const PROCESS_COLUMNS = () => [
  text(msg("Process"), ({ kind, name }) => html`<strong>${kind}</strong> <span class="hint">${name}</span>`),
  text(msg("State"), ({ state }) => html`<${State} value=${state} />`),
  text(msg("Version"), ({ version }) => version),
  text(msg("Host"), ({ host, pid }) => `${host} (${pid})`),
  text(msg("Started"), ({ started_at: at }) => html`<${Ago} at=${at} />`),
  figure(msg("Memory"), ({ memory_bytes: bytes }) => known(bytes, "bytes")),
  figure(msg("Sockets"), ({ sockets }) => known(sockets, "count")),
  text(msg("Last sign of life"), ({ heartbeat_at: at }) => html`<${Ago} at=${at} />`),
];
const QUEUE_COLUMNS = () => [
  text(msg("Queue"), ({ name }) => name),
  figure(msg("Jobs"), ({ length }) => known(length, "count")),
  figure(msg("Oldest job"), ({ oldest_seconds: seconds }) => known(seconds, "seconds")),
];
const ACTIVITY_COLUMNS = () => [
  text(msg("Name"), ({ name }) => html`<code>${name}</code>`),
  figure(msg("Number"), ({ number }) => known(number, "count")),
  figure(msg("Put off or refused"), ({ refused }) => known(refused, "count")),
  figure(msg("Failed"), ({ failed }) => known(failed, "count")),
  figure("p50", ({ p50_ms: ms }) => known(ms, "milliseconds")),
  figure("p99", ({ p99_ms: ms }) => known(ms, "milliseconds")),
];
const TABLE_COLUMNS = () => [text(msg("Table"), ({ name }) => name), figure(msg("Size"), ({ bytes }) => bytesInWords(bytes))];
const CONNECTION_COLUMNS = () => [
  text(msg("Application"), ({ application }) => application || "–"),
  text(msg("State"), ({ state }) => state),
  figure(msg("Number"), ({ number }) => known(number, "count")),
];
const STATEMENT_COLUMNS = () => [
  text(msg("Statement"), ({ statement }) => html`<code>${statement}</code>`),
  figure(msg("Calls"), ({ calls }) => known(calls, "count")),
  figure(msg("Mean"), ({ mean_ms: ms }) => known(ms, "milliseconds")),
  figure(msg("Longest"), ({ longest_ms: ms }) => known(ms, "milliseconds")),
];

export function Details() {
  const reading = useRefreshed(() => get("/admin/operations"), "");
  return html`
    <${Reading} reading=${reading} lines=${8}>
      ${(state) => {
        const minutes = state.window_minutes;
        const parts = [
          ["processes", msg("Processes"), PROCESS_COLUMNS(), state.processes],
          ["queues", msg("Queues"), QUEUE_COLUMNS(), state.queues],
          ["jobs", msg("Jobs of the last {minutes} minutes", { minutes }), ACTIVITY_COLUMNS(), state.jobs],
          ["requests", msg("Requests of the last {minutes} minutes", { minutes }), ACTIVITY_COLUMNS(), state.requests],
          ["tables", msg("Largest tables"), TABLE_COLUMNS(), state.tables],
          ["connections", msg("Connections to PostgreSQL"), CONNECTION_COLUMNS(), state.connections],
          ["statements", msg("Slowest statements"), STATEMENT_COLUMNS(), state.slowest_statements ?? []],
        ];
        return html`<div class="operation-parts">
          ${parts.map(([id, title, columns, rows]) => html`<div class="panel" key=${id}><h2>${title}</h2>
            ${rows.length ? html`<${Table} caption=${title} columns=${columns} rows=${rows}
              keyOf=${(row) => rows.indexOf(row)} />` : html`<p class="hint">${id === "statements" && state.slowest_statements === null ? msg("PostgreSQL does not record them; it needs the extension pg_stat_statements.") : msg("Nothing to show.")}</p>`}
          </div>`)}
        </div>`;
      }}
    <//>
  `;
}
