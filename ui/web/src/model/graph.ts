// The map: who talks to whom, one arrow for each pair and outcome.

import { type Carried, CarriedTally } from "./carried";
import type { Wanted } from "./filter";
import { type Flow, OUTCOMES, type Outcome, type Place, type Why } from "./flow";
import { entry } from "./maps";
import { RequestTally } from "./requests";
import { Tally } from "./tally";

/** Reasons of an arrow that are told one by one. */
const REASONS = 24;

export interface Request {
  method: string;
  path: string;
  count: number;
  statuses: [number, number][];
}

/** What goes through one port. */
export interface Channel {
  /** TCP 80. */
  name: string;
  application: string;
  services: string[];
  count: number;
  requests: Request[];
}

export interface Reason {
  why: Why;
  direction: Flow["direction"];
  count: number;
  /** ms since the epoch. */
  last: number;
  /** What it was said of: GET /ip, TCP 80. */
  subjects: string[];
}

export interface Arrow {
  id: string;
  from: Place;
  to: Place;
  outcome: Outcome;
  /** Requests where there are any, else connections. */
  count: number;
  channels: Channel[];
  reasons: Reason[];
  /** By flows that have ended; of what was denied nothing. */
  carried: Carried | null;
  last: number;
}

export interface Workload {
  place: Place;
  pods: number;
  addresses: string[];
  in: Record<Outcome, number>;
  out: Record<Outcome, number>;
}

export interface Graph {
  workloads: Map<string, Workload>;
  arrows: Map<string, Arrow>;
  namespaces: string[];
  /** Of all arrows together. */
  totals: Record<Outcome, number>;
}

interface Port {
  name: string;
  application: string;
  services: Set<string>;
  connections: Tally;
  asked: boolean;
  requests: Map<string, { method: string; path: string; tally: RequestTally }>;
}

interface Pair {
  from: Place;
  to: Place;
  ports: Map<string, Port>;
  reasons: Map<Outcome, Map<string, Reason>>;
  last: Map<Outcome, number>;
  carried: CarriedTally;
}

const zeros = (): Record<Outcome, number> => ({ allowed: 0, denied: 0, audited: 0, error: 0 });

export function graph(flows: Iterable<Flow>): Graph {
  const pairs = new Map<string, Pair>();
  const seen = new Map<string, { place: Place; pods: Set<string>; addresses: Set<string> }>();
  for (const flow of flows) {
    for (const { place, pod, address } of [flow.from, flow.to]) {
      const fresh = () => ({ place, pods: new Set<string>(), addresses: new Set<string>() });
      const one = entry(seen, place.id, fresh);
      if (pod) one.pods.add(pod);
      if (one.addresses.size < 8) one.addresses.add(address);
    }
    const [from, to] = [flow.from.place, flow.to.place];
    const pair = entry(pairs, flow.pair, () => ({
      from,
      to,
      ports: new Map(),
      reasons: new Map(),
      last: new Map(),
      carried: new CarriedTally(),
    }));
    take(pair, flow);
  }
  const arrows = new Map<string, Arrow>();
  for (const [id, pair] of pairs) {
    for (const outcome of OUTCOMES) {
      const arrow = arrowOf(`${id}#${outcome}`, pair, outcome);
      if (arrow) arrows.set(arrow.id, arrow);
    }
  }
  return { arrows, ...ends(seen, arrows) };
}

function take(pair: Pair, flow: Flow): void {
  if (flow.kind === "end") {
    if (flow.carried) pair.carried.add(flow.direction, flow.carried);
    return;
  }
  const name = flow.channel;
  const port = entry(pair.ports, name, () => ({
    name,
    application: "",
    services: new Set<string>(),
    connections: new Tally(),
    asked: false,
    requests: new Map(),
  }));
  if (flow.service) port.services.add(flow.service);
  if (flow.application && flow.application !== "unknown") port.application = flow.application;
  if (flow.kind === "connection") {
    port.connections.add(flow);
  } else {
    port.asked = true;
    const what = flow.subject;
    const [method, path] = flow.http ? [flow.http.method, flow.http.path] : ["", what];
    const fresh = () => ({ method, path, tally: new RequestTally() });
    const request = entry(port.requests, what, fresh);
    request.tally.add(flow);
  }
  pair.last.set(flow.outcome, Math.max(pair.last.get(flow.outcome) ?? 0, flow.time));
  if (flow.kind !== "answer" && flow.why.reason) explain(pair, flow);
}

