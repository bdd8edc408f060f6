// The flows that the page holds: each once, in order of time, no older than its window, and no more
// than it can draw.

import { type Flow, read } from "./flow";
import type { RawAnswer } from "./raw";

export class Store {
  private known = new Set<string>();
  private flows: Flow[] = [];
  private unsorted = false;
  /** Flows that were let go because there were too many. */
  dropped = 0;

  constructor(readonly most = 20_000) {}

  /** Takes a record; false where it is known already or says nothing. */
  add(raw: RawAnswer, text = ""): boolean {
    const flow = read(raw, text);
    if (!flow || this.known.has(flow.id)) return false;
    const last = this.flows.at(-1);
    if (last && last.time > flow.time) this.unsorted = true;
    this.known.add(flow.id);
    this.flows.push(flow);
    // Not at each one: what is let go is cut off the front of an array.
    if (this.flows.length > this.most * 1.1) this.forget(this.flows.length - this.most, true);
    return true;
  }

  /** Lets go of what is older. */
  prune(before: number): void {
    const flows = this.all();
    let old = 0;
    while (old < flows.length && (flows[old] as Flow).time < before) old += 1;
    if (old > 0) this.forget(old, false);
  }

  /** All of them; the array is another one after a change of its beginning. */
  all(): readonly Flow[] {
    if (this.unsorted) {
      this.flows.sort((a, b) => a.time - b.time);
      this.unsorted = false;
    }
    return this.flows;
  }

  private forget(count: number, counted: boolean): void {
    this.all();
    for (const flow of this.flows.slice(0, count)) this.known.delete(flow.id);
    this.flows = this.flows.slice(count);
    if (counted) this.dropped += count;
  }
}
