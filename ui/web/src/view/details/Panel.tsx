// What all details have in common: the frame around them, verdicts, statuses, the last flows.

import type { ComponentChildren } from "preact";
import type { Flow, Outcome } from "../../model/flow";
import { picture, selection } from "../../state";
import { clock, NAMES, plural } from "../../words";
import { Icon, Sign } from "../icons";

export function Panel({
  title,
  above,
  children,
}: {
  title: ComponentChildren;
  above: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <aside class="details" aria-label="Details">
      <header>
        <div>
          <p class="above">{above}</p>
          <h2>{title}</h2>
        </div>
        <button
          type="button"
          class="tool"
          aria-label="Close"
          title="Close (Esc)"
          onClick={() => (selection.value = null)}
        >
          <Icon name="close" />
        </button>
      </header>
      <div class="scroll">{children}</div>
    </aside>
  );
}

export function Between({ from, to }: { from: string; to: string }) {
  return (
    <>
      {from} <Icon name="right" /> <span class="hidden">to</span> {to}
    </>
  );
}

export function Verdict({ outcome }: { outcome: Outcome }) {
  return (
    <span class={`tag ${outcome}`}>
      <Sign outcome={outcome} /> {NAMES[outcome]}
    </span>
  );
}

export function Statuses({ statuses }: { statuses: [number, number][] }) {
  return (
    <span class="statuses">
      {statuses.map(([status, times]) => (
        <span
          key={status}
          class={`status s${Math.floor(status / 100)}`}
          title={plural(times, "answer")}
        >
          {status}
        </span>
      ))}
    </span>
  );
}

export function Latest({ of }: { of: (flow: Flow) => boolean }) {
  const { flows } = picture.value;
  const found: Flow[] = [];
  for (let index = flows.length - 1; index >= 0 && found.length < 8; index -= 1) {
    const flow = flows[index] as Flow;
    if (of(flow)) found.push(flow);
  }
  return (
    <section>
      <h3>The last of them</h3>
      <ul class="latest">
        {found.map((flow) => (
          <li key={flow.id}>
            <button type="button" onClick={() => (selection.value = { kind: "flow", flow })}>
              <time>{clock(flow.time)}</time>
              <Sign outcome={flow.outcome} />
              <span class="said">{flow.summary}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