function explain(pair: Pair, flow: Flow): void {
  const reasons = entry(pair.reasons, flow.outcome, () => new Map<string, Reason>());
  const key = `${flow.direction} ${flow.why.key}`;
  const known = reasons.get(key);
  const said = flow.subject;
  if (known) {
    known.count += 1 + flow.repeats;
    known.last = Math.max(known.last, flow.time);
    if (!known.subjects.includes(said) && known.subjects.length < 6) known.subjects.push(said);
  } else if (reasons.size < REASONS) {
    const { why, direction, time: last } = flow;
    reasons.set(key, { why, direction, last, count: 1 + flow.repeats, subjects: [said] });
  }
}

function arrowOf(id: string, pair: Pair, outcome: Outcome): Arrow | null {
  const channels: Channel[] = [];
  for (const port of pair.ports.values()) {
    const requests: Request[] = [];
    for (const { method, path, tally } of port.requests.values()) {
      const count = tally.outcomes()[outcome];
      if (count > 0) requests.push({ method, path, count, statuses: tally.byStatus() });
    }
    requests.sort((a, b) => b.count - a.count);
    const connections = port.connections.totals();
    // Connections that went to the proxy are told by their requests, once there are any.
    const opened =
      connections[outcome] + (outcome === "allowed" && !port.asked ? connections.redirected : 0);
    const count = opened + requests.reduce((n, request) => n + request.count, 0);
    const { name, application } = port;
    if (count > 0)
      channels.push({ name, application, services: [...port.services], count, requests });
  }
  if (channels.length === 0) return null;
  channels.sort((a, b) => b.count - a.count);
  return {
    id,
    from: pair.from,
    to: pair.to,
    outcome,
    count: channels.reduce((n, one) => n + one.count, 0),
    channels,
    reasons: [...(pair.reasons.get(outcome)?.values() ?? [])].sort((a, b) => b.count - a.count),
    carried: outcome === "allowed" ? pair.carried.total() : null,
    last: pair.last.get(outcome) ?? 0,
  };
}

function ends(
  seen: Map<string, { place: Place; pods: Set<string>; addresses: Set<string> }>,
  arrows: Map<string, Arrow>,
): Omit<Graph, "arrows"> {
  const workloads = new Map<string, Workload>();
  for (const [id, { place, pods, addresses }] of seen)
    workloads.set(id, {
      place,
      pods: pods.size,
      addresses: [...addresses].sort(),
      in: zeros(),
      out: zeros(),
    });
  const totals = zeros();
  for (const arrow of arrows.values()) {
    totals[arrow.outcome] += arrow.count;
    const [from, to] = [workloads.get(arrow.from.id), workloads.get(arrow.to.id)];
    if (from) from.out[arrow.outcome] += arrow.count;
    if (to) to.in[arrow.outcome] += arrow.count;
  }
  const spaces = new Set([...seen.values()].map(({ place }) => place.namespace));
  spaces.delete("");
  return { workloads, namespaces: [...spaces].sort(), totals };
}

/** The arrow that an address names; of several the one that matters most. */
export function find(arrows: Iterable<Arrow>, wanted: Wanted): Arrow | undefined {
  const is = (place: Place, text: string) =>
    place.id === text || `${place.namespace}/${place.name}` === text || `/${place.id}` === text;
  return [...arrows]
    .filter(({ from, to, outcome }) => {
      const right = !wanted.outcome || wanted.outcome === outcome;
      return right && is(from, wanted.from) && is(to, wanted.to);
    })
    .sort((a, b) => OUTCOMES.indexOf(a.outcome) - OUTCOMES.indexOf(b.outcome))[0];
}

/** What an arrow says in a few words. */
export function label(arrow: Arrow): string {
  const requests = arrow.channels.flatMap((one) => one.requests);
  const first = requests.toSorted((a, b) => b.count - a.count)[0];
  const [port] = arrow.channels;
  const name = port
    ? `${port.name}${port.application ? ` ${port.application.toUpperCase()}` : ""}`
    : "";
  const said = first ? `${first.method} ${first.path}`.trim() : name;
  const more = (first ? requests.length : arrow.channels.length) - 1;
  return more > 0 ? `${said} +${more}` : said;
}
