/** Lists that are read page by page, for the operator's pages. */

import { html, useEffect, useRef, useState } from "../ui.js";
import { get, query } from "../api.js";
import { explain } from "../notices.js";
import { msg } from "../texts.js";
import { Failed, Skeleton } from "../parts/bits.js";

const LIMIT = 50;

/**
 * Reads a list of the API by its first page, and more pages when they are asked for.
 * @param {string} path
 * @param {Record<string, string>} filters
 * @returns {{items: object[]|null, total: number, isMore: boolean, problem: string, more: () => Promise<void>, reload: () => Promise<void>}}
 */
export function usePages(path, filters) {
  const [state, setState] = useState({ items: null, total: 0, cursor: undefined, problem: "" });
  const current = useRef(null);
  const read = async (before, cursor) => {
    const attempt = (current.current = {});
    try {
      const place = cursor ? { cursor } : { skip: before.length };
      const { items, total, next_cursor: next } = await get(path + query({ ...filters, ...place, limit: LIMIT }));
      if (current.current === attempt) setState({ items: [...before, ...items], total, cursor: next, problem: "" });
    } catch (error) {
      if (current.current === attempt) setState((now) => ({ ...now, problem: explain(error) }));
    }
  };
  useEffect(() => {
    void read([]);
    return () => (current.current = null);
  }, [path, JSON.stringify(filters)]);
  const { items, total, cursor } = state;
  // Lists without cursors have no `next_cursor` at all; on the last page of the others it is null.
  const isMore = cursor === undefined ? items?.length < total : cursor !== null;
  return { ...state, isMore, more: () => read(items, cursor), reload: () => read([]) };
}

/** Shows a list that was read, or what is shown meanwhile or in place of it, and the button for the next page. */
export function Pages({ pages, empty, children }) {
  if (pages.problem) return html`<${Failed} text=${pages.problem} onRetry=${pages.reload} />`;
  if (!pages.items) return html`<${Skeleton} lines=${8} />`;
  if (!pages.items.length) return html`<p class="panel">${empty}</p>`;
  return html`
    ${children(pages.items)}
    ${pages.isMore ? html`<button type="button" class="button more"
      onClick=${pages.more}>${msg("Show more")}</button>` : null}
  `;
}
