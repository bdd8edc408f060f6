"""What the dashboards are made of: variables, rows and panels as Grafana's dashboard schema has them.

The schema is that of @grafana/schema 12 (kind Dashboard, schemaVersion 42);
checks/monitoring.py holds the outcome against it.
"""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "$__rate_interval"


def query(name, label, expression, multi=True, first=""):
    """A variable with what a label holds; with `multi`, All is anything, the empty value included."""
    made = {
        "type": "query", "name": name, "label": label, "datasource": SOURCE,
        "query": {"query": expression, "refId": "StandardVariableQuery"},
        "refresh": 2, "sort": 1, "regex": "", "hide": 0,
        "includeAll": multi, "multi": multi, "options": [], "skipUrlSync": False,
    }
    if multi:
        made |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    if first:
        made |= {"current": {"selected": True, "text": first, "value": first}}
    return made


def variables(*more):
    """The data source and the node, which every dashboard has, and others."""
    source = {
        "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
        "refresh": 1, "regex": "", "hide": 0, "includeAll": False, "multi": False, "options": [],
        "skipUrlSync": False,
    }
    return [source, query("node", "Node", "label_values(weir_build_info, node)"), *more]


def target(expression, legend, instant, place):
    made = {"datasource": SOURCE, "expr": expression, "refId": chr(ord("A") + place), "editorMode": "code"}
    if instant:
        return made | {"instant": True, "range": False, "format": "table"}
    return made | {"range": True, "legendFormat": legend}


def panel(kind, title, queries, width, height, unit="short", about=None, custom=None, options=None,
          steps=None, instant=False, **more):
    """A panel; `queries` are (expression, legend), `steps` the values from which on it is coloured."""
    colour = {"mode": "thresholds"} if kind == "stat" else {"mode": "palette-classic"}
    bounds = [{"color": "green", "value": None}]
    bounds += [{"color": name, "value": value} for value, name in steps or []]
    defaults = {
        "unit": unit, "color": colour, "mappings": [],
        "thresholds": {"mode": "absolute", "steps": bounds}, "custom": custom or {},
    }
    made = {
        "type": kind, "title": title, "datasource": SOURCE, "width": width, "height": height,
        "targets": [target(expression, legend, instant, place) for place, (expression, legend) in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options or {},
    }
    return made | ({"description": about} if about else {}) | more


def stat(title, expression, unit="short", steps=None, about=None, width=4):
    """One number. `steps` colours it from a value on: [(1, "red")]."""
    options = {
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
        "percentChangeColorMode": "standard", "showPercentChange": False, "textMode": "auto", "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel("stat", title, [(expression, "")], width, 4, unit, about, options=options, steps=steps)


def lines(title, queries, unit="short", stacked=False, about=None, width=12, most=None):
    """Lines over time; stacked, they add up."""
    custom = {
        "drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never",
        "spanNulls": False, "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    options = {
        "legend": {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    made = panel("timeseries", title, queries, width, 8, unit, about, custom, options)
    if most is not None:
        made["fieldConfig"]["defaults"] |= {"min": 0, "max": most}
    return made


def table(title, expression, columns, about=None, width=12, value="Count"):
    """The last values, one a row, greatest first; `columns` are the labels in order, with their titles."""
    options = {"frameIndex": 0, "showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": value, "desc": True}]}
    order = {name: place for place, name in enumerate([*columns, "Value"])}
    tidy = {"id": "organize", "options": {
        "excludeByName": {"Time": True}, "indexByName": order, "renameByName": columns | {"Value": value}}}
    custom = {"align": "auto", "filterable": True, "inspect": False, "cellOptions": {"type": "auto"}}
    return panel("table", title, [(expression, "")], width, 9, about=about, custom=custom, options=options,
                 instant=True, transformations=[tidy])


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
        "annotations": {"list": []}, "templating": {"list": variables}, "panels": panels,
        "links": [{"title": "Weir", "type": "dashboards", "tags": ["weir"], "asDropdown": True, "icon": "external link",
                   "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
    }
