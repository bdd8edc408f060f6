// The map's arrangement: worked out anew only where there are other workloads or arrows.

import { computed, signal } from "@preact/signals";
import { OUTCOMES, type Place } from "./model/flow";
import { type Arrow, type Graph, label } from "./model/graph";
import { type Label, place } from "./model/labels";
import { type Input, type Layout, layoutFor, layoutGroups, NODE } from "./model/layout";
import { type Line, line } from "./model/path";
import { picture } from "./state";
import { count } from "./words";

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

/** The map's place on the screen while no details are open, which must not move things. */
const room = signal(measure());

function measure(): { width: number; height: number } {
  const tall = Math.max(window.innerHeight - 110, 300);
  // In steps: a window that is drawn larger by a little has the same map.
  const step = (size: number) => Math.max(Math.round(size / 120), 1) * 120;
  return { width: step(window.innerWidth), height: step(tall - Math.max(tall * 0.34, 180)) };
}

window.addEventListener("resize", () => {
  const next = measure();
  const { width, height } = room.value;
  if (next.width !== width || next.height !== height) room.value = next;
});

let last: { key: string; made: Arrangement } | null = null;

export const arrangement = computed<Arrangement>(() => {
  const { graph } = picture.value;
  const { width, height } = room.value;
  const known = [...graph.workloads.keys(), "", ...graph.arrows.keys()].sort();
  const key = [width, height, ...known].join("\n");
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
  const made = few ? layoutFor(input, room.value) : layoutGroups(input);
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
  if (few) spread(graph, made, lines);
  return { layout: made, lines, few, took: performance.now() - began };
}

/** The box of an arrow's words. */
export function chipWidth(arrow: Arrow): number {
  const times = timesOf(arrow);
  return textWidth(words(arrow)) + (times ? textWidth(times) + 6 : 0) + 34;
}

export function timesOf(arrow: Arrow): string {
  return arrow.count > 1 ? `×${count(arrow.count)}` : "";
}

/** Moves the words of arrows off each other, and off workloads and names of boxes. */
function spread(graph: Graph, { nodes, groups }: Layout, lines: Map<string, Line>): void {
  const cards = [...nodes.values()].map(({ x, y }) => ({
    x: x - NODE.width / 2,
    y: y - NODE.height / 2 - 9,
    width: NODE.width,
    height: NODE.height + 9,
  }));
  const titles = groups.map(({ id, x, y }) => ({
    x: x + 20,
    y: y + 14,
    width: groupName(id).length * 8,
    height: 18,
  }));
  const labels = [...graph.arrows.values()].flatMap((arrow): Label[] => {
    const drawn = lines.get(arrow.id);
    // The words grow with the count: room for one digit more.
    return drawn ? [{ ...drawn, id: arrow.id, width: chipWidth(arrow) + 8, height: 20 }] : [];
  });
  labels.sort((a, b) => a.id.localeCompare(b.id));
  for (const [id, middle] of place(labels, [...cards, ...titles])) {
    const drawn = lines.get(id);
    if (drawn) lines.set(id, { ...drawn, middle });
  }
}
