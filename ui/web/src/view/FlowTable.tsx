// The flows, the newest first, one row for what happened once; only the rows in sight are drawn.

import { computed, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { COLUMNS, type Column, readColumns } from "../model/columns";
import { type Exchange, exchanges } from "../model/exchange";
import type { Flow } from "../model/flow";
import { narrow, picture, selection } from "../state";
import { carriedInAll, clock, counted, endName, milliseconds, NAMES, said } from "../words";
import { Icon, Sign } from "./icons";

/** Height of a row in px; on a narrow screen it has two lines. */
const ROW = { wide: 34, narrow: 60 };
const SPARE = 6;
/** There "From" has both ends. */
const NARROW: Column[] = ["verdict", "from", "time", "what"];

export const columns = signal<Column[]>(readColumns());
/** Those whose records are shown one by one. */
const unfolded = signal<ReadonlySet<string>>(new Set());

/** A row: what happened, or one record of it. */
interface Line {
  id: string;
  flow: Flow;
  whole: Exchange | null;
}

/** Flows of what is chosen on the map, or all of them. */
export function listed(): readonly Flow[] {
  const chosen = selection.value;
  const { flows } = picture.value;
  if (!chosen || chosen.kind === "flow") return flows;
  if (chosen.kind === "place")
    return flows.filter(({ from, to }) => from.place.id === chosen.id || to.place.id === chosen.id);
  const arrow = picture.value.graph.arrows.get(chosen.id);
  if (!arrow) return [];
  return flows.filter(
    ({ from, to, outcome }) =>
      outcome === arrow.outcome && from.place.id === arrow.from.id && to.place.id === arrow.to.id,
  );
}

/** What happened, each once, the newest first. */
export const happened = computed(() => exchanges(listed()).reverse());

/** With what is unfolded. */
function lines(): Line[] {
  return happened.value.flatMap((whole) => {
    const { id, lead } = whole;
    const row = { id, flow: lead, whole };
    if (!unfolded.value.has(id)) return [row];
    const each = whole.flows.map((flow) => ({ id: `${id} ${flow.id}`, flow, whole: null }));
    return [row, ...each];
  });
}

export function unfold(id: string): void {
  const next = new Set(unfolded.value);
  if (!next.delete(id)) next.add(id);
  unfolded.value = next;
}

export function FlowTable() {
  const area = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const rows = lines();
  const row = narrow.value ? ROW.narrow : ROW.wide;
  const chosen = selection.value;
  const at =
    chosen?.kind === "flow"
      ? rows.findLastIndex(({ flow, whole }) =>
          whole && !unfolded.value.has(whole.id)
            ? whole.flows.includes(chosen.flow)
            : flow.id === chosen.flow.id,
        )
      : -1;

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
    selection.value = { kind: "flow", flow: next.flow };
    const one = area.current;
    if (!one) return;
    const top = Math.max(0, index) * row;
    if (top < one.scrollTop) one.scrollTop = top;
    if (top + 2 * row > one.scrollTop + one.clientHeight)
      one.scrollTop = top + 2 * row - one.clientHeight;
  };
  const keys = (event: KeyboardEvent) => {
    const whole = rows[at]?.whole;
    const open = whole && unfolded.value.has(whole.id);
    if (whole && (event.key === "ArrowRight" ? !open : event.key === "ArrowLeft" && open)) {
      event.preventDefault();
      event.stopPropagation();
      unfold(whole.id);
      return;
    }
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    go(at < 0 ? 0 : at + step);
  };

  const first = Math.max(0, Math.floor(view.top / row) - SPARE);
  const shown = rows.slice(first, first + Math.ceil(view.height / row) + 2 * SPARE);
  const names = narrow.value ? NARROW : columns.value;
  const template = ["22px", ...names.map((name) => COLUMNS[name].width)].join(" ");
  return (
    <div
      class="table"
      role="grid"
      aria-label="Flows, the newest first"
      aria-rowcount={rows.length}
      tabIndex={0}
      ref={area}
      onKeyDown={keys}
      style={{ "--columns": template }}
    >
      <div class="row head" role="row">
        <span role="columnheader">
          <span class="hidden">Records</span>
        </span>
        {names.map((name) => (
          <span role="columnheader" key={name}>
            {COLUMNS[name].title}
          </span>
        ))}
      </div>
      <div class="rows" role="presentation" style={{ height: `${rows.length * row}px` }}>
        {shown.map((line, index) => (
          <Row
            key={line.id}
            line={line}
            names={names}
            top={(first + index) * row}
            chosen={first + index === at}
            open={!!line.whole && unfolded.value.has(line.whole.id)}
          />
        ))}
      </div>
      {rows.length === 0 && <p class="muted none">No flows to list.</p>}
    </div>
  );
}

