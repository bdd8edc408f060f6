// Requests by what was asked, and how they went over the window.

import { OUTCOMES } from "../model/flow";
import { percentile, type Requests, requests } from "../model/requests";
import { change, picture, selection } from "../state";
import { count, milliseconds, NAMES, placeName, plural } from "../words";
import { Statuses } from "./details/Panel";
import { Sign } from "./icons";

const ROWS = 200;
/** Columns of the chart. */
const STEPS = 60;

export function HttpPanel() {
  const { flows, from, to } = picture.value;
  const chosen = selection.value;
  const http = flows.filter((flow) => {
    if (!flow.http) return false;
    if (chosen?.kind === "place") return [flow.from.place.id, flow.to.place.id].includes(chosen.id);
    if (chosen?.kind === "arrow")
      return chosen.id.startsWith(`${flow.from.place.id}→${flow.to.place.id}#`);
    return true;
  });
  const rows = requests(http);
  if (rows.length === 0)
    return (
      <div class="http none">
        <p class="muted">
          No HTTP request in this window. Requests are seen where a policy with HTTP rules selects a
          pod.
        </p>
      </div>
    );
  const total = rows.reduce((n, row) => n + row.count, 0);
  const denied = rows.reduce((n, row) => n + row.outcomes.denied, 0);
  const times = http.flatMap((flow) =>
    flow.kind === "answer" && flow.outcome !== "denied" ? [flow.latency] : [],
  );
  const facts: [string, string][] = [
    ["Requests", count(total)],
    ["Denied", `${count(denied)} (${Math.round((100 * denied) / Math.max(1, total))} %)`],
    ["p50", milliseconds(percentile(times, 0.5))],
    ["p95", milliseconds(percentile(times, 0.95))],
  ];
  return (
    <div class="http">
      <div class="facts">
        <dl>
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <Chart times={http} from={from} to={to} />
      </div>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Workload</th>
              <th>Request</th>
              <th>Status</th>
              <th>Verdicts</th>
              <th class="number">Count</th>
              <th class="number">p50</th>
              <th class="number">p95</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS).map((row) => (
              <Row key={row.id} row={row} />
            ))}
          </tbody>
        </table>
        {rows.length > ROWS && <p class="muted">and {plural(rows.length - ROWS, "kind")} more</p>}
      </div>
    </div>
  );
}

function Row({ row }: { row: Requests }) {
  return (
    <tr>
      <td>{placeName(row.to)}</td>
      <td>
        <button
          type="button"
          class="plain"
          title="Find these"
          onClick={() => change({ text: `${row.method} ${row.path}` })}
        >
          <span class="method">{row.method}</span> <code>{row.path}</code>
        </button>
      </td>
      <td>
        <Statuses statuses={row.statuses} />
      </td>
      <td>
        {OUTCOMES.filter((outcome) => row.outcomes[outcome] > 0).map((outcome) => (
          <span key={outcome} class={`word ${outcome}`} title={NAMES[outcome]}>
            <Sign outcome={outcome} /> {count(row.outcomes[outcome])}
          </span>
        ))}
      </td>
      <td class="number">{count(row.count)}</td>
      <td class="number">{milliseconds(row.p50)}</td>
      <td class="number">{milliseconds(row.p95)}</td>
    </tr>
  );
}

/** Requests over the window: let through below, denied above. */
function Chart({
  times,
  from,
  to,
}: {
  times: { time: number; kind: string; outcome: string }[];
  from: number;
  to: number;
}) {
  const passed = new Array<number>(STEPS).fill(0);
  const denied = new Array<number>(STEPS).fill(0);
  for (const { time, kind, outcome } of times) {
    if (kind !== "request") continue;
    const step = Math.min(
      STEPS - 1,
      Math.max(0, Math.floor(((time - from) / (to - from)) * STEPS)),
    );
    const into = outcome === "denied" ? denied : passed;
    into[step] = (into[step] ?? 0) + 1;
  }
  const most = Math.max(1, ...passed.map((n, step) => n + (denied[step] ?? 0)));
  const high = (n: number) => (n / most) * 44;
  return (
    <svg
      class="chart"
      viewBox={`0 0 ${STEPS * 5} 46`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Requests over the window, at most ${most} in a step`}
    >
      {passed.map((n, step) => {
        const [low, top] = [high(n), high(denied[step] ?? 0)];
        return (
          <g key={`${step * 1}`}>
            {low > 0 && <rect class="passed" x={step * 5} y={46 - low} width="4" height={low} />}
            {top > 0 && (
              <rect class="denied" x={step * 5} y={46 - low - top} width="4" height={top} />
            )}
          </g>
        );
      })}
    </svg>
  );
}
