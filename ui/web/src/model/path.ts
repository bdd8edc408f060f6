// The lines of arrows.

import { curveMonotoneX, line as shape } from "d3-shape";
import { NODE, type Spot } from "./layout";

export interface Line {
  /** As an SVG path. */
  path: string;
  /** Where its words go. */
  middle: Spot;
  /** Where else on it they may go: points along it, from one end to the other. */
  points: Spot[];
}

/** Between the ends of arrows that join the same two, and between their middles. */
const SPREAD = { end: 11, middle: 27 };
const STUB = 14;
/** Parts of a line where its words may go. */
const PARTS = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

/**
 * The line of one of `count` arrows from one box to another; `way` leads round the boxes between.
 * Arrows of a pair lie side by side.
 */
export function line(
  from: Spot,
  to: Spot,
  way: Spot[] | undefined,
  index: number,
  count: number,
): Line {
  const shift = index - (count - 1) / 2;
  if (from.x === to.x && from.y === to.y) return loop(from, index);
  if (way && way.length > 2) return along(from, to, way, shift);
  return across(from, to, shift);
}

/** To itself: over the upper right corner. */
function loop(at: Spot, index: number): Line {
  const [x, y] = [at.x + NODE.width / 2, at.y - NODE.height / 2];
  const r = 26 + index * 16;
  const path = `M${x - 34},${y} C${x - 34},${y - r} ${x + r},${y - r} ${x + r},${y + 10} S${x + 20},${y + 22} ${x},${y + 20}`;
  const middle = { x: x + 4, y: y - r * 0.72 };
  return { path, middle, points: [middle] };
}

/** Through the points of the layout; it leaves and arrives in the middle of a side. */
function along(from: Spot, to: Spot, way: Spot[], shift: number): Line {
  const side = (Math.sign(to.x - from.x) || 1) * (NODE.width / 2);
  const start = { x: from.x + side, y: from.y + shift * SPREAD.end };
  const end = { x: to.x - side, y: to.y + shift * SPREAD.end };
  // Level for a little way, so that it meets the boxes straight.
  const stub = Math.sign(side) * Math.min(STUB, Math.abs(end.x - start.x) / 3);
  const within = ({ x }: Spot) =>
    (x - start.x) * side > stub * side * 2 && (end.x - x) * side > stub * side * 2;
  const points = [
    start,
    { x: start.x + stub, y: start.y },
    ...way
      .slice(1, -1)
      .map(({ x, y }) => ({ x, y: y + shift * SPREAD.middle }))
      .filter(within),
    { x: end.x - stub, y: end.y },
    end,
  ];
  const path = smooth(points) ?? "";
  return { path, middle: at(points, 0.5), points: PARTS.map((part) => at(points, part)) };
}

const smooth = shape<Spot>()
  .x(({ x }) => x)
  .y(({ y }) => y)
  .curve(curveMonotoneX)
  .digits(1);

/** From side to side, whichever face each other. */
function across(from: Spot, to: Spot, shift: number): Line {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const end = shift * SPREAD.end;
  const spread = shift * SPREAD.middle * 1.3;
  let [a, b, c, d]: Spot[] = [];
  if (Math.abs(dx) >= NODE.width) {
    const side = Math.sign(dx) * (NODE.width / 2);
    const pull = Math.max(46, Math.abs(dx - 2 * side) * 0.42) * Math.sign(dx);
    a = { x: from.x + side, y: from.y + end };
    d = { x: to.x - side, y: to.y + end };
    b = { x: a.x + pull, y: a.y + spread };
    c = { x: d.x - pull, y: d.y + spread };
  } else {
    const side = Math.sign(dy) * (NODE.height / 2);
    const pull = Math.max(30, Math.abs(dy - 2 * side) * 0.42) * Math.sign(dy);
    a = { x: from.x + end * 2, y: from.y + side };
    d = { x: to.x + end * 2, y: to.y - side };
    b = { x: a.x + spread * 2, y: a.y + pull };
    c = { x: d.x + spread * 2, y: d.y - pull };
  }
  const path = `M${point(a)} C${point(b)} ${point(c)} ${point(d)}`;
  const on = (t: number): Spot => {
    const [u, v, w, z] = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3];
    const mix = (p: number, q: number, r: number, s: number) => u * p + v * q + w * r + z * s;
    return { x: mix(a.x, b.x, c.x, d.x), y: mix(a.y, b.y, c.y, d.y) };
  };
  return { path, middle: on(0.5), points: PARTS.map(on) };
}

const point = ({ x, y }: Spot) => `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`;

/** The point of a way that so large a part of it leads to. */
function at(points: Spot[], whole: number): Spot {
  const length = (a: Spot, b: Spot) => Math.hypot(b.x - a.x, b.y - a.y);
  const steps = points.slice(1).map((to, index) => ({ from: points[index] as Spot, to }));
  let left = steps.reduce((sum, { from, to }) => sum + length(from, to), 0) * whole;
  for (const { from, to } of steps) {
    const long = length(from, to);
    if (long >= left) {
      const part = long === 0 ? 0 : left / long;
      return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
    }
    left -= long;
  }
  return points[0] as Spot;
}
