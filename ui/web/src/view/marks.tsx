// What the map is drawn of. Each is drawn again only where something of it has changed.

import { memo } from "preact/compat";
import { OUTCOMES, type Outcome, type Place } from "../model/flow";
import { NODE } from "../model/layout";
import { selection } from "../state";
import { count, placeName, plural } from "../words";
import { iconPath, SIGNS } from "./icons";

/** Heads of arrows; that of a denied one is a bar: nothing comes through. */
export function Markers() {
  return (
    <defs>
      {OUTCOMES.map((outcome) => (
        <marker
          key={outcome}
          id={`head-${outcome}`}
          class={`head ${outcome}`}
          viewBox="0 0 12 12"
          refX={outcome === "denied" ? 7 : 10}
          refY="6"
          markerWidth="11"
          markerHeight="11"
          markerUnits="userSpaceOnUse"
          orient="auto"
        >
          <path d={outcome === "denied" ? "M5.500 .500v11" : "M2 1.500L10 6l-8 4.500z"} />
        </marker>
      ))}
    </defs>
  );
}

function choose(kind: "arrow" | "place", id: string): void {
  const now = selection.value;
  const again = now?.kind === kind && now.id === id;
  selection.value = again ? null : { kind, id };
}

// SVG knows `tabindex` in small letters only.

/** Enter and space do what a click does. */
function pressed(act: () => void) {
  return (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
}

interface ArrowProps {
  id: string;
  path: string;
  outcome: Outcome;
  chosen: boolean;
  faded: boolean;
  name: string;
}

export const ArrowLine = memo(({ id, path, outcome, chosen, faded, name }: ArrowProps) => (
  <g
    class={`arrow ${outcome}${chosen ? " chosen" : ""}${faded ? " faded" : ""}`}
    data-arrow={id}
    role="button"
    tabindex={-1}
    aria-label={name}
    onClick={() => choose("arrow", id)}
    onKeyDown={pressed(() => choose("arrow", id))}
  >
    <path class="hit" d={path} />
    <path class="stroke" d={path} marker-end={`url(#head-${outcome})`} />
  </g>
));

interface ChipProps {
  id: string;
  x: number;
  y: number;
  width: number;
  text: string;
  times: string;
  outcome: Outcome;
  chosen: boolean;
  related: boolean;
  faded: boolean;
}

export const Chip = memo(
  ({ id, x, y, width, text, times, outcome, chosen, related, faded }: ChipProps) => (
    <g
      class={`chip ${outcome}${chosen ? " chosen" : ""}${related ? " related" : ""}${faded ? " faded" : ""}`}
      transform={`translate(${x - width / 2},${y - 10})`}
      aria-hidden="true"
      data-chip={id}
      onClick={() => choose("arrow", id)}
    >
      <rect width={width} height="20" rx="10" />
      <path class="sign" transform="translate(8,4)" d={SIGNS[outcome]} />
      <text x="24" y="14">
        {text}
        {times && (
          <tspan class="times" dx="6">
            {times}
          </tspan>
        )}
      </text>
    </g>
  ),
);

interface NodeProps {
  place: Place;
  x: number;
  y: number;
  about: string;
  denied: number;
  chosen: boolean;
  /** Tab comes to it. */
  reached: boolean;
  faded: boolean;
}

const CHARACTERS = 18;
/** Where the map is seen from afar, and the name is all that is left. */
const FAR = 11;

export const MapNode = memo(
  ({ place, x, y, about, denied, chosen, reached, faded }: NodeProps) => {
    const { width, height } = NODE;
    const { name } = place;
    const short = name.length > CHARACTERS ? `${name.slice(0, CHARACTERS - 1)}…` : name;
    const said = denied ? `, ${plural(denied, "denial")}` : "";
    return (
      <g
        class={`node is-${place.kind}${chosen ? " chosen" : ""}${faded ? " faded" : ""}`}
        transform={`translate(${x - width / 2},${y - height / 2})`}
        data-place={place.id}
        role="button"
        tabindex={reached ? 0 : -1}
        aria-pressed={chosen}
        aria-label={`${placeName(place)}, ${about}${said}`}
        onClick={() => choose("place", place.id)}
        onKeyDown={pressed(() => choose("place", place.id))}
      >
        <g aria-hidden="true">
          <rect class="card" width={width} height={height} rx="12" />
          <rect class="badge" x="10" y="11" width="32" height="32" rx="9" />
          <path class="glyph" transform="translate(18,19)" d={iconPath(place)} />
          <text class="name" x="52" y="25">
            {short}
          </text>
          <text class="about" x="52" y="41">
            {about}
          </text>
          <text class="far-name" x="14" y="37">
            {name.length > FAR ? `${name.slice(0, FAR - 1)}…` : name}
          </text>
          {denied > 0 && (
            <g transform={`translate(${width - 10},0)`}>
              <g class="denials">
                <rect
                  x={-denialWidth(denied)}
                  y="-9"
                  width={denialWidth(denied)}
                  height="18"
                  rx="9"
                />
                <path
                  transform={`translate(${6 - denialWidth(denied)},-5) scale(.85)`}
                  d={SIGNS.denied}
                />
                <text x={20 - denialWidth(denied)} y="4">
                  {count(denied)}
                </text>
              </g>
            </g>
          )}
        </g>
      </g>
    );
  },
  (a, b) =>
    a.place.id === b.place.id &&
    a.x === b.x &&
    a.y === b.y &&
    a.about === b.about &&
    a.denied === b.denied &&
    a.chosen === b.chosen &&
    a.reached === b.reached &&
    a.faded === b.faded,
);

function denialWidth(denied: number): number {
  return 26 + count(denied).length * 6.5;
}
