// HTTP requests by what was asked: how many, how they were answered, how long it took.

import { type Flow, OUTCOMES, type Outcome, type Place } from "./flow";
import { entry } from "./maps";
import { Tally } from "./tally";

/** Requests of one method and path to one workload. */
export interface Requests {
  id: string;
  to: Place;
  method: string;
  path: string;
  count: number;
  outcomes: Record<Outcome, number>;
  /** Answers by status, the most frequent first. */
  statuses: [number, number][];
  /** In ms, of answers to requests that were let through; NaN where there are none. */
  p50: number;
  p95: number;
}

/** Gathers the requests of one kind. */
export class RequestTally {
  private asked = new Tally();
  private answered = new Tally();
  private statuses = new Map<number, number>();
  private directions = new Map<string, number>();
  private latencies: number[] = [];

  add(flow: Flow): void {
    if (flow.kind === "request") {
      this.asked.add(flow);
      return;
    }
    this.answered.add(flow);
    const status = flow.http?.status ?? 0;
    // Judged at both ends, it is told of twice.
    const key = `${flow.direction}${status}`;
    const count = (this.directions.get(key) ?? 0) + 1;
    this.directions.set(key, count);
    if (status) this.statuses.set(status, Math.max(this.statuses.get(status) ?? 0, count));
    if (flow.outcome !== "denied") this.latencies.push(flow.latency);
  }

  /** By the requests, or by the answers where a filter shows only these. */
  outcomes(): Record<Outcome, number> {
    const asked = this.asked.totals();
    const answered = this.answered.totals();
    const total = (of: Record<Outcome, number>) => OUTCOMES.reduce((n, key) => n + of[key], 0);
    const { allowed, denied, audited, error } = total(asked) >= total(answered) ? asked : answered;
    return { allowed, denied, audited, error };
  }

  byStatus(): [number, number][] {
    return [...this.statuses].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }

  times(): number[] {
    return this.latencies;
  }
}

/** The smallest value that so many parts of 1 are not above; NaN of nothing. Sorts what it gets. */
export function percentile(values: number[], part: number): number {
  values.sort((a, b) => a - b);
  const index = Math.max(0, Math.ceil(values.length * part) - 1);
  return values[index] ?? Number.NaN;
}

/** The most frequent first. */
export function requests(flows: Iterable<Flow>): Requests[] {
  const found = new Map<string, { first: Flow; tally: RequestTally }>();
  for (const flow of flows) {
    if (!flow.http) continue;
    const id = `${flow.to.place.id} ${flow.subject}`;
    const one = entry(found, id, () => ({ first: flow, tally: new RequestTally() }));
    one.tally.add(flow);
  }
  const rows = [...found].map(([id, { first, tally }]) => {
    const outcomes = tally.outcomes();
    return {
      id,
      to: first.to.place,
      method: first.http?.method ?? "",
      path: first.http?.path ?? "",
      count: OUTCOMES.reduce((n, key) => n + outcomes[key], 0),
      outcomes,
      statuses: tally.byStatus(),
      p50: percentile(tally.times(), 0.5),
      p95: percentile(tally.times(), 0.95),
    };
  });
  return rows.sort((a, b) => b.count - a.count || a.id.localeCompare(b.id));
}
