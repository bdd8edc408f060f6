// One flow, with all that the observer tells of it.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Flow } from "../../model/flow";
import type { Reason } from "../../model/graph";
import { clock, counted, milliseconds, placeName, plural } from "../../words";
import { Between, Panel, Statuses, Verdict } from "./Panel";
import { OneReason } from "./Reasons";

export function OneFlow({ flow }: { flow: Flow }) {
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
    ["Sent", flow.carried && counted(flow.carried.sent)],
    ["Received", flow.carried && counted(flow.carried.received)],
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
      <section>
        {flow.why.reason && <OneReason reasons={[reason]} outcome={flow.outcome} />}
      </section>
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
        <pre>{JSON.stringify(JSON.parse(flow.text), null, 2)}</pre>
      </details>
    </Panel>
  );
}
