// What a screen reader says by itself: new denials, at most one sentence every few seconds.

import { effect, signal } from "@preact/signals";
import { label } from "../model/graph";
import { loading, picture } from "../state";
import { placeName, plural } from "../words";

const QUIET = 4000;

const sentence = signal("");
/** Denials up to this time are no news: they were there when the page opened, or were said. */
let known = 0;
let said = -QUIET;
let later: ReturnType<typeof setTimeout> | undefined;

effect(tell);

function tell(): void {
  const { graph, to } = picture.value;
  if (loading.value || to === 0) return;
  if (known === 0) {
    known = to;
    return;
  }
  const fresh = [...graph.arrows.values()]
    .filter(({ outcome, last }) => outcome === "denied" && last > known)
    .sort((a, b) => b.last - a.last);
  const [one] = fresh;
  if (!one) return;
  const wait = said + QUIET - performance.now();
  clearTimeout(later);
  if (wait > 0) {
    later = setTimeout(tell, wait);
    return;
  }
  said = performance.now();
  known = one.last;
  const what = `${placeName(one.from)} to ${placeName(one.to)}, ${label(one)}`;
  const more = fresh.length > 1 ? `, and ${plural(fresh.length - 1, "arrow")} more` : "";
  sentence.value = `New denial: ${what}${more}`;
}

export function Announce() {
  return (
    <p class="hidden" role="log" aria-live="polite" aria-label="New denials">
      {sentence.value}
    </p>
  );
}
