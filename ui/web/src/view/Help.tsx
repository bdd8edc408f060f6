// The keys.

import { useEffect, useRef } from "preact/hooks";
import { help } from "../state";
import { Sign } from "./icons";

const KEYS: [string, string][] = [
  ["/", "Find in flows"],
  ["Arrows", "Go from workload to workload; in the table from flow to flow"],
  ["Enter", "Choose what has the focus"],
  ["d", "Next denied arrow, and why"],
  ["Esc", "Close, then clear the filters"],
  ["f", "Flows"],
  ["h", "HTTP"],
  ["w", "What a pending policy would change"],
  ["p", "Pause, go on"],
  ["1, 5, 9", "Window of 1, 5 or 15 minutes"],
  ["+, -, 0", "Zoom in, out, show all"],
  ["t", "Dark or light"],
  ["?", "These keys"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = help.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} class="help" aria-label="Keys" onClose={() => (help.value = false)}>
      <h2>Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">
        Words are looked for in names, labels, paths, policies and reasons: <code>app=web</code>,{" "}
        <code>-health</code> for what has it not, <code>-at:default/sleep</code> for what has not
        this end.
      </p>
      <p class="muted">
        <Sign outcome="allowed" /> allowed, <Sign outcome="denied" /> denied,{" "}
        <Sign outcome="audited" /> audited (a policy in audit mode would deny it),{" "}
        <Sign outcome="error" /> failed after it was allowed. A broken line that ends in a bar was
        denied.
      </p>
      <button type="button" class="primary" onClick={() => (help.value = false)}>
        Close
      </button>
    </dialog>
  );
}
