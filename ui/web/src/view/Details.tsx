// What is known of what is chosen: an arrow with its reasons, a workload, one flow.

import { picture, selection } from "../state";
import { OneArrow } from "./details/OneArrow";
import { OneFlow } from "./details/OneFlow";
import { OneWorkload } from "./details/OneWorkload";
import { Panel } from "./details/Panel";

export function Details() {
  const chosen = selection.value;
  if (!chosen) return null;
  const { arrows, workloads } = picture.value.graph;
  if (chosen.kind === "flow") return <OneFlow flow={chosen.flow} />;
  if (chosen.kind === "arrow") {
    const arrow = arrows.get(chosen.id);
    return arrow ? <OneArrow arrow={arrow} /> : <Gone />;
  }
  const workload = workloads.get(chosen.id);
  return workload ? <OneWorkload workload={workload} /> : <Gone />;
}

function Gone() {
  return (
    <Panel title="Not seen any more" above="In this time window">
      <p class="muted">Nothing of it is left within the window and the filters.</p>
    </Panel>
  );
}
