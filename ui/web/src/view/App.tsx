// The page: bars above, the map with its details, flows and requests below.

import { away, broken, drawer, mood, tab } from "../state";
import { count, plural } from "../words";
import { Announce } from "./Announce";
import { Details } from "./Details";
import { FilterBar } from "./FilterBar";
import { FlowTable, happened, listed } from "./FlowTable";
import { Help } from "./Help";
import { HttpPanel } from "./HttpPanel";
import { Icon } from "./icons";
import { ListTools } from "./ListTools";
import { ServiceMap } from "./Map";
import { PendingPanel } from "./PendingPanel";
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
      <Announce />
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
    {
      name: "flows",
      title: "Flows",
      number: happened.value.length,
      about: `Connections and requests, of ${plural(listed().length, "record")}`,
    },
    { name: "http", title: "HTTP", number: 0, about: "Requests by method and path" },
    { name: "pending", title: "What if", number: 0, about: "What a policy would change" },
  ] as const;
  return (
    <section class="drawer" aria-label="Flows and requests">
      <nav>
        <div role="tablist">
          {tabs.map(({ name, title, number, about }) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              title={about}
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
        {drawer.value && tab.value === "flows" && <ListTools />}
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
          {tab.value === "flows" && <FlowTable />}
          {tab.value === "http" && <HttpPanel />}
          {tab.value === "pending" && <PendingPanel />}
        </div>
      )}
    </section>
  );
}
