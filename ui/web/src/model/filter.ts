// What is looked at. Most of it the server filters; words, and what the verdicts of several records
// come to, only the page knows.

import { type Flow, OUTCOMES, type Outcome, type Place } from "./flow";

export interface Filter {
  namespace: string;
  /** [KIND/]NAME. */
  workload: string;
  /** Empty: all. */
  outcomes: readonly Outcome[];
  protocol: string;
  /** 403, 4+. */
  status: string;
  /** Words, all of which must be somewhere in the flow, and with a `-` before them nowhere. */
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

/** A time range of one's own, in place of the last minutes; ms since the epoch. */
export interface Range {
  from: number;
  to: number;
}

/** As parameters of GET /api/flows. */
export function query(
  filter: Filter,
  minutes: number,
  recorded: boolean,
  range: Range | null = null,
): string {
  const parameters = new URLSearchParams();
  if (recorded) parameters.set("last", "0");
  // What comes after it the page leaves out.
  else if (range) parameters.set("since", new Date(range.from).toISOString());
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
  const words = filter.text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "" && word !== "-");
  const outcomes = new Set(filter.outcomes.length ? filter.outcomes : OUTCOMES);
  if (!words.length && outcomes.size === OUTCOMES.length) return () => true;
  const has = (flow: Flow, word: string): boolean => {
    if (word.startsWith("-")) return !has(flow, word.slice(1));
    if (!word.startsWith(AT)) return text(flow).includes(word);
    return [flow.from, flow.to].some(({ place }) => named(place) === word.slice(AT.length));
  };
  return (flow) => outcomes.has(flow.outcome) && words.every((word) => has(flow, word));
}

/** Before a word that is the whole name of an end: at:default/sleep. */
const AT = "at:";

const named = ({ namespace, name }: Place) =>
  (namespace ? `${namespace}/${name}` : name).toLowerCase();

/** The same without a place. */
export function without(filter: Filter, place: Place): Filter {
  return { ...filter, text: `${filter.text} -${AT}${named(place)}`.trim() };
}

const texts = new WeakMap<Flow, string>();

/** Everything in a flow that somebody may look for. */
function text(flow: Flow): string {
  let known = texts.get(flow);
  if (known === undefined) {
    const ends = [flow.from, flow.to].flatMap(({ place, pod, labels, address, port }) => [
      named(place),
      ...labels,
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

/** An arrow as an address names it: of an end its id, or NAMESPACE/NAME; without an outcome the worst. */
export interface Wanted {
  from: string;
  to: string;
  outcome: Outcome | "";
}

/** What the address of the page keeps, so that it can be shared. */
export interface Kept {
  filter: Filter;
  minutes: number;
  range: Range | null;
  arrow: Wanted | null;
}

export function toHash({ filter, minutes, range, arrow }: Kept): string {
  const parameters = new URLSearchParams();
  if (arrow) {
    parameters.set("from", arrow.from);
    parameters.set("to", arrow.to);
    if (arrow.outcome) parameters.set("arrow", arrow.outcome);
  }
  for (const key of ["namespace", "workload", "protocol", "status", "text"] as const)
    if (filter[key]) parameters.set(key, filter[key]);
  for (const outcome of filter.outcomes) parameters.append("verdict", outcome);
  if (minutes !== 5) parameters.set("minutes", String(minutes));
  if (range) {
    parameters.set("since", new Date(range.from).toISOString());
    parameters.set("until", new Date(range.to).toISOString());
  }
  return parameters.toString();
}

export function fromHash(hash: string): Kept {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const text = (key: string) => parameters.get(key) ?? "";
  const verdicts = parameters.getAll("verdict");
  const minutes = Number(parameters.get("minutes"));
  const [from, to] = [text("from"), text("to")];
  const outcome = OUTCOMES.find((one) => one === text("arrow")) ?? "";
  const range = rangeOf(text("since"), text("until"));
  return {
    range,
    arrow: from && to ? { from, to, outcome } : null,
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

/** From these two times; null where they are none. */
export function rangeOf(since: string, until: string): Range | null {
  const [from, to] = [Date.parse(since), Date.parse(until)];
  return from < to ? { from, to } : null;
}
