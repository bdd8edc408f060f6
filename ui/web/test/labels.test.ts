import { describe, expect, it } from "vitest";
import { overlap, place } from "../src/model/labels";

const size = { width: 100, height: 20 };
const area = ({ x, y }: { x: number; y: number }) => ({
  x: x - size.width / 2,
  y: y - size.height / 2,
  ...size,
});

describe("the words of arrows", () => {
  it("stay in the middle where there is room", () => {
    const middle = { x: 200, y: 100 };
    expect(place([{ id: "a", ...size, middle, points: [] }], []).get("a")).toEqual(middle);
  });

  it("lie over no other and over no workload", () => {
    const card = { x: 150, y: 60, width: 188, height: 54 };
    const labels = Array.from({ length: 6 }, (_, index) => ({
      id: String(index),
      ...size,
      middle: { x: 200, y: 100 + index },
      points: [120, 280, 360].map((x) => ({ x, y: 100 })),
    }));
    const spots = [...place(labels, [card]).values()].map(area);
    expect(spots.length).toBe(6);
    for (const [index, one] of spots.entries()) {
      expect(overlap(one, card)).toBe(0);
      for (const other of spots.slice(index + 1)) expect(overlap(one, other)).toBe(0);
    }
  });
});
