import { describe, expect, it } from "vitest";
import {
  type Input,
  type Layout,
  layoutGroups,
  layoutWhole,
  NODE,
  type Spot,
} from "../src/model/layout";
import { line } from "../src/model/path";

function input(groups: number, each: number): Input {
  const nodes = [];
  const edges = [];
  for (let group = 0; group < groups; group += 1)
    for (let index = 0; index < each; index += 1) {
      nodes.push({ id: `${group}/${index}`, group: `${group}` });
      const to = `${(group + index) % groups}/${(index * 7 + 1) % each}`;
      edges.push({ from: `${group}/${index}`, to, width: 100, height: 26 });
    }
  return { nodes, edges };
}

/** No workload lies on another, and each lies in its own group alone. */
function isTidy({ nodes, groups }: Layout, { nodes: all }: Input): void {
  const wrong: string[] = [];
  all.forEach(({ id, group }, index) => {
    const at = nodes.get(id) as Spot;
    for (const box of groups) {
      const inside =
        at.x - NODE.width / 2 >= box.x &&
        at.x + NODE.width / 2 <= box.x + box.width &&
        at.y - NODE.height / 2 >= box.y &&
        at.y + NODE.height / 2 <= box.y + box.height;
      if (inside !== (box.id === group)) wrong.push(`${id} and group ${box.id}`);
    }
    for (const next of all.slice(index + 1)) {
      const there = nodes.get(next.id) as Spot;
      const apart =
        Math.abs(at.x - there.x) >= NODE.width || Math.abs(at.y - there.y) >= NODE.height;
      if (!apart) wrong.push(`${id} and ${next.id}`);
    }
  });
  expect(nodes.size).toBe(all.length);
  expect(wrong).toEqual([]);
}

describe("the layout", () => {
  it("of a small map is tidy, and arrows lead round", () => {
    const small = input(3, 4);
    const made = layoutWhole(small);
    isTidy(made, small);
    expect(made.ways.size).toBeGreaterThan(0);
    expect(made.width).toBeGreaterThan(0);
  });

  it("of 200 workloads is tidy, and of the shape of a screen", () => {
    const large = input(10, 20);
    const made = layoutGroups(large);
    isTidy(made, large);
    expect(made.width / made.height).toBeGreaterThan(1.2);
    expect(made.width / made.height).toBeLessThan(4);
  });

  it("is the same for the same map", () => {
    expect(layoutWhole(input(2, 5))).toEqual(layoutWhole(input(2, 5)));
    expect(layoutGroups(input(9, 9))).toEqual(layoutGroups(input(9, 9)));
  });

  it("of nothing is nothing", () => {
    const nothing = { nodes: [], edges: [] };
    expect(layoutWhole(nothing)).toMatchObject({ width: 0, height: 0 });
    expect(layoutGroups(nothing)).toMatchObject({ width: 0, height: 0 });
  });
});

describe("lines", () => {
  const [from, to] = [
    { x: 0, y: 0 },
    { x: 600, y: 100 },
  ];

  it("of one pair lie beside each other", () => {
    const lines = [0, 1, 2].map((index) => line(from, to, undefined, index, 3));
    const heights = lines.map(({ middle }) => middle.y);
    expect(heights[1]).toBeCloseTo(50);
    expect((heights[1] ?? 0) - (heights[0] ?? 0)).toBeGreaterThan(20);
    expect(new Set(lines.map(({ path }) => path)).size).toBe(3);
  });

  it("begin and end at the sides of their boxes", () => {
    for (const way of [undefined, [from, { x: 300, y: 20 }, to]]) {
      const { path } = line(from, to, way, 0, 1);
      expect(path.startsWith(`M${NODE.width / 2},0`)).toBe(true);
      expect(path.endsWith(`${600 - NODE.width / 2},100`)).toBe(true);
    }
  });

  it("to oneself go out and come back", () => {
    const { path, middle } = line(from, from, undefined, 0, 1);
    expect(path).toMatch(/^M.*C/);
    expect(middle.y).toBeLessThan(-NODE.height / 2);
  });
});
