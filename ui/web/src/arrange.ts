// The map's arrangement: worked out anew only where there are other workloads or arrows.

import { computed } from "@preact/signals";
import { OUTCOMES, type Place } from "./model/flow";
import { type Arrow, type Graph, label } from "./model/graph";
import { type Input, type Layout, layoutGroups, layoutWhole } from "./model/layout";
import { type Line, line } from "./model/path";
import { picture } from "./state";

/** Up to so many arrows each has its words on it; the layout leaves room for them. */
export const FEW = 48;
const CHARACTERS = 30;

export interface Arrangement {
  layout: Layout;
  lines: ReadonlyMap<string, Line>;
  few: boolean;
  /** ms that the layout took. */
  took: number;
}

/** The box that a place is in: its namespace, or one for what is in none. */
export function groupOf(place: Place): string {
  if (place.kind === "workload") return `ns:${place.namespace}`;
  return place.kind === "node" ? "nodes" : "world";
}

export function groupName(id: string): string {
  if (id.startsWith("ns:")) return id.slice(3);
  return id === "nodes" ? "Nodes" : "Outside the cluster";
}

/** What is written on an arrow. */
export function words(arrow: Arrow): string {
  const text = label(arrow);
  return text.length > CHARACTERS ? `${text.slice(0, CHARACTERS - 1)}…` : text;
}

const canvas = document.createElement("canvas").getContext("2d");
const widths = new Map<string, number>();

/** Of a text on an arrow, in px. */
export function textWidth(text: string): number {
  let known = widths.get(text);
  if (known === undefined) {
    if (canvas) canvas.font = "500 11.5px 'Inter Variable', sans-serif";
    known = canvas?.measureText(text).width ?? text.length * 6.2;
    if (widths.size > 5000) widths.clear();
    widths.set(text, known);
  }
  return known;
}

let last: { key: string; made: Arrangement } | null = null;

export const arrangement = computed<Arrangement>(() => {
  const { graph } = picture.value;
  const key = [...graph.workloads.keys(), "", ...graph.arrows.keys()].sort().join("\n");
  if (last?.key !== key) last = { key, made: arrange(graph) };
  return last.made;
});

function arrange(graph: Graph): Arrangement {
  const began = performance.now();
  const few = graph.arrows.size <= FEW;
  const pairs = new Map<string, Arrow[]>();
  // Sorted, so that the same things come to lie in the same places.
  for (const arrow of [...graph.arrows.values()].sort((a, b) => a.id.localeCompare(b.id))) {
    const id = `${arrow.from.id}→${arrow.to.id}`;
    pairs.set(id, [...(pairs.get(id) ?? []), arrow]);
  }
  const edges = [...pairs.values()].map((arrows) => {
    const [first] = arrows as [Arrow];
    const wide = Math.max(...arrows.map((arrow) => textWidth(words(arrow)))) + 64;
    const size = few ? { width: wide, height: arrows.length * 26 } : { width: 24, height: 8 };
    return { from: first.from.id, to: first.to.id, ...size };
  });
  const nodes = [...graph.workloads.values()]
    .map(({ place }) => ({ id: place.id, group: groupOf(place) }))
    .sort((a, b) => a.group.localeCompare(b.group) || a.id.localeCompare(b.id));
  const input: Input = { nodes, edges };
  const made = few ? layoutWhole(input) : layoutGroups(input);
  const lines = new Map<string, Line>();
  for (const [id, arrows] of pairs) {
    const [first] = arrows as [Arrow];
    const [from, to] = [made.nodes.get(first.from.id), made.nodes.get(first.to.id)];
    if (!from || !to) continue;
    // An arrow back lies beside the arrow there.
    const back = pairs.get(`${first.to.id}→${first.from.id}`) ?? [];
    const ways = made.ways.get(id);
    const opposite = first.from.id === first.to.id || ways ? 0 : back.length;
    arrows.sort((a, b) => OUTCOMES.indexOf(a.outcome) - OUTCOMES.indexOf(b.outcome));
    arrows.forEach((arrow, index) => {
      const before = opposite && first.from.id > first.to.id ? opposite : 0;
      const all = arrows.length + opposite;
      lines.set(arrow.id, line(from, to, ways, index + before, all));
    });
  }
  return { layout: made, lines, few, took: performance.now() - began };
}
