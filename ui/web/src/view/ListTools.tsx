// Beside the list of flows: which columns it has, and its records as a file.

import { COLUMNS, type Column, keepColumns } from "../model/columns";
import { narrow } from "../state";
import { columns, listed } from "./FlowTable";
import { Icon } from "./icons";

export function ListTools() {
  return (
    <>
      {!narrow.value && <Columns />}
      <button
        type="button"
        class="tool"
        aria-label="Export these flows"
        title="Export these flows: weir observe, ui, diff and suggest read them (--input-file, --flows)"
        onClick={() =>
          save(
            "flows.jsonl",
            `${listed()
              .map(({ text }) => text)
              .join("\n")}\n`,
          )
        }
      >
        <Icon name="save" />
      </button>
    </>
  );
}

function Columns() {
  const chosen = columns.value;
  const toggle = (name: Column) => {
    const names = (Object.keys(COLUMNS) as Column[]).filter(
      (one) => chosen.includes(one) !== (one === name),
    );
    if (!names.length) return;
    columns.value = names;
    keepColumns(names);
  };
  return (
    <details class="menu">
      <summary class="tool" title="Columns" aria-label="Columns">
        <Icon name="columns" />
      </summary>
      <fieldset aria-label="Columns">
        {(Object.keys(COLUMNS) as Column[]).map((name) => (
          <label key={name}>
            <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
            {COLUMNS[name].title}
          </label>
        ))}
      </fieldset>
    </details>
  );
}

/** Hands a file to the browser, as a download. */
function save(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
