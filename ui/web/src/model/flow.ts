// One record of the observer, as the page thinks of it: from the one who asked to the one asked.

import { type Carried, carriedOf } from "./carried";
import type { RawAnswer, RawEnd, RawFlow, RawPorts, RawWhy } from "./raw";

export type Outcome = "allowed" | "denied" | "audited" | "error";

/** In the order in which they matter. */
export const OUTCOMES: readonly Outcome[] = ["denied", "error", "audited", "allowed"];

export type PlaceKind = "workload" | "world" | "name" | "node";

/** A node of the map: a workload, a DNS name, the world, a Kubernetes node. */
export interface Place {
  id: string;
  kind: PlaceKind;
  /** Kubernetes' namespace; empty for what is in none. */
  namespace: string;
  name: string;
  /** Deployment, StatefulSet, Pod; empty for what is no workload. */
  workload: string;
}

export interface End {
  place: Place;
  pod: string;
  /** app=web; without the source of each. */
  labels: readonly string[];
  address: string;
  port: number;
}

export interface Why {
  /** The same for reasons that are the same in all. */
  key: string;
  /** Kind/NAMESPACE/NAME of the policies that decided. */
  policies: readonly string[];
  /** In step with them; empty for a default. */
  rules: readonly string[];
  defaultDeny: boolean;
  reason: string;
  nearestMiss: string;
}

export interface Http {
  method: string;
  path: string;
  /** 0: not answered, or this is the question. */
  status: number;
}

/**
 * connection: judged by addresses and ports; request and answer: of HTTP, DNS or TLS; end: a flow is
 * over, and what it carried.
 */
export type FlowKind = "connection" | "request" | "answer" | "end";

export interface Flow {
  id: string;
  /** The same for flows between the same two. */
  pair: string;
  /** TCP 80, ICMP. */
  channel: string;
  /** What was asked: GET /ip, a DNS name, or the channel. */
  subject: string;
  /** ms since the epoch. */
  time: number;
  kind: FlowKind;
  outcome: Outcome;
  /** Went to the proxy, which judges its requests one by one. */
  redirected: boolean;
  direction: "ingress" | "egress" | "";
  from: End;
  to: End;
  service: string;
  protocol: string;
  /** http, dns, tls, unknown; empty for a connection. */
  application: string;
  http: Http | null;
  query: string;
  /** Of an answer, in ms. */
  latency: number;
  why: Why;
  /** Of an end. */
  carried: Carried | null;
  /** The same packet came again so often. */
  repeats: number;
  node: string;
  summary: string;
  /** The record as the server sent it. */
  text: string;
}

const DROP = 1;
const ENDED = 200;

/** A record, or null for one that says nothing new: the drop of a packet whose verdict is told. */
export function read(raw: RawAnswer, text = ""): Flow | null {
  const flow = raw.flow;
  if (!flow) return null;
  const reason = flow.drop_reason_desc ?? "";
  if (flow.event_type?.type === DROP && reason.startsWith("POLICY_DEN")) return null;
  const answer = flow.is_reply === true;
  const source = end(flow, "source");
  const destination = end(flow, "destination");
  const [from, to] = answer ? [destination, source] : [source, destination];
  const kind = kindOf(flow, answer);
  const service = answer
    ? (flow.source_service ?? flow.destination_service)
    : flow.destination_service;
  const asked = flow.l7?.http;
  const http = asked && { method: asked.method ?? "", path: path(asked.url ?? "") };
  const why = flow.weir ?? {};
  const query = flow.l7?.dns?.query ?? "";
  const protocol = protocolOf(flow);
  const channel = same(to.port ? `${protocol} ${to.port}` : protocol);
  return {
    id: flow.uuid || `${flow.time}${flow.Summary}${from.port}`,
    time: Date.parse(flow.time ?? raw.time ?? ""),
    pair: same(`${from.place.id}→${to.place.id}`),
    channel,
    subject: same(subject()),
    kind,
    outcome: outcome(flow, answer),
    redirected: flow.verdict === "REDIRECTED",
    direction: direction(flow.traffic_direction),
    from,
    to,
    service: service?.name ? `${service.namespace}/${service.name}` : "",
    protocol,
    application: why.application ?? (http ? "http" : flow.l7?.dns ? "dns" : ""),
    http: http ? { ...http, path: same(http.path), status: asked?.code ?? 0 } : null,
    query,
    latency: Number(flow.l7?.latency_ns ?? 0) / 1e6,
    why: whyOf(why),
    carried: why.ended ? carriedOf(why.ended) : null,
    repeats: Number(why.repeats ?? 0),
    node: flow.node_name ?? raw.node_name ?? "",
    summary: flow.Summary ?? "",
    text,
  };

  function subject(): string {
    if (http) return `${http.method} ${http.path}`;
    if (query) return query.replace(/\.$/, "");
    if (why.application === "tls") return flow?.destination_names?.[0] ?? "TLS";
    return kind === "connection" || kind === "end" ? channel : (flow?.Summary ?? "");
  }
}