interface RowProps {
  line: Line;
  names: Column[];
  top: number;
  chosen: boolean;
  open: boolean;
}

function Row({ line: { flow, whole }, names, top, chosen, open }: RowProps) {
  const many = (whole?.flows.length ?? 0) > 1;
  return (
    <div
      class={`row ${flow.outcome}${chosen ? " chosen" : ""}${whole ? "" : " part"}`}
      role="row"
      aria-selected={chosen}
      style={{ transform: `translateY(${top}px)` }}
      data-flow={flow.id}
      onClick={() => (selection.value = { kind: "flow", flow })}
    >
      <span role="gridcell" class="fold">
        {many && whole && (
          <button
            type="button"
            tabIndex={-1}
            aria-expanded={open}
            aria-label={open ? "Fold" : `Show its ${whole.flows.length} records`}
            title={open ? "Fold" : `Show its ${whole.flows.length} records`}
            onClick={(event) => {
              event.stopPropagation();
              unfold(whole.id);
            }}
          >
            <Icon name="down" size={13} />
          </button>
        )}
      </span>
      {names.map((name) => (
        <Cell key={name} name={name} flow={flow} whole={whole} />
      ))}
    </div>
  );
}

function Cell({ name, flow, whole }: { name: Column; flow: Flow; whole: Exchange | null }) {
  const { policies, reason } = flow.why;
  const by = policies.map((text) => text.split("/").at(-1)).join(", ");
  switch (name) {
    case "time":
      return (
        <span role="gridcell" class="c-time">
          <time>{clock(flow.time)}</time>
        </span>
      );
    case "verdict":
      return (
        <span role="gridcell" class={`c-verdict word ${flow.outcome}`}>
          <Sign outcome={flow.outcome} /> {NAMES[flow.outcome]}
        </span>
      );
    case "from":
    case "to":
      return (
        <span role="gridcell" class={`c-${name}`} title={flow[name].pod || flow[name].address}>
          {endName(flow[name])}
          {narrow.value && ` → ${endName(flow.to)}`}
        </span>
      );
    case "port":
      return (
        <span role="gridcell" class="c-port muted">
          {flow.channel}
        </span>
      );
    case "judged":
      return (
        <span
          role="gridcell"
          class="c-judged muted"
          title="Whose rules judged it: the source's at egress, the target's at ingress"
        >
          {whole ? whole.directions.join(", ") : flow.direction}
        </span>
      );
    case "what": {
      const answer = whole?.answer ?? (flow.kind === "answer" ? flow : null);
      return (
        <span role="gridcell" class="c-what" title={flow.summary}>
          {said(flow.http && answer ? answer : flow)}
          {answer && <i class="muted"> {milliseconds(answer.latency)}</i>}
        </span>
      );
    }
    case "why":
      return (
        <span role="gridcell" class="c-why muted" title={reason}>
          {by && <b>{by}</b>} {reason}
        </span>
      );
    case "carried": {
      const carried = whole ? whole.carried : flow.carried;
      return (
        <span
          role="gridcell"
          class="c-carried muted"
          title={
            carried
              ? `sent ${counted(carried.sent)}; received ${counted(carried.received)}`
              : "told when the flow ends"
          }
        >
          {carried && carriedInAll(carried)}
        </span>
      );
    }
    case "node":
    case "service":
      return (
        <span role="gridcell" class={`c-${name} muted`} title={flow[name]}>
          {flow[name]}
        </span>
      );
  }
}
