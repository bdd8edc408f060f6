// What happened once and is told several times: at both ends, as question and answer, as the connection
// and the first request on it.

import { type Carried, CarriedTally } from "./carried";
import { type Flow, type FlowKind, OUTCOMES } from "./flow";
import { entry } from "./maps";

export interface Exchange {
  id: string;
  /** The record that says most: what was denied, else what was asked. */
  lead: Flow;
  /** Of an HTTP request the answer, where it came. */
  answer: Flow | null;
  /** All records, the oldest first. */
  flows: Flow[];
  /** Where it was judged. */
  directions: Flow["direction"][];
  /** Once the flow has ended. */
  carried: Carried | null;
}

/** Records of one thing come within this time, in ms. */
const WITHIN = 5000;
const KINDS: FlowKind[] = ["request", "connection", "answer", "end"];

/** Kernel and proxy tell times that may differ by so much, in ms. */
const APART = 10;

/** What the kernel tells of a connection comes before what is asked on it. */
function inOrder(flows: Iterable<Flow>): Flow[] {
  const kernels = ({ kind }: Flow) => kind === "connection" || kind === "end";
  const at = (flow: Flow) => (kernels(flow) ? flow.time - APART : flow.time);
  return [...flows].sort((a, b) => at(a) - at(b));
}

/** One for each connection or request; `flows` come in order of time. */
export function exchanges(flows: Iterable<Flow>): Exchange[] {
  const found: Flow[][] = [];
  const open = new Map<string, Flow[][]>();
  for (const flow of inOrder(flows)) {
    const { from, to, channel, subject, kind } = flow;
    const ends = `${from.address} ${from.port} ${to.address} ${channel}`;
    // However long it lived, the end is that of the connection that was opened last by these ports.
    const opened = kind === "end" && open.get(ends)?.at(-1);
    if (opened) {
      opened.push(flow);
      continue;
    }
    // A connection that went to the proxy is told with its first request.
    const keys =
      kind === "connection" || kind === "end" ? [ends] : [`${ends} ${subject}`, `${ends} opened`];
    const known = keys
      .flatMap((key) => open.get(key) ?? [])
      .find((one) => flow.time - (one[0] as Flow).time < WITHIN && fits(one, flow));
    if (known) {
      known.push(flow);
      if (kind !== "connection") remember(open, `${ends} ${subject}`, known);
      if (flow.redirected) remember(open, `${ends} opened`, known);
      continue;
    }
    const fresh = [flow];
    found.push(fresh);
    remember(open, keys[0] as string, fresh);
    if (flow.redirected) remember(open, `${ends} opened`, fresh);
  }
  return found.map(made);
}

function remember(open: Map<string, Flow[][]>, key: string, one: Flow[]): void {
  const list = entry(open, key, () => []);
  if (list.includes(one)) return;
  list.push(one);
  // Of a connection with many requests only the last ones can still be told of.
  if (list.length > 8) list.shift();
}

/** Whether a record tells of the same as others: each end says each thing once. */
function fits(known: Flow[], flow: Flow): boolean {
  // Who opens a connection by the same ports again opens another one; an answer may be told late.
  if (flow.kind === "connection" && known.some(({ kind }) => kind === "end")) return false;
  const said = ({ kind }: Flow) => kind === "request" || kind === "answer";
  const asked = known.find(said);
  if (asked && said(flow) && asked.subject !== flow.subject) return false;
  return !known.some(({ kind, direction }) => kind === flow.kind && direction === flow.direction);
}

function made(flows: Flow[]): Exchange {
  const rank = (flow: Flow) =>
    OUTCOMES.indexOf(flow.outcome) * KINDS.length + KINDS.indexOf(flow.kind);
  const lead = flows.reduce((best, one) => (rank(one) < rank(best) ? one : best));
  const answer = flows.find(({ kind }) => kind === "answer") ?? null;
  const directions = [...new Set(flows.map(({ direction }) => direction))].filter(Boolean).sort();
  const carried = new CarriedTally();
  for (const flow of flows) if (flow.carried) carried.add(flow.direction, flow.carried);
  const { id } = flows[0] as Flow;
  return { id, lead, answer, flows, directions, carried: carried.total() };
}
