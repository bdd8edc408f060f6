// Where things are on the map: workloads within their namespace, namespaces beside each other.
//
// A small map is laid out as a whole, so that arrows lead round the workloads between their ends. A
// large one in two steps, the namespaces and then what is in each: hundreds of workloads take
// milliseconds, and a change within a namespace leaves the others as they are.

import { layout as arrange, Graph as Dagre } from "@dagrejs/dagre";

export const NODE = { width: 188, height: 54 };
/** Around the workloads of a namespace; above there is its name. */
const MARGIN = { side: 20, top: 40, bottom: 16 };
/** Between the columns and rows of workloads in a group of a large map, and between groups. */
const GAP = { x: 34, y: 20 };
const BETWEEN = 44;
/** Width of the map's place on the screen by its height. */
const SCREEN = 3;

export interface Spot {
  x: number;
  y: number;
}

export interface Box extends Spot {
  id: string;
  width: number;
  height: number;
}

export interface Input {
  nodes: { id: string; group: string }[];
  /** Each pair once. The size is that of what is written on it. */
  edges: { from: string; to: string; width: number; height: number }[];
}

export interface Layout {
  /** Centres. */
  nodes: Map<string, Spot>;
  /** Upper left corners. */
  groups: Box[];
  /** By `from→to`: the way round the others, where one is known. */
  ways: Map<string, Spot[]>;
  width: number;
  height: number;
}

/** Workloads by the group that they are in. */
function grouped(nodes: Input["nodes"]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { id, group } of nodes) groups.set(group, [...(groups.get(group) ?? []), id]);
  return groups;
}

/** A small map, laid out so that it is drawn largest in this room. */
export function layoutFor(input: Input, room: { width: number; height: number }): Layout {
  const scale = ({ width, height }: Layout) => Math.min(room.width / width, room.height / height);
  // People read from left to right: another way has to be worth it.
  const [right, down] = [layoutWhole(input, "LR"), layoutWhole(input, "TB")];
  return scale(down) > scale(right) * 1.3 ? down : right;
}

/** All of it at once, those who ask left of, or above, those who are asked. */
export function layoutWhole(input: Input, rankdir: "LR" | "TB" = "LR"): Layout {
  const groups = grouped(input.nodes);
  const dagre = new Dagre({ compound: true });
  dagre.setGraph({
    rankdir,
    nodesep: 32,
    ranksep: 30,
    edgesep: 14,
    acyclicer: "greedy",
  });
  for (const group of groups.keys()) dagre.setNode(`group ${group}`, {});
  for (const { id, group } of input.nodes) {
    dagre.setNode(id, { ...NODE });
    dagre.setParent(id, `group ${group}`);
  }
  for (const { from, to, width, height } of input.edges)
    if (from !== to) dagre.setEdge(from, to, { width, height, labelpos: "c" });
  arrange(dagre);
  const result: Layout = { nodes: new Map(), groups: [], ways: new Map(), width: 0, height: 0 };
  for (const [group, ids] of groups) {
    const spots = ids.map((id) => dagre.node(id) as Spot);
    for (const [index, id] of ids.entries()) {
      const { x, y } = spots[index] as Spot;
      result.nodes.set(id, { x, y });
    }
    const left = Math.min(...spots.map(({ x }) => x)) - NODE.width / 2 - MARGIN.side;
    const right = Math.max(...spots.map(({ x }) => x)) + NODE.width / 2 + MARGIN.side;
    const top = Math.min(...spots.map(({ y }) => y)) - NODE.height / 2 - MARGIN.top;
    const bottom = Math.max(...spots.map(({ y }) => y)) + NODE.height / 2 + MARGIN.bottom;
    result.groups.push({ id: group, x: left, y: top, width: right - left, height: bottom - top });
  }
  // Lines leave at the sides of workloads: ways from above to below are not theirs.
  for (const edge of rankdir === "LR" ? dagre.edges() : [])
    result.ways.set(`${edge.v}→${edge.w}`, (dagre.edge(edge) as { points: Spot[] }).points);
  return atOrigin(result);
}

