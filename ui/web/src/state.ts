// What the page knows and what the user has chosen, as signals, and what changes them.

import { batch, computed, effect, signal } from "@preact/signals";
import {
  EVERYTHING,
  type Filter,
  fromHash,
  passes,
  query,
  type Range,
  toHash,
  type Wanted,
} from "./model/filter";
import type { Flow } from "./model/flow";
import { find, type Graph, graph } from "./model/graph";
import type { Hello, Status } from "./model/raw";
import { Store } from "./model/store";
import { follow } from "./stream";

export type Selection =
  | { kind: "place"; id: string }
  | { kind: "arrow"; id: string }
  | { kind: "flow"; flow: Flow }
  | null;

export interface Picture {
  /** In the window and past the filter, the oldest first. */
  flows: readonly Flow[];
  graph: Graph;
  /** ms since the epoch. */
  from: number;
  to: number;
  /** Flows that came since the pause. */
  waiting: number;
}

const kept = fromHash(location.hash);

export const filter = signal<Filter>(kept.filter);
export const minutes = signal(kept.minutes);
/** In place of the last minutes. */
export const range = signal<Range | null>(kept.range);
export const selection = signal<Selection>(null);
/** An arrow that the address names and that is not seen yet. */
const wanted = signal<Wanted | null>(kept.arrow);
export const tab = signal<"flows" | "http" | "pending">("flows");
export const drawer = signal(true);
export const help = signal(false);
const small = window.matchMedia("(max-width: 720px)");
/** The screen of a telephone. */
export const narrow = signal(small.matches);
small.addEventListener("change", () => (narrow.value = small.matches));
/** When it was paused, by the source's clock; 0: it goes on. */
export const paused = signal(0);

export const hello = signal<Hello | null>(null);
export const status = signal<Status | null>(null);
export const broken = signal("");
export const ended = signal(false);
export const loading = signal(true);
export const lost = signal(0);
export const crowded = signal(0);
export const away = signal<ReadonlyMap<string, string>>(new Map());
export const picture = signal<Picture>({
  flows: [],
  graph: graph([]),
  from: 0,
  to: 0,
  waiting: 0,
});
/** ms that the last picture took to work out. */
export const took = signal(0);

export type Mood = "connecting" | "live" | "paused" | "away" | "part" | "record";

export const mood = computed<Mood>(() => {
  if (broken.value) return "away";
  if (!hello.value) return "connecting";
  const nodes = status.value?.nodes.length ?? 1;
  if (away.value.size > 0) return away.value.size >= nodes ? "away" : "part";
  if (paused.value) return "paused";
  return hello.value.recorded ? "record" : "live";
});

export function change(part: Partial<Filter>): void {
  filter.value = { ...filter.value, ...part };
}

export function clear(): void {
  filter.value = EVERYTHING;
}

export function toggle(outcome: Filter["outcomes"][number]): void {
  const { outcomes } = filter.value;
  const without = outcomes.filter((one) => one !== outcome);
  change({ outcomes: without.length < outcomes.length ? without : [...outcomes, outcome] });
}

export function pause(): void {
  paused.value = paused.value ? 0 : now();
  dirty = true;
  draw();
}

// === what comes ===

let store = new Store();
let dirty = false;
/** The source's clock is so many ms before this one's. */
let skew = 0;

function now(): number {
  return hello.value?.recorded ? (store.all().at(-1)?.time ?? 0) : Date.now() - skew;
}

/** The longest that the old picture stays after a change, and the quiet that ends the wait, in ms. */
const WAIT = { most: 1500, quiet: 120, record: 8000 };

