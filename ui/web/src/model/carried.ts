// What flows carried: packets and bytes, told when a flow ends, by each end that counted it.

import type { RawWhy } from "./raw";

export interface Counted {
  packets: number;
  bytes: number;
}

/** By the side that opened the flow, and by the other. */
export interface Carried {
  sent: Counted;
  received: Counted;
}

export function carriedOf({ sent, received }: NonNullable<RawWhy["ended"]>): Carried {
  const of = (counted: typeof sent) => ({
    packets: Number(counted?.packets ?? 0),
    bytes: Number(counted?.bytes ?? 0),
  });
  return { sent: of(sent), received: of(received) };
}

const none = (): Carried => ({
  sent: { packets: 0, bytes: 0 },
  received: { packets: 0, bytes: 0 },
});

export const bytesOf = ({ sent, received }: Carried): number => sent.bytes + received.bytes;

/** The sum of many; a flow that both ends counted counts once. */
export class CarriedTally {
  private sides = new Map<string, Carried>();

  add(direction: string, { sent, received }: Carried): void {
    const side = this.sides.get(direction) ?? none();
    for (const [sum, one] of [
      [side.sent, sent],
      [side.received, received],
    ] as const) {
      sum.packets += one.packets;
      sum.bytes += one.bytes;
    }
    this.sides.set(direction, side);
  }

  /** What the side counted that saw more; null where no flow has ended. */
  total(): Carried | null {
    const sides = [...this.sides.values()].sort((a, b) => bytesOf(b) - bytesOf(a));
    return sides[0] ?? null;
  }
}
