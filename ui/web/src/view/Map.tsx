// The service map: drawn as SVG, moved and zoomed without drawing it again.

import { select } from "d3-selection";
import { type ZoomBehavior, zoom, zoomIdentity } from "d3-zoom";
import { useEffect, useRef } from "preact/hooks";
import { arrangement, chipWidth, groupName, timesOf, words } from "../arrange";
import type { Place } from "../model/flow";
import { label } from "../model/graph";
import { picture, selection } from "../state";
import { amount, NAMES, placeKind, placeName, plural } from "../words";
import { Empty } from "./Empty";
import { Icon } from "./icons";
import { ArrowLine, Chip, MapNode, Markers } from "./marks";

/** Where the map's words become readable. */
const LEVELS = { near: 0.72, middle: 0.42 };

/** The smallest at which a map with few arrows is shown: its words are ten pixels high. */
const READABLE = 0.85;

type Zoom = ZoomBehavior<SVGSVGElement, unknown>;

export function ServiceMap() {
  const svg = useRef<SVGSVGElement>(null);
  const world = useRef<SVGGElement>(null);
  const behaviour = useRef<Zoom | null>(null);
  const moved = useRef(false);
  const { layout, lines, few } = arrangement.value;
  const { graph } = picture.value;
  const chosen = selection.value;

  const on = (
    act: (zooming: Zoom, on: ReturnType<typeof select<SVGSVGElement, unknown>>) => void,
  ) => {
    if (svg.current && behaviour.current)
      act(behaviour.current, select<SVGSVGElement, unknown>(svg.current));
  };
  const showAll = () =>
    on((zooming, map) => {
      const box = svg.current?.getBoundingClientRect();
      const { layout, few } = arrangement.value;
      const { width, height } = layout;
      if (!box || !width) return;
      const whole = Math.min((box.width - 32) / width, (box.height - 32) / height, 1.3);
      // What cannot be read shows nothing: a small map that has no room is moved instead.
      const scale = few ? Math.max(whole, READABLE) : whole;
      const middle = (room: number, size: number) => Math.max((room - size * scale) / 2, 16);
      const [x, y] = [middle(box.width, width), middle(box.height, height)];
      zooming.transform(map, zoomIdentity.translate(x, y).scale(scale));
      moved.current = false;
    });

  useEffect(() => {
    const zooming = zoom<SVGSVGElement, unknown>()
      .scaleExtent([0.06, 2.5])
      .on("zoom", (event) => {
        world.current?.setAttribute("transform", event.transform.toString());
        const { k } = event.transform;
        const level = k >= LEVELS.near ? "near" : k >= LEVELS.middle ? "middle" : "far";
        if (svg.current) svg.current.dataset.level = level;
        if (event.sourceEvent) moved.current = true;
      });
    behaviour.current = zooming;
    if (svg.current)
      select<SVGSVGElement, unknown>(svg.current).call(zooming).on("dblclick.zoom", null);
    const observer = new ResizeObserver(() => {
      if (!moved.current) showAll();
    });
    if (svg.current) observer.observe(svg.current);
    const asked = (event: Event) => {
      if (event.type === "map:fit") showAll();
      else on((zooming, map) => zooming.scaleBy(map, event.type === "map:in" ? 1.35 : 1 / 1.35));
    };
    const names = ["map:fit", "map:in", "map:out"];
    for (const name of names) document.addEventListener(name, asked);
    return () => {
      observer.disconnect();
      for (const name of names) document.removeEventListener(name, asked);
    };
  }, []);

  useEffect(() => {
    if (!moved.current) showAll();
  }, [layout]);

  // What the keyboard chooses must be in sight.
  useEffect(() => {
    const spot = chosen?.kind === "place" ? layout.nodes.get(chosen.id) : undefined;
    const node = spot && svg.current?.querySelector(".node.chosen");
    const box = svg.current?.getBoundingClientRect();
    if (!node || !box) return;
    const at = node.getBoundingClientRect();
    if (at.left < box.left || at.right > box.right || at.top < box.top || at.bottom > box.bottom)
      on((zooming, map) => zooming.translateTo(map, spot.x, spot.y));
  }, [chosen]);

  const related = near();
  const arrows = [...graph.arrows.values()];
  // Tab comes to one workload, and arrow keys go on from there.
  const reached =
    chosen?.kind === "place" && layout.nodes.has(chosen.id) ? chosen.id : firstOf(layout.nodes);
  return (
    <section class="map-area" aria-label="Service map">
      <svg
        ref={svg}
        class={`map ${few ? "few" : "many"}${related ? " focused" : ""}`}
        data-level="near"
        role="group"
        aria-label={`${plural(graph.workloads.size, "workload")}, ${plural(arrows.length, "arrow")}`}
        onClick={(event) => {
          if (event.target === svg.current) selection.value = null;
        }}
      >
        <Markers />
        <g ref={world}>
          {layout.groups.map(({ id, x, y, width, height }) => (
            <g key={id} class={`group ${id.startsWith("ns:") ? "" : "outside"}`}>
              <rect x={x} y={y} width={width} height={height} rx="16" />
              <text x={x + 20} y={y + 27}>
                {groupName(id)}
              </text>
            </g>
          ))}
          {arrows.map((arrow) => {
            const drawn = lines.get(arrow.id);
            return (
              drawn && (
                <ArrowLine
                  key={arrow.id}
                  id={arrow.id}
                  path={drawn.path}
                  outcome={arrow.outcome}
                  chosen={chosen?.kind === "arrow" && chosen.id === arrow.id}
                  faded={!!related && !related.has(arrow.id)}
                  name={`${NAMES[arrow.outcome]}: ${placeName(arrow.from)} to ${placeName(arrow.to)}, ${label(arrow)}, ${amount(arrow)}`}
                />
              )
            );
          })}
          {[...graph.workloads.values()].map(({ place, pods, addresses, in: into, out }) => {
            const spot = layout.nodes.get(place.id);
            return (
              spot && (
                <MapNode
                  key={place.id}
                  place={place}
                  x={spot.x}
                  y={spot.y}
                  about={about(place, pods, addresses)}
                  denied={into.denied + out.denied}
                  chosen={chosen?.kind === "place" && chosen.id === place.id}
                  reached={place.id === reached}
                  faded={!!related && !related.has(place.id)}
                />
              )
            );
          })}
          {arrows.map((arrow) => {
            const drawn = lines.get(arrow.id);
            return (
              drawn && (
                <Chip
                  key={arrow.id}
                  id={arrow.id}
                  x={drawn.middle.x}
                  y={drawn.middle.y}
                  width={chipWidth(arrow)}
                  text={words(arrow)}
                  times={timesOf(arrow)}
                  outcome={arrow.outcome}
                  chosen={chosen?.kind === "arrow" && chosen.id === arrow.id}
                  related={!!related?.has(arrow.id)}
                  faded={!!related && !related.has(arrow.id)}
                />
              )
            );
          })}
        </g>
      </svg>
      {graph.workloads.size === 0 && <Empty />}
      <MapTools />
    </section>
  );

  /** What belongs to the selection; null where nothing on the map is chosen. */
  function near(): Set<string> | null {
    if (chosen?.kind === "arrow") {
      const arrow = graph.arrows.get(chosen.id);
      return arrow ? new Set([arrow.id, arrow.from.id, arrow.to.id]) : null;
    }
    if (chosen?.kind !== "place" || !graph.workloads.has(chosen.id)) return null;
    const found = new Set([chosen.id]);
    for (const arrow of graph.arrows.values())
      if (arrow.from.id === chosen.id || arrow.to.id === chosen.id)
        for (const id of [arrow.id, arrow.from.id, arrow.to.id]) found.add(id);
    return found;
  }
}

/** What stands under a name; of the world whose addresses, as far as a card has room. */
function about(place: Place, pods: number, addresses: string[]): string {
  if (place.kind === "world" && addresses[0])
    return addresses.length > 1 ? `${addresses.length} addresses` : addresses[0];
  return pods > 1 ? `${placeKind(place)} · ${pods} pods` : placeKind(place);
}

/** The first in reading order. */
function firstOf(nodes: ReadonlyMap<string, { x: number; y: number }>): string {
  const order = [...nodes].sort(([, a], [, b]) => a.x + a.y * 4 - (b.x + b.y * 4));
  return order[0]?.[0] ?? "";
}

function MapTools() {
  const ask = (name: string) => () => document.dispatchEvent(new Event(name));
  return (
    <div class="map-tools">
      <button type="button" onClick={ask("map:in")} aria-label="Zoom in" title="Zoom in (+)">
        <Icon name="plus" />
      </button>
      <button type="button" onClick={ask("map:out")} aria-label="Zoom out" title="Zoom out (-)">
        <Icon name="minus" />
      </button>
      <button type="button" onClick={ask("map:fit")} aria-label="Show all" title="Show all (0)">
        <Icon name="fit" />
      </button>
    </div>
  );
}