function connect(search: string): () => void {
  const next = new Store();
  const began = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shown = false;
  loading.value = true;

  const show = () => {
    if (shown) return;
    shown = true;
    clearTimeout(timer);
    store = next;
    loading.value = false;
    dirty = true;
    draw();
  };
  const soon = () => {
    if (shown) return;
    clearTimeout(timer);
    // A record comes as fast as it can, and says where it ends.
    const [most, quiet] = hello.value?.recorded
      ? [WAIT.record, WAIT.record]
      : [WAIT.most, WAIT.quiet];
    const left = most - (performance.now() - began);
    timer = setTimeout(show, Math.max(0, Math.min(quiet, left)));
  };
  const stop = follow(search, {
    hello(said) {
      skew = Date.now() - said.time_ms;
      batch(() => {
        hello.value = said;
        broken.value = "";
        ended.value = false;
        away.value = new Map();
      });
      soon();
    },
    flow(answer, text) {
      if (next.add(answer, text)) dirty = true;
      soon();
    },
    lost(count) {
      lost.value += count;
    },
    node(names, gone, message) {
      const map = new Map(away.value);
      for (const name of names) gone ? map.set(name, message) : map.delete(name);
      away.value = map;
      void refresh();
    },
    broken(message) {
      broken.value = message;
      soon();
    },
    ended() {
      ended.value = true;
      show();
    },
  });
  return () => {
    clearTimeout(timer);
    stop();
  };
}

function draw(): void {
  if (!dirty) return;
  dirty = false;
  const began = performance.now();
  const own = range.value;
  const to = own?.to ?? (paused.value || now());
  const from = own?.from ?? to - minutes.value * 60_000;
  if (!paused.value && !hello.value?.recorded) store.prune(from);
  const pass = passes(filter.value);
  const ends = own !== null || paused.value > 0;
  const all = store.all();
  const flows = all.filter((flow) => flow.time >= from && (!ends || flow.time <= to) && pass(flow));
  const waiting = paused.value && !own ? all.filter((flow) => flow.time > to).length : 0;
  batch(() => {
    picture.value = { flows, graph: graph(flows), from, to, waiting };
    look();
    crowded.value = store.dropped;
    took.value = performance.now() - began;
  });
}

/** Chooses the arrow of the address once it is there, unless something else was chosen. */
function look(): void {
  if (selection.value) wanted.value = null;
  if (!wanted.value) return;
  const arrow = find(picture.value.graph.arrows.values(), wanted.value);
  if (!arrow) return;
  selection.value = { kind: "arrow", id: arrow.id };
  wanted.value = null;
}

/** What of the choice the address keeps. */
function named(): Wanted | null {
  const chosen = selection.value;
  if (chosen?.kind !== "arrow") return chosen ? null : wanted.value;
  const [pair = "", outcome = ""] = chosen.id.split("#");
  const [from = "", to = ""] = pair.split("→");
  return { from, to, outcome: outcome as Wanted["outcome"] };
}

// === what is done again and again ===

const DRAW = 400;
const STATUS = 5000;

async function refresh(): Promise<void> {
  try {
    const answer = await fetch("/api/status");
    if (answer.ok) status.value = (await answer.json()) as Status;
  } catch {
    // The stream tells of it.
  }
}

/** Begins, once. */
export function start(): void {
  let stop = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  // What the page filters by itself needs no other stream.
  const asked = computed(() =>
    query(filter.value, minutes.value, hello.value?.recorded ?? false, range.value),
  );
  let first = true;
  effect(() => {
    const search = asked.value;
    clearTimeout(timer);
    const go = () => {
      stop();
      stop = connect(search);
    };
    if (first) go();
    else timer = setTimeout(go, 150);
    first = false;
  });
  effect(() => {
    const hash = toHash({
      filter: filter.value,
      minutes: minutes.value,
      range: range.value,
      arrow: named(),
    });
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  });
  effect(() => {
    void [filter.value, minutes.value, range.value];
    dirty = true;
    queueMicrotask(draw);
  });
  // A link that is followed while the page is open.
  window.addEventListener("hashchange", () => {
    const next = fromHash(location.hash);
    batch(() => {
      filter.value = next.filter;
      minutes.value = next.minutes;
      range.value = next.range;
      selection.value = null;
      wanted.value = next.arrow;
    });
  });
  const tick = () => {
    // The window moves on even where nothing comes.
    if (!paused.value && !range.value && !hello.value?.recorded) {
      const from = now() - minutes.value * 60_000;
      const oldest = store.all()[0];
      if (oldest && oldest.time < from) dirty = true;
    }
    draw();
    // A page with much to draw draws less often: it never takes more than an eighth of the time.
    setTimeout(tick, Math.max(DRAW, took.value * 8));
  };
  tick();
  void refresh();
  setInterval(refresh, STATUS);
}
