// A workload, a name or the world: who reaches it, and whom it reaches.

import { without } from "../../model/filter";
import { type Arrow, label, type Workload } from "../../model/graph";
import { change, filter, picture, selection } from "../../state";
import { count, placeKind, placeName, plural } from "../../words";
import { Sign } from "../icons";
import { Latest, Panel } from "./Panel";

export function OneWorkload({ workload }: { workload: Workload }) {
  const { place, pods, addresses } = workload;
  const arrows = [...picture.value.graph.arrows.values()];
  const above = `${placeKind(place)}${place.namespace ? ` in ${place.namespace}` : ""}${pods > 0 ? ` · ${plural(pods, "pod")}` : ""}`;
  return (
    <Panel title={place.name} above={above}>
      <ArrowList
        title="Who reaches it"
        arrows={arrows.filter(({ to }) => to.id === place.id)}
        other={({ from }) => placeName(from)}
      />
      <ArrowList
        title="Whom it reaches"
        arrows={arrows.filter(({ from }) => from.id === place.id)}
        other={({ to }) => placeName(to)}
      />
      <section>
        <h3>Addresses</h3>
        <p class="addresses">
          {addresses.map((address) => (
            <code key={address}>{address}</code>
          ))}
        </p>
        {place.kind === "workload" && (
          <button
            type="button"
            class="primary"
            onClick={() => change({ workload: place.name, namespace: place.namespace })}
          >
            Show only its flows
          </button>
        )}{" "}
        <button
          type="button"
          class="primary"
          onClick={() => {
            filter.value = without(filter.value, place);
            selection.value = null;
          }}
        >
          Hide it
        </button>
      </section>
      <Latest of={(flow) => flow.from.place.id === place.id || flow.to.place.id === place.id} />
    </Panel>
  );
}

function ArrowList({
  title,
  arrows,
  other,
}: {
  title: string;
  arrows: Arrow[];
  other: (arrow: Arrow) => string;
}) {
  if (arrows.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="latest">
        {arrows
          .sort((a, b) => b.count - a.count)
          .map((arrow) => (
            <li key={arrow.id}>
              <button
                type="button"
                onClick={() => (selection.value = { kind: "arrow", id: arrow.id })}
              >
                <Sign outcome={arrow.outcome} />
                <span class="said">
                  <b>{other(arrow)}</b> {label(arrow)}
                </span>
                <span class="number">{count(arrow.count)}</span>
              </button>
            </li>
          ))}
      </ul>
    </section>
  );
}
