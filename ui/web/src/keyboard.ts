// The keys of the page.

import { arrangement } from "./arrange";
import { isEverything } from "./model/filter";
import { clear, drawer, filter, hello, help, minutes, pause, range, selection, tab } from "./state";
import { toggleTheme } from "./theme";
import { nextDenied } from "./view/FilterBar";

const tell = (name: string) => document.dispatchEvent(new Event(name));

function open(name: "flows" | "http" | "pending"): void {
  tab.value = name;
  drawer.value = true;
}

function last(number: number): void {
  range.value = null;
  minutes.value = number;
}

const KEYS: Record<string, () => void> = {
  "/": () => document.getElementById("find")?.focus(),
  "?": () => (help.value = !help.value),
  d: nextDenied,
  f: () => open("flows"),
  h: () => open("http"),
  w: () => open("pending"),
  p: () => hello.value?.recorded || pause(),
  t: toggleTheme,
  "1": () => last(1),
  "5": () => last(5),
  "9": () => last(15),
  "+": () => tell("map:in"),
  "=": () => tell("map:in"),
  "-": () => tell("map:out"),
  "0": () => tell("map:fit"),
  ArrowLeft: () => step(-1, 0),
  ArrowRight: () => step(1, 0),
  ArrowUp: () => step(0, -1),
  ArrowDown: () => step(0, 1),
};

/** Chooses the workload that lies next in a direction. */
export function step(dx: number, dy: number): void {
  const { nodes } = arrangement.value.layout;
  const chosen = selection.value;
  const at = chosen?.kind === "place" ? nodes.get(chosen.id) : undefined;
  let best: { id: string; far: number } | undefined;
  for (const [id, { x, y }] of nodes) {
    // Without a choice, the first in reading order.
    let far = x + y * 4;
    if (at) {
      const [along, beside] = dx ? [(x - at.x) * dx, y - at.y] : [(y - at.y) * dy, x - at.x];
      if (along <= 1) continue;
      far = along + Math.abs(beside) * 2.5;
    }
    if (!best || far < best.far) best = { id, far };
  }
  if (best) selection.value = { kind: "place", id: best.id };
}

function back(typing: HTMLElement | null): void {
  if (help.value) help.value = false;
  else if (typing) typing.blur();
  else if (selection.value) selection.value = null;
  else if (!isEverything(filter.value)) clear();
}

export function listen(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) ? target : null;
    if (event.key === "Escape") {
      back(typing);
      return;
    }
    if (typing || help.value) {
      if (help.value && event.key === "?") help.value = false;
      return;
    }
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
