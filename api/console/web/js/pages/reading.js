/** Reading something for a page, with what is shown meanwhile and when it fails. */

import { html, useEffect, useRef, useState } from "../ui.js";
import { explain } from "../notices.js";
import { Failed, Skeleton } from "../parts/bits.js";

/**
 * Reads something when a component is shown, and again when `key` changes.
 * @template T
 * @param {() => Promise<T>} read
 * @returns {{data: T|null, problem: string, reload: () => Promise<void>, setData: (data: T) => void}}
 */
export function useReading(read, key) {
  const [state, setState] = useState({ data: null, problem: "" });
  const current = useRef(null);
  const reload = async () => {
    const attempt = (current.current = {});
    try {
      const data = await read();
      if (current.current === attempt) setState({ data, problem: "" });
    } catch (error) {
      if (current.current === attempt) setState((before) => ({ ...before, problem: explain(error) }));
    }
  };
  useEffect(() => {
    void reload();
    return () => (current.current = null);
  }, [key]);
  return { ...state, reload, setData: (data) => setState({ data, problem: "" }) };
}

/** Shows what was read, or grey lines, or what went wrong. */
export function Reading({ reading, lines = 3, children }) {
  if (reading.data !== null) return children(reading.data);
  if (reading.problem) return html`<${Failed} text=${reading.problem} onRetry=${reading.reload} />`;
  return html`<${Skeleton} lines=${lines} />`;
}
