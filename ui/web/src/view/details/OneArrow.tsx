// An arrow: why, and what was sent.

import type { Outcome } from "../../model/flow";
import type { Arrow, Reason } from "../../model/graph";
import { picture } from "../../state";
import { ago, amount, count, counted, plural } from "../../words";
import { Between, Latest, Panel, Statuses, Verdict } from "./Panel";
import { keyOf, OneReason, together } from "./Reasons";

export function OneArrow({ arrow }: { arrow: Arrow }) {
  const heading: Record<Outcome, string> = {
    denied: "Why it was denied",
    audited: "What would deny it",
    error: "What went wrong",
    allowed: "What allows it",
  };
  const title = <Between from={arrow.from.name} to={arrow.to.name} />;
  const above = (
    <>
      <Verdict outcome={arrow.outcome} /> {amount(arrow)}, last {ago(arrow.last, picture.value.to)}
    </>
  );
  const told = together(arrow.reasons);
  const shown = told.slice(0, 8);
  return (
    <Panel title={title} above={above}>
      <section>
        <h3>{heading[arrow.outcome]}</h3>
        {shown.map((reasons) => (
          <OneReason key={keyOf(reasons[0] as Reason)} reasons={reasons} outcome={arrow.outcome} />
        ))}
        {arrow.reasons.length === 0 && <p class="muted">The records give no reason.</p>}
        {told.length > shown.length && (
          <p class="muted">and {plural(told.length - shown.length, "reason")} more</p>
        )}
      </section>
      <section>
        <h3>What was sent</h3>
        {arrow.carried && (
          <p class="carried">
            {counted(arrow.carried.sent)} there, {counted(arrow.carried.received)} back{" "}
            <span class="muted">by flows that have ended</span>
          </p>
        )}
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