function kindOf(flow: RawFlow, answer: boolean): FlowKind {
  if (flow.event_type?.type === ENDED) return "end";
  if (flow.Type !== "L7") return "connection";
  return answer ? "answer" : "request";
}

/** Thousands of flows say the same few things: each is kept once. */
const known = new Map<string, unknown>();

function once<T>(key: string, make: () => T): T {
  let value = known.get(key) as T | undefined;
  if (value === undefined) {
    if (known.size > 50_000) known.clear();
    value = make();
    known.set(key, value);
  }
  return value;
}

const same = (text: string): string => once(`text ${text}`, () => text);

function whyOf(why: RawWhy): Why {
  const { policies = [], rules = [], default_deny: defaultDeny = false } = why;
  const key = [policies, rules, defaultDeny, why.reason, why.nearest_miss].join("\n");
  const { reason = "", nearest_miss: nearestMiss = "" } = why;
  return once(`why ${key}`, () => ({ key, policies, rules, defaultDeny, reason, nearestMiss }));
}

function direction(text: string | undefined): Flow["direction"] {
  return text === "INGRESS" ? "ingress" : text === "EGRESS" ? "egress" : "";
}

/** The answer to a denied request is itself forwarded: the proxy's own 403. */
function outcome(flow: RawFlow, answer: boolean): Outcome {
  switch (flow.verdict) {
    case "DROPPED":
      return "denied";
    case "AUDIT":
      return "audited";
    case "ERROR":
      return "error";
  }
  const denied = flow.ingress_denied_by?.length || flow.egress_denied_by?.length;
  if (!answer || !denied) return "allowed";
  return flow.weir?.reason?.includes("would be denied") ? "audited" : "denied";
}

function protocolOf(flow: RawFlow): string {
  const l4 = flow.l4 ?? {};
  if (l4.TCP) return "TCP";
  if (l4.UDP) return "UDP";
  if (l4.SCTP) return "SCTP";
  if (l4.ICMPv4) return "ICMP";
  if (l4.ICMPv6) return "ICMPv6";
  return "IP";
}

/** Without host and query. */
function path(url: string): string {
  const start = url.indexOf("://");
  const slash = start < 0 ? 0 : url.indexOf("/", start + 3);
  const whole = slash < 0 ? "/" : url.slice(slash);
  const end = whole.search(/[?#]/);
  return end < 0 ? whole : whole.slice(0, end);
}

function end(flow: RawFlow, side: "source" | "destination"): End {
  const one: RawEnd = flow[side] ?? {};
  const names = (side === "source" ? flow.source_names : flow.destination_names) ?? [];
  const l4 = flow.l4 ?? {};
  const ports: RawPorts = l4.TCP ?? l4.UDP ?? l4.SCTP ?? {};
  const port = side === "source" ? ports.source_port : ports.destination_port;
  return {
    place: place(one, names, flow.node_name ?? ""),
    pod: one.pod_name ?? "",
    labels: labelsOf(one.labels ?? []),
    address: flow.IP?.[side] ?? "",
    port: port ?? 0,
  };
}

function labelsOf(labels: string[]): readonly string[] {
  const key = `labels ${labels.join(" ")}`;
  return once(key, () => labels.map((label) => label.slice(label.indexOf(":") + 1)));
}

function place(end: RawEnd, names: string[], node: string): Place {
  const nowhere = { namespace: "", workload: "" };
  if (end.namespace) {
    const workload = end.workloads?.[0] ?? { name: end.pod_name ?? "?", kind: "Pod" };
    const id = `${end.namespace}/${workload.kind}/${workload.name}`;
    const { namespace } = end;
    return once<Place>(`place ${id}`, () => ({
      id,
      kind: "workload",
      namespace,
      name: workload.name,
      workload: workload.kind,
    }));
  }
  const reserved = end.labels?.find((label) => label.startsWith("reserved:"))?.slice(9) ?? "world";
  if (reserved !== "world") {
    const name = reserved === "host" ? node || "host" : reserved;
    return once(`place node:${name}`, () => ({
      id: `node:${name}`,
      kind: "node",
      name,
      ...nowhere,
    }));
  }
  const name = names[0]?.replace(/\.$/, "");
  if (name)
    return once(`place name:${name}`, () => ({
      id: `name:${name}`,
      kind: "name",
      name,
      ...nowhere,
    }));
  return once("place world", () => ({ id: "world", kind: "world", name: "world", ...nowhere }));
}
