"""What the dashboards are made of: variables, rows and panels as Grafana's dashboard schema has them.

The schema is that of @grafana/schema 12 (kind Dashboard, schemaVersion 42);
checks/monitoring.py holds the outcome against it.
"""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"
# What every query selects by. Series of one cluster need no label: All is anything, nothing included.
HERE = 'cluster=~"$cluster",node=~"$node"'
# Where the map of `weir ui` is, for links to it.
MAP = "${map}/#"


def query(name, label, expression, about, multi=True, first="", regex=""):
    """A variable with what a label holds; with `multi`, All is anything, the empty value included."""
    made = {
        "type": "query", "name": name, "label": label, "description": about, "datasource": SOURCE,
        "query": {"query": expression, "refId": "StandardVariableQuery"},
        "refresh": 2, "sort": 1, "regex": regex, "hide": 0,
        "includeAll": multi, "multi": multi, "options": [], "skipUrlSync": False,
    }
    if multi:
        made |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    if first:
        made |= {"current": {"selected": True, "text": first, "value": first}}
    return made


def places(name, label, about, metric, of, where=""):
    """A variable with the namespaces, say, of both ends of flows: a pod that only asks is a place, too."""
    sides = " or ".join(
        f'group by (place) (label_replace({metric}{{{HERE}{where.replace("SIDE", side)}}}, "place", "$1", "{side}_{of}", "(.+)"))'
        for side in ("source", "destination"))
    return query(name, label, f"query_result({sides})", about, regex='/place="([^"]+)"/')


def variables(*more):
    """What every dashboard has: data source, cluster, node and the map's address; and others."""
    source = {
        "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
        "description": "The Prometheus that scrapes Weir's agents.",
        "refresh": 1, "regex": "", "hide": 0, "includeAll": False, "multi": False, "options": [],
        "skipUrlSync": False,
    }
    here = "http://127.0.0.1:12000"
    page = {
        "type": "textbox", "name": "map", "label": "Map at", "query": here,
        "description": "Where your browser reaches weir ui: links from denials lead there.",
        "current": {"selected": True, "text": here, "value": here}, "hide": 0, "skipUrlSync": False,
        "options": [{"selected": True, "text": here, "value": here}],
    }
    cluster = query("cluster", "Cluster", "label_values(weir_build_info, cluster)", "Clusters that this Prometheus knows; none where series have no such label.")
    node = query("node", "Node", 'label_values(weir_build_info{cluster=~"$cluster"}, node)', "Nodes that an agent runs on.")
    return [source, cluster, node, *more, page]


def changes():
    """A mark on every panel where what the policies say has changed; pods that come and go make none."""
    return {
        "name": "Policies changed", "datasource": SOURCE, "enable": True, "iconColor": "purple",
        "expr": f"max by (cluster) (weir_policies_changed_timestamp_seconds{{{HERE}}}) * 1000 > 0", "step": "10s",
        "useValueForTime": True, "titleFormat": "Policies changed", "textFormat": "{{cluster}}", "tagKeys": "cluster",
    }


def target(expression, legend, shape, place):
    made = {"datasource": SOURCE, "expr": expression, "refId": chr(ord("A") + place), "editorMode": "code"}
    if shape == "table":
        return made | {"instant": True, "range": False, "format": "table"}
    if shape == "heatmap":
        return made | {"range": True, "legendFormat": legend, "format": "heatmap"}
    return made | {"range": True, "legendFormat": legend}


def link(title, address):
    return {"title": title, "url": MAP + address, "targetBlank": True}


def panel(kind, title, about, queries, width, height, unit="short", custom=None, options=None,
          steps=None, base="green", links=None, **more):
    """A panel; `queries` are (expression, legend), `steps` the values from which on it is coloured, after `base`."""
    colour = {"mode": "thresholds"} if kind == "stat" else {"mode": "palette-classic"}
    bounds = [{"color": base, "value": None}]
    bounds += [{"color": name, "value": value} for value, name in steps or []]
    defaults = {
        "unit": unit, "color": colour, "mappings": [],
        "thresholds": {"mode": "absolute", "steps": bounds}, "custom": custom or {},
    } | ({"links": links} if links else {})
    made = {
        "type": kind, "title": title, "description": about, "datasource": SOURCE, "width": width, "height": height,
        "targets": [target(expression, legend, kind, place) for place, (expression, legend) in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options or {},
    }
    return made | more


def stat(title, about, expression, unit="short", steps=None, width=4, base="green"):
    """One number. `steps` colours it from a value on: [(1, "red")]."""
    options = {
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
        "percentChangeColorMode": "standard", "showPercentChange": False, "textMode": "auto", "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel("stat", title, about, [(expression, "")], width, 4, unit, options=options, steps=steps, base=base)


def lines(title, about, queries, unit="short", stacked=False, width=12, most=None, steps=None, base="green", links=None):
    """Lines over time; stacked, they add up. `steps` are drawn as dashed lines."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never",
        "spanNulls": False, "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0, "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    made = panel("timeseries", title, about, queries, width, 8, unit, custom, options, steps=steps, base=base, links=links)
    if most is not None:
        made["fieldConfig"]["defaults"] |= {"min": 0, "max": most}
    return made


def heatmap(title, about, expression, unit="s", width=12):
    """How many of each size over time, of a histogram's buckets."""
    options = {
        "calculate": False, "cellGap": 1, "cellValues": {"unit": "short"}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "color": {"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "exponent": 0.5, "steps": 64, "reverse": False},
        "filterValues": {"le": 1e-9}, "legend": {"show": True}, "rowsFrame": {"layout": "auto"}, "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    return panel("heatmap", title, about, [(expression, "{{le}}")], width, 8, unit, options=options)


def table(title, about, expression, columns, width=12, value="Count", links=None):
    """The last values, one a row, greatest first; `columns` are the labels in order, with their titles."""
    options = {"frameIndex": 0, "showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": value, "desc": True}]}
    order = {name: place for place, name in enumerate([*columns, "Value"])}
    tidy = {"id": "organize", "options": {
        "excludeByName": {"Time": True}, "indexByName": order, "renameByName": columns | {"Value": value}}}
    custom = {"align": "auto", "filterable": True, "inspect": False, "cellOptions": {"type": "auto"}}
    return panel("table", title, about, [(expression, "")], width, 9, custom=custom, options=options, links=links,
                 transformations=[tidy])


def dashboard(uid, title, about, variables, rows):
    """`rows` are (title, panels): laid out from left to right, 24 units wide."""
    panels, y, number = [], 0, 1
    for name, members in rows:
        panels.append({"type": "row", "title": name, "id": number, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y, x, tallest, number = y + 1, 0, 0, number + 1
        for member in members:
            width, height = member.pop("width"), member.pop("height")
            if x + width > 24:
                y, x, tallest = y + tallest, 0, 0
            panels.append({"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}} | member)
            x, tallest, number = x + width, max(tallest, height), number + 1
        y += tallest
    return {
        "uid": uid, "title": title, "description": about, "tags": ["weir"], "editable": True,
        "schemaVersion": 42, "version": 1, "graphTooltip": 1, "fiscalYearStartMonth": 0, "timezone": "browser",
        "time": {"from": "now-30m", "to": "now"}, "refresh": "10s", "timepicker": {},
        "annotations": {"list": [changes()]}, "templating": {"list": variables}, "panels": panels,
        "links": [{"title": "Weir", "type": "dashboards", "tags": ["weir"], "asDropdown": True, "icon": "external link",
                   "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
    }
