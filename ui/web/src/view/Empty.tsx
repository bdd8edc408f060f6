// Nothing to show: what it may be for, and what to do.

import { isEverything } from "../model/filter";
import { clear, filter, hello, loading, minutes, mood, status } from "../state";
import { plural } from "../words";

export function Empty() {
  if (mood.value === "connecting" || (loading.value && mood.value !== "away"))
    return <div class="empty quiet">Looking for flows…</div>;
  if (!isEverything(filter.value))
    return (
      <div class="empty">
        <h2>Nothing matches</h2>
        <p>No flow of the last {plural(minutes.value, "minute")} passes the filters.</p>
        <button type="button" class="primary" onClick={clear}>
          Clear the filters
        </button>
      </div>
    );
  if (mood.value === "away")
    return (
      <div class="empty">
        <h2>The source does not answer</h2>
        <p>
          Is <code>weir agent</code> running, and may <code>weir ui</code> reach it (on a node: as
          root)? The map begins by itself when it answers.
        </p>
      </div>
    );
  if (hello.value?.recorded)
    return (
      <div class="empty">
        <h2>The record holds no flows</h2>
        <p>Record some with this command, and open the file again:</p>
        <code>weir observe --all --why -o json &gt; flows.jsonl</code>
      </div>
    );
  const lab = hello.value?.source.match(/^lab (.*)$/)?.[1];
  return (
    <div class="empty">
      <h2>No traffic in the last {plural(minutes.value, "minute")}</h2>
      <p>
        The observer answers
        {status.value ? ` (${plural(status.value.flows.seen, "flow")} since its start)` : ""}. A
        connection or a request shows here within a second:
      </p>
      <code>
        {lab
          ? `weir lab exec --name ${lab} deploy/sleep -- curl -s httpbin:8000/headers`
          : "kubectl exec deploy/sleep -- curl -s httpbin:8000/headers"}
      </code>
      {minutes.value < 15 && (
        <button type="button" class="primary" onClick={() => (minutes.value = 15)}>
          Look at 15 minutes
        </button>
      )}
    </div>
  );
}