/** Moved so that nothing is left of 0 or above it. */
function atOrigin(found: Layout): Layout {
  const left = Math.min(0, ...found.groups.map(({ x }) => x));
  const top = Math.min(0, ...found.groups.map(({ y }) => y));
  const move = (spot: Spot) => {
    spot.x -= left;
    spot.y -= top;
  };
  for (const spot of found.nodes.values()) move(spot);
  for (const way of found.ways.values()) way.forEach(move);
  for (const group of found.groups) {
    move(group);
    found.width = Math.max(found.width, group.x + group.width);
    found.height = Math.max(found.height, group.y + group.height);
  }
  return found;
}

/** Group by group, each in rows and columns; those who ask stand left of those who are asked. */
export function layoutGroups(input: Input): Layout {
  const order = askers(input.edges);
  const groups = [...grouped(input.nodes)].map(([id, ids]) => ({
    id,
    ids: ids.toSorted((a, b) => order(b) - order(a)),
  }));
  const weight = (ids: string[]) => ids.reduce((sum, id) => sum + order(id), 0) / ids.length;
  groups.sort((a, b) => weight(b.ids) - weight(a.ids));
  const { rows, wide } = shape(groups.map(({ ids }) => ids.length));

  const result: Layout = { nodes: new Map(), groups: [], ways: new Map(), width: 0, height: 0 };
  let [x, y, tall] = [0, 0, 0];
  for (const { id, ids } of groups) {
    const size = box(ids.length, rows);
    if (x > 0 && x + size.width > wide) [x, y, tall] = [0, y + tall + BETWEEN, 0];
    ids.forEach((one, index) => {
      const [column, row] = [Math.floor(index / rows), index % rows];
      result.nodes.set(one, {
        x: x + MARGIN.side + column * (NODE.width + GAP.x) + NODE.width / 2,
        y: y + MARGIN.top + row * (NODE.height + GAP.y) + NODE.height / 2,
      });
    });
    result.groups.push({ id, x, y, ...size });
    x += size.width + BETWEEN;
    tall = Math.max(tall, size.height);
  }
  return atOrigin(result);
}

/** From 1, who only asks, to -1, who is only asked. */
function askers(edges: Input["edges"]): (id: string) => number {
  const counts = new Map<string, { out: number; in: number }>();
  const count = (id: string) => {
    const one = counts.get(id) ?? { out: 0, in: 0 };
    counts.set(id, one);
    return one;
  };
  for (const { from, to } of edges) {
    count(from).out += 1;
    count(to).in += 1;
  }
  return (id) => {
    const one = counts.get(id);
    return one ? (one.out - one.in) / (one.out + one.in) : 0;
  };
}

function box(number: number, rows: number): { width: number; height: number } {
  const [columns, filled] = [Math.ceil(number / rows), Math.min(number, rows)];
  return {
    width: columns * (NODE.width + GAP.x) - GAP.x + 2 * MARGIN.side,
    height: filled * (NODE.height + GAP.y) - GAP.y + MARGIN.top + MARGIN.bottom,
  };
}

/** How many rows a group has, and how wide a line of groups gets, so that all of it is drawn largest. */
function shape(numbers: number[]): { rows: number; wide: number } {
  let best = { rows: 1, wide: 0, scale: 0 };
  for (let rows = 2; rows <= 16; rows += 1) {
    const sizes = numbers.map((number) => box(number, rows));
    const line = sizes.reduce((sum, { width }) => sum + width + BETWEEN, 0);
    const widest = Math.max(...sizes.map(({ width }) => width));
    // Groups do not fill lines evenly: some wider lines are tried, too.
    for (let part = 1; part <= 6; part += 0.25) {
      const wide = Math.max(line / part, widest);
      let [x, y, tall, right] = [0, 0, 0, 0];
      for (const { width, height } of sizes) {
        if (x > 0 && x + width > wide) [x, y, tall] = [0, y + tall + BETWEEN, 0];
        x += width + BETWEEN;
        right = Math.max(right, x);
        tall = Math.max(tall, height);
      }
      const scale = Math.min(SCREEN / right, 1 / (y + tall));
      if (scale > best.scale) best = { rows, wide, scale };
    }
  }
  return best;
}
