// What is looked at. Most of it the server filters; words, and what the verdicts of several records
// come to, only the page knows.

import { type Flow, OUTCOMES, type Outcome } from "./flow";

export interface Filter {
  namespace: string;
  /** [KIND/]NAME. */
  workload: string;
  /** Empty: all. */
  outcomes: readonly Outcome[];
  protocol: string;
  /** 403, 4+. */
  status: string;
  /** Words, all of which must be somewhere in the flow. */
  text: string;
}

export const EVERYTHING: Filter = {
  namespace: "",
  workload: "",
  outcomes: [],
  protocol: "",
  status: "",
  text: "",
};

const VERDICTS: Record<Outcome, readonly string[]> = {
  allowed: ["FORWARDED", "REDIRECTED"],
  denied: ["DROPPED"],
  audited: ["AUDIT"],
  error: ["ERROR"],
};

/** As parameters of GET /api/flows. */
export function query(filter: Filter, minutes: number, recorded: boolean): string {
  const parameters = new URLSearchParams();
  if (recorded) parameters.set("last", "0");
  else parameters.set("since", `${minutes}m`);
  if (filter.namespace) parameters.append("namespace", filter.namespace);
  if (filter.workload) parameters.append("workload", filter.workload);
  for (const verdict of filter.outcomes.flatMap((outcome) => VERDICTS[outcome]))
    parameters.append("verdict", verdict);
  if (filter.protocol) parameters.append("protocol", filter.protocol);
  if (isStatus(filter.status)) parameters.append("http-status", filter.status);
  return parameters.toString();
}

/** Whether the server takes it. */
export function isStatus(text: string): boolean {
  return /^([1-5]\d\d|[1-5]\d?\+)$/.test(text);
}

/** What is left for the page to look at. */
export function passes(filter: Filter): (flow: Flow) => boolean {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const outcomes = new Set(filter.outcomes.length ? filter.outcomes : OUTCOMES);
  if (!words.length && outcomes.size === OUTCOMES.length) return () => true;
  return (flow) => outcomes.has(flow.outcome) && words.every((word) => text(flow).includes(word));
}

const texts = new WeakMap<Flow, string>();

/** Everything in a flow that somebody may look for. */
function text(flow: Flow): string {
  let known = texts.get(flow);
  if (known === undefined) {
    const ends = [flow.from, flow.to].flatMap(({ place, pod, address, port }) => [
      place.namespace,
      place.name,
      pod,
      address,
      String(port),
    ]);
    const { policies, reason, nearestMiss } = flow.why;
    const words = [flow.summary, flow.outcome, flow.service, flow.protocol, flow.application];
    known = [...ends, ...words, ...policies, reason, nearestMiss].join("\n").toLowerCase();
    texts.set(flow, known);
  }
  return known;
}

export function isEverything(filter: Filter): boolean {
  return JSON.stringify(filter) === JSON.stringify(EVERYTHING);
}

/** For the address of the page, so that it can be kept and shared. */
export function toHash(filter: Filter, minutes: number): string {
  const parameters = new URLSearchParams();
  for (const key of ["namespace", "workload", "protocol", "status", "text"] as const)
    if (filter[key]) parameters.set(key, filter[key]);
  for (const outcome of filter.outcomes) parameters.append("verdict", outcome);
  if (minutes !== 5) parameters.set("minutes", String(minutes));
  return parameters.toString();
}

export function fromHash(hash: string): { filter: Filter; minutes: number } {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const text = (key: string) => parameters.get(key) ?? "";
  const verdicts = parameters.getAll("verdict");
  const minutes = Number(parameters.get("minutes"));
  return {
    filter: {
      namespace: text("namespace"),
      workload: text("workload"),
      outcomes: OUTCOMES.filter((outcome) => verdicts.includes(outcome)),
      protocol: text("protocol"),
      status: text("status"),
      text: text("text"),
    },
    minutes: [1, 5, 15].includes(minutes) ? minutes : 5,
  };
}
