// The page: bars above, the map with its details, flows and requests below.

import { away, broken, drawer, mood, picture, tab } from "../state";
import { count } from "../words";
import { Details } from "./Details";
import { FilterBar } from "./FilterBar";
import { FlowTable } from "./FlowTable";
import { Help } from "./Help";
import { HttpPanel } from "./HttpPanel";
import { Icon } from "./icons";
import { ServiceMap } from "./Map";
import { TopBar } from "./TopBar";

export function App() {
  return (
    <div class={`page${drawer.value ? "" : " closed"}`}>
      <TopBar />
      <FilterBar />
      <Away />
      <main>
        <ServiceMap />
      </main>
      <Drawer />
      <Details />
      <Help />
    </div>
  );
}

function Away() {
  if (mood.value !== "away" && mood.value !== "part") return null;
  const nodes = [...away.value].map(([name, message]) => (message ? `${name}: ${message}` : name));
  return (
    <p class="away" role="alert">
      <b>{mood.value === "away" ? "The source is away." : "Some nodes are away."}</b>{" "}
      {broken.value || nodes.join("; ")}. What is shown was seen before; it goes on by itself.
    </p>
  );
}

function Drawer() {
  const tabs = [
    { name: "flows", title: "Flows", number: picture.value.flows.length },
    { name: "http", title: "HTTP", number: 0 },
  ] as const;
  return (
    <section class="drawer" aria-label="Flows and requests">
      <nav>
        <div role="tablist">
          {tabs.map(({ name, title, number }) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={tab.value === name}
              onClick={() => {
                tab.value = name;
                drawer.value = true;
              }}
            >
              {title} {number > 0 && <span>{count(number)}</span>}
            </button>
          ))}
        </div>
        <span class="stretch" />
        <button
          type="button"
          class="tool"
          aria-expanded={drawer.value}
          aria-label={drawer.value ? "Close the list" : "Open the list"}
          onClick={() => (drawer.value = !drawer.value)}
        >
          <Icon name={drawer.value ? "down" : "up"} />
        </button>
      </nav>
      {drawer.value && (
        <div class="tabpanel" role="tabpanel" aria-labelledby={`tab-${tab.value}`}>
          {tab.value === "flows" ? <FlowTable /> : <HttpPanel />}
        </div>
      )}
    </section>
  );
}
