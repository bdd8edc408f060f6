// The flows, the newest first; only the rows in sight are drawn.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Flow } from "../model/flow";
import { picture, selection } from "../state";
import { clock, milliseconds, NAMES, placeName, said } from "../words";
import { Sign } from "./icons";

const ROW = 34;
const SPARE = 6;

/** Flows of what is chosen on the map, or all of them; the newest first. */
function listed(): Flow[] {
  const chosen = selection.value;
  const { flows } = picture.value;
  if (!chosen || chosen.kind === "flow") return flows.toReversed();
  if (chosen.kind === "place")
    return flows
      .filter(({ from, to }) => from.place.id === chosen.id || to.place.id === chosen.id)
      .reverse();
  const arrow = picture.value.graph.arrows.get(chosen.id);
  if (!arrow) return [];
  return flows
    .filter(
      ({ from, to, outcome }) =>
        outcome === arrow.outcome && from.place.id === arrow.from.id && to.place.id === arrow.to.id,
    )
    .reverse();
}

export function FlowTable() {
  const area = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const rows = listed();
  const chosen = selection.value;
  const at = chosen?.kind === "flow" ? rows.findIndex(({ id }) => id === chosen.flow.id) : -1;

  useEffect(() => {
    const one = area.current;
    if (!one) return;
    const look = () => setView({ top: one.scrollTop, height: one.clientHeight });
    look();
    one.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(one);
    return () => {
      one.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, []);

  const go = (index: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, index))];
    if (!next) return;
    selection.value = { kind: "flow", flow: next };
    const one = area.current;
    if (!one) return;
    const top = Math.max(0, index) * ROW;
    if (top < one.scrollTop) one.scrollTop = top;
    if (top + 2 * ROW > one.scrollTop + one.clientHeight)
      one.scrollTop = top + 2 * ROW - one.clientHeight;
  };
  const keys = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    go(at < 0 ? 0 : at + step);
  };

  const first = Math.max(0, Math.floor(view.top / ROW) - SPARE);
  const shown = rows.slice(first, first + Math.ceil(view.height / ROW) + 2 * SPARE);
  return (
    <div
      class="table"
      role="grid"
      aria-label="Flows, the newest first"
      aria-rowcount={rows.length}
      tabIndex={0}
      ref={area}
      onKeyDown={keys}
    >
      <div class="row head" role="row">
        {["Time", "Verdict", "From", "To", "Port", "What", "Why"].map((name) => (
          <span role="columnheader" key={name}>
            {name}
          </span>
        ))}
      </div>
      <div class="rows" style={{ height: `${rows.length * ROW}px` }}>
        {shown.map((flow, index) => (
          <Row
            key={flow.id}
            flow={flow}
            top={(first + index) * ROW}
            chosen={first + index === at}
          />
        ))}
      </div>
      {rows.length === 0 && <p class="muted none">No flows to list.</p>}
    </div>
  );
}

function Row({ flow, top, chosen }: { flow: Flow; top: number; chosen: boolean }) {
  const reply = flow.kind === "answer";
  const { policies, reason } = flow.why;
  const by = policies.map((text) => text.split("/").at(-1)).join(", ");
  return (
    <div
      class={`row ${flow.outcome}${chosen ? " chosen" : ""}`}
      role="row"
      aria-selected={chosen}
      style={{ transform: `translateY(${top}px)` }}
      data-flow={flow.id}
      onClick={() => (selection.value = { kind: "flow", flow })}
    >
      <span role="gridcell">
        <time>{clock(flow.time)}</time>
      </span>
      <span role="gridcell" class={`word ${flow.outcome}`}>
        <Sign outcome={flow.outcome} /> {NAMES[flow.outcome]}
      </span>
      <span role="gridcell" title={flow.from.pod}>
        {placeName(flow.from.place)}
      </span>
      <span role="gridcell" title={flow.to.pod}>
        {placeName(flow.to.place)}
      </span>
      <span role="gridcell" class="muted">
        {flow.channel}
      </span>
      <span role="gridcell" title={flow.summary}>
        {said(flow)}
        {reply && <i class="muted"> {milliseconds(flow.latency)}</i>}
      </span>
      <span role="gridcell" class="muted" title={reason}>
        {by && <b>{by}</b>} {reason}
      </span>
    </div>
  );
}
