// Where the words of arrows go, so that none lies over another or over a workload.

import type { Box, Spot } from "./layout";

/** What is to be placed: its size, and the points of its line. */
export interface Label {
  id: string;
  width: number;
  height: number;
  middle: Spot;
  points: Spot[];
}

type Area = Omit<Box, "id">;

/** Steps beside a line, where no point of it has room. */
const BESIDE = [0, -24, 24, -48, 48, -72, 72];
const GAP = 3;

/**
 * The centres of the labels. Each takes the place nearest to the middle of its line where it covers
 * nothing; where there is none, the one where it covers least.
 */
export function place(labels: Label[], taken: Area[]): Map<string, Spot> {
  const areas = [...taken];
  const found = new Map<string, Spot>();
  for (const label of labels) {
    const far = ({ x, y }: Spot) => Math.hypot(x - label.middle.x, y - label.middle.y);
    const places = [label.middle, ...label.points]
      .flatMap(({ x, y }) => BESIDE.map((step) => ({ x, y: y + step })))
      .sort((a, b) => far(a) - far(b));
    let best: { spot: Spot; covered: number } | undefined;
    for (const spot of places) {
      const covered = areas.reduce((sum, one) => sum + overlap(around(spot, label), one), 0);
      if (!best || covered < best.covered) best = { spot, covered };
      if (covered === 0) break;
    }
    if (!best) continue;
    found.set(label.id, best.spot);
    areas.push(around(best.spot, label));
  }
  return found;
}

function around({ x, y }: Spot, { width, height }: Label): Area {
  return { x: x - width / 2, y: y - height / 2, width, height };
}

/** How much two areas share, with a gap around each. */
export function overlap(a: Area, b: Area): number {
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) + GAP;
  const tall = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) + GAP;
  return wide > 0 && tall > 0 ? wide * tall : 0;
}
