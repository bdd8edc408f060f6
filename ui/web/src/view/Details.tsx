// What is known of what is chosen: an arrow with its reasons, a workload, one flow.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Flow, Outcome } from "../model/flow";
import { type Arrow, label, type Reason, type Workload } from "../model/graph";
import { change, picture, selection } from "../state";
import {
  ago,
  clock,
  count,
  milliseconds,
  NAMES,
  placeKind,
  placeName,
  plural,
  policy,
} from "../words";
import { Icon, Sign } from "./icons";

export function Details() {
  const chosen = selection.value;
  if (!chosen) return null;
  const { arrows, workloads } = picture.value.graph;
  if (chosen.kind === "flow") return <OneFlow flow={chosen.flow} />;
  if (chosen.kind === "arrow") {
    const arrow = arrows.get(chosen.id);
    return arrow ? <OneArrow arrow={arrow} /> : <Gone />;
  }
  const workload = workloads.get(chosen.id);
  return workload ? <OneWorkload workload={workload} /> : <Gone />;
}

function Panel({
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

function Between({ from, to }: { from: string; to: string }) {
  return (
    <>
      {from} <Icon name="right" /> <span class="hidden">to</span> {to}
    </>
  );
}

function Gone() {
  return (
    <Panel title="Not seen any more" above="In this time window">
      <p class="muted">Nothing of it is left within the window and the filters.</p>
    </Panel>
  );
}

export function Verdict({ outcome }: { outcome: Outcome }) {
  return (
    <span class={`tag ${outcome}`}>
      <Sign outcome={outcome} /> {NAMES[outcome]}
    </span>
  );
}

// === an arrow ===

function OneArrow({ arrow }: { arrow: Arrow }) {
  const heading: Record<Outcome, string> = {
    denied: "Why it was denied",
    audited: "What would deny it",
    error: "What went wrong",
    allowed: "What allows it",
  };
  const title = <Between from={arrow.from.name} to={arrow.to.name} />;
  const above = (
    <>
      <Verdict outcome={arrow.outcome} /> {count(arrow.count)} ×, last{" "}
      {ago(arrow.last, picture.value.to)}
    </>
  );
  const shown = arrow.reasons.slice(0, 8);
  return (
    <Panel title={title} above={above}>
      <section>
        <h3>{heading[arrow.outcome]}</h3>
        {shown.map((reason) => (
          <OneReason
            key={reason.why.reason + reason.why.nearestMiss + reason.direction}
            reason={reason}
            outcome={arrow.outcome}
          />
        ))}
        {arrow.reasons.length === 0 && <p class="muted">The records give no reason.</p>}
        {arrow.reasons.length > shown.length && (
          <p class="muted">and {plural(arrow.reasons.length - shown.length, "reason")} more</p>
        )}
      </section>
      <section>
        <h3>What was sent</h3>
        {arrow.channels.map((port) => (
          <div class="port" key={port.name}>
            <p>
              <b>{port.name}</b>
              {port.application && <span class="app">{port.application.toUpperCase()}</span>}
              {port.services.map((name) => (
                <span class="muted" key={name}>
                  service {name}
                </span>
              ))}
              <span class="number">{count(port.count)}</span>
            </p>
            {port.requests.length > 0 && (
              <ul>
                {port.requests.slice(0, 10).map((request) => (
                  <li key={`${request.method} ${request.path}`}>
                    {request.method && <span class="method">{request.method}</span>}
                    <code>{request.path}</code>
                    <Statuses statuses={request.statuses} />
                    <span class="number">{count(request.count)}</span>
                  </li>
                ))}
                {port.requests.length > 10 && (
                  <li class="muted">and {port.requests.length - 10} more: see HTTP below</li>
                )}
              </ul>
            )}
          </div>
        ))}
      </section>
      <Latest
        of={(flow) =>
          flow.outcome === arrow.outcome &&
          flow.from.place.id === arrow.from.id &&
          flow.to.place.id === arrow.to.id
        }
      />
    </Panel>
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

function OneReason({ reason, outcome }: { reason: Reason; outcome: Outcome }) {
  const { policies, rules, reason: text, nearestMiss, defaultDeny } = reason.why;
  const side = reason.direction
    ? `at the ${reason.direction} of its ${reason.direction === "ingress" ? "target" : "source"}`
    : "";
  return (
    <article class={`reason ${outcome}`}>
      {policies.map((name, index) => (
        <PolicyName
          key={`${name}${rules[index]}`}
          text={name}
          rule={rules[index] ?? ""}
          whole={defaultDeny}
        />
      ))}
      <p>
        <Marked text={text} />
      </p>
      {nearestMiss && (
        <p class="nearest">
          <span>Nearest miss</span>
          <Marked text={nearestMiss} />
        </p>
      )}
      <footer>
        <span>{reason.subjects.join(", ")}</span>
        <span>
          {side} · {count(reason.count)} ×
        </span>
      </footer>
    </article>
  );
}

function PolicyName({ text, rule, whole }: { text: string; rule: string; whole: boolean }) {
  const { kind, namespace, name } = policy(text);
  return (
    <div class="policy">
      <span class="kind">
        {kind}
        {namespace && ` in ${namespace}`}
      </span>
      <strong>{name}</strong>
      {rule ? (
        <code>{rule}</code>
      ) : (
        whole && <span class="muted">its default: no rule allows it</span>
      )}
    </div>
  );
}

/** `quoted` words as code. */
function Marked({ text }: { text: string }) {
  const parts = text.split("`");
  return <>{parts.map((part, index) => (index % 2 ? <code key={part}>{part}</code> : part))}</>;
}

function Latest({ of }: { of: (flow: Flow) => boolean }) {
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

// === a workload ===

function OneWorkload({ workload }: { workload: Workload }) {
  const { place, pods, addresses } = workload;
  const arrows = [...picture.value.graph.arrows.values()];
  const above = `${placeKind(place)}${place.namespace ? ` in ${place.namespace}` : ""}${pods > 0 ? ` · ${plural(pods, "pod")}` : ""}`;
  return (
    <Panel title={place.name} above={above}>
      <ArrowList
        title="Who reaches it"
        arrows={arrows.filter(({ to }) => to.id === place.id)}
        other={({ from }) => placeName(from)}
      />
      <ArrowList
        title="Whom it reaches"
        arrows={arrows.filter(({ from }) => from.id === place.id)}
        other={({ to }) => placeName(to)}
      />
      <section>
        <h3>Addresses</h3>
        <p class="addresses">
          {addresses.map((address) => (
            <code key={address}>{address}</code>
          ))}
        </p>
        {place.kind === "workload" && (
          <button
            type="button"
            class="primary"
            onClick={() => change({ workload: place.name, namespace: place.namespace })}
          >
            Show only its flows
          </button>
        )}
      </section>
      <Latest of={(flow) => flow.from.place.id === place.id || flow.to.place.id === place.id} />
    </Panel>
  );
}

function ArrowList({
  title,
  arrows,
  other,
}: {
  title: string;
  arrows: Arrow[];
  other: (arrow: Arrow) => string;
}) {
  if (arrows.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="latest">
        {arrows
          .sort((a, b) => b.count - a.count)
          .map((arrow) => (
            <li key={arrow.id}>
              <button
                type="button"
                onClick={() => (selection.value = { kind: "arrow", id: arrow.id })}
              >
                <Sign outcome={arrow.outcome} />
                <span class="said">
                  <b>{other(arrow)}</b> {label(arrow)}
                </span>
                <span class="number">{count(arrow.count)}</span>
              </button>
            </li>
          ))}
      </ul>
    </section>
  );
}

// === a flow ===

function OneFlow({ flow }: { flow: Flow }) {
  const top = useRef<HTMLDListElement>(null);
  useEffect(() => top.current?.closest(".scroll")?.scrollTo(0, 0), [flow]);
  const end = ({ place, pod, address, port }: Flow["from"]) => (
    <>
      <b>{placeName(place)}</b>
      {pod && <span>{pod}</span>}
      <code>
        {address.includes(":") ? `[${address}]` : address}
        {port > 0 && `:${port}`}
      </code>
    </>
  );
  const rows: [string, ComponentChildren][] = [
    ["From", end(flow.from)],
    ["To", end(flow.to)],
    ["Service", flow.service],
    [
      "Protocol",
      `${flow.protocol}${flow.application ? `, ${flow.application.toUpperCase()}` : ""}`,
    ],
    ["Judged", flow.direction && `at ${flow.direction}`],
    ["Request", flow.http && <code>{`${flow.http.method} ${flow.http.path}`}</code>],
    ["Status", flow.http?.status ? <Statuses statuses={[[flow.http.status, 1]]} /> : ""],
    ["Took", flow.kind === "answer" && milliseconds(flow.latency)],
    ["Again", flow.repeats > 0 && `${plural(flow.repeats, "more packet")} like this one`],
    ["Node", flow.node],
    ["Record", <code>{flow.summary}</code>],
  ];
  const reason: Reason = {
    why: flow.why,
    direction: flow.direction,
    count: 1 + flow.repeats,
    last: flow.time,
    subjects: [],
  };
  return (
    <Panel
      title={<Between from={flow.from.place.name} to={flow.to.place.name} />}
      above={
        <>
          <Verdict outcome={flow.outcome} /> {clock(flow.time)}
        </>
      }
    >
      <section>{flow.why.reason && <OneReason reason={reason} outcome={flow.outcome} />}</section>
      <dl ref={top}>
        {rows.map(
          ([name, value]) =>
            value && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      <details>
        <summary>As the observer tells it</summary>
        <pre>{JSON.stringify(flow.raw, null, 2)}</pre>
      </details>
    </Panel>
  );
}
