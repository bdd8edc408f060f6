// How many of what. One connection between two pods may be judged twice, at the way out of the one
// and at the way into the other; it is one connection all the same.

import type { Flow, Outcome } from "./flow";

type Counted = Outcome | "redirected";
type Side = Record<Counted, number>;

const none = (): Side => ({ allowed: 0, denied: 0, audited: 0, error: 0, redirected: 0 });
const sum = (side: Side): number =>
  side.allowed + side.denied + side.audited + side.error + side.redirected;

export type Totals = Record<Counted, number>;

export class Tally {
  private ingress = none();
  private egress = none();

  add(flow: Flow): void {
    const side = flow.direction === "ingress" ? this.ingress : this.egress;
    const counted = flow.redirected && flow.outcome === "allowed" ? "redirected" : flow.outcome;
    side[counted] += 1;
  }

  /** Each connection once: what passed the way out is judged again at the way in. */
  totals(): Totals {
    const { ingress, egress } = this;
    if (sum(ingress) === 0) return { ...egress };
    const before = egress.redirected + egress.audited;
    return {
      allowed: Math.max(0, ingress.allowed - before),
      denied: ingress.denied + egress.denied,
      audited: ingress.audited + egress.audited,
      error: Math.max(ingress.error, egress.error),
      redirected: Math.max(ingress.redirected, egress.redirected),
    };
  }
}
