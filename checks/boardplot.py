"""Draws dashboards with matplotlib as Grafana lays them out, from what a Prometheus answers.

It shows that each panel's queries say something that can be read; it is no Grafana.
"""

import io
import os
import re
import time

from boards import boards, filled
from labcheck import python_packages

CELL = (0.72, 0.5)
STEP = 2
UNITS = {"percentunit": lambda value: f"{value:.1%}", "s": lambda value: f"{value * 1000:.1f} ms" if value < 1 else f"{value:.0f} s",
         "bytes": lambda value: f"{value / 2**20:.0f} MiB", "reqps": lambda value: f"{value:.2f}/s"}


def legend(text, metric):
    return re.sub(r"\{\{(\w+)\}\}", lambda found: metric.get(found[1], ""), text).strip() or "value"


def number(panel, value):
    return UNITS.get(panel["fieldConfig"]["defaults"]["unit"], lambda one: f"{one:g}")(value)


def draw_lines(axes, panel, prometheus, began, window):
    now, sets = time.time(), []
    for target in panel["targets"]:
        data = prometheus.ask("query_range", query=filled(target["expr"], window), start=began, end=now, step=STEP)
        sets += [(legend(target["legendFormat"], one["metric"]), one["values"]) for one in data["result"]]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    times = [began + place * STEP for place in range(int((now - began) / STEP) + 1)]
    rows = []
    for name, values in sorted(sets):
        at = {round((float(moment) - began) / STEP): float(value) for moment, value in values}
        rows.append((name, [at.get(place, float("nan")) for place in range(len(times))]))
    seconds = [moment - began for moment in times]
    if custom["stacking"]["mode"] == "normal" and rows:
        zeroed = [[value if value == value else 0 for value in row] for _, row in rows]
        axes.stackplot(seconds, zeroed, labels=[name for name, _ in rows], alpha=0.75)
    else:
        for name, row in rows:
            axes.plot(seconds, row, linewidth=1, label=name)
    axes.set_ylim(bottom=0)
    top = axes.get_ylim()[1]
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if custom["thresholdsStyle"]["mode"] == "dashed" and step["value"] is not None and step["value"] < top:
            axes.axhline(step["value"], color=step["color"], linewidth=0.8, linestyle="--")
    axes.yaxis.set_major_formatter(lambda value, _: number(panel, value))
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=5)
    if rows:
        axes.legend(fontsize=4.5, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0.2)


def draw_marks(axes, board, prometheus, began, window):
    """Where Grafana marks a change of policies."""
    for mark in board["annotations"]["list"]:
        data = prometheus.ask("query_range", query=filled(mark["expr"], window), start=began, end=time.time(), step=STEP)
        for moment in {float(value) / 1000 - began for one in data["result"] for _, value in one["values"]}:
            if moment >= 0:
                axes.axvline(moment, color=mark["iconColor"], linewidth=0.8, linestyle=":")


def draw_heatmap(axes, panel, prometheus, began, window):
    data = prometheus.ask("query_range", query=filled(panel["targets"][0]["expr"], window), start=began, end=time.time(), step=STEP)
    bounds = sorted(data["result"], key=lambda one: float(one["metric"]["le"]))
    times = sorted({float(moment) for one in bounds for moment, _ in one["values"]})
    upto = [{float(moment): float(value) for moment, value in one["values"]} for one in bounds]
    # A bucket holds all that is below its bound: what is between two bounds is their difference.
    rows = [[one.get(moment, 0) - (upto[place - 1].get(moment, 0) if place else 0) for moment in times] for place, one in enumerate(upto)]
    if times:
        axes.imshow(rows, aspect="auto", origin="lower", cmap="Oranges", interpolation="nearest", extent=(times[0] - began, times[-1] - began, 0, len(rows)))
    axes.set_yticks(range(1, len(bounds) + 1), [one["metric"]["le"] for one in bounds])
    axes.tick_params(labelsize=5)


def draw_table(axes, panel, prometheus, window):
    names = panel["transformations"][0]["options"]["renameByName"]
    labels = [name for name in names if name != "Value"]
    samples = prometheus.query(filled(panel["targets"][0]["expr"], window))
    samples.sort(key=lambda one: -float(one["value"][1]))
    rows = [[one["metric"].get(label, "") for label in labels] + [one["value"][1]] for one in samples][:9]
    axes.axis("off")
    made = axes.table(rows or [[""] * len(names)], colLabels=list(names.values()), loc="upper left", cellLoc="left", edges="horizontal")
    made.auto_set_font_size(False)
    made.set_fontsize(4.5)
    made.auto_set_column_width(list(range(len(names))))


def draw_stat(axes, panel, prometheus, at, window):
    samples = prometheus.query(filled(panel["targets"][0]["expr"], window), at)
    value = float(samples[0]["value"][1]) if samples else None
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or (value or 0) >= step["value"]][-1]
    axes.axis("off")
    axes.text(0.5, 0.4, "no data" if value is None else number(panel, value), ha="center", va="center", fontsize=15, color=colour)


def plot(prometheus, folder, began, at, window=20):
    """One picture for each dashboard; single numbers are those of the time `at`."""
    python_packages("boardplot", "matplotlib==3.11.2")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    os.makedirs(folder, exist_ok=True)
    for board in boards():
        places = [panel["gridPos"] for panel in board["panels"]]
        tall = max(place["y"] + place["h"] for place in places)
        wide, high = 24 * CELL[0] * 0.7, tall * CELL[1] * 0.45
        figure = pyplot.figure(figsize=(wide, high), dpi=80)
        for row in board["panels"]:
            place = row["gridPos"]
            if row["type"] == "row":
                figure.text(0.01, 1 - (place["y"] + 0.7) / tall, row["title"], fontsize=8, weight="bold")
                continue
            right = 0.72 if row["type"] in ("timeseries", "heatmap") else 0.96
            box = [place["x"] / 24 + 0.035, 1 - (place["y"] + place["h"] - 1.1) / tall,
                   place["w"] / 24 * right - 0.035, (place["h"] - 2.4) / tall]
            axes = figure.add_axes(box)
            axes.set_title(row["title"], fontsize=6, loc="left", pad=3)
            if row["type"] == "timeseries":
                draw_lines(axes, row, prometheus, began, window)
                draw_marks(axes, board, prometheus, began, window)
            elif row["type"] == "heatmap":
                draw_heatmap(axes, row, prometheus, began, window)
            elif row["type"] == "table":
                draw_table(axes, row, prometheus, window)
            else:
                draw_stat(axes, row, prometheus, at, window)
        whole = io.BytesIO()
        figure.savefig(whole)
        pyplot.close(figure)
        # A handful of colours: small enough to be kept with the documentation.
        Image.open(whole).convert("RGB").quantize(48).save(os.path.join(folder, f"{board['uid']}.png"), optimize=True)
