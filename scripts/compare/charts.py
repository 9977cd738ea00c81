"""Charts of a scenario as SVG: cost relative to Ringway, and latency at half load.

Only the standard library is used. Colours follow the reader's scheme, light or dark; each chart
has a background of its own, so that it can be read on any page.
"""

import math
import os
from html import escape

import figures

FOLDER = "docs/charts"
WIDTH = 860
# From the left: names of servers, then the plot, then values as text.
LEFT, RIGHT = 130, 24
TOP, ROW, BAR, GROUP, HEADING = 62, 20, 13, 12, 22
# Bars of costs beyond this are cut, so that those near 1 can be told apart.
COST_MAX = 4.0
QUANTILE_TEXT = 210

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f;
  paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
.title { font-size: 15px; font-weight: 600; }
.work { font-weight: 600; }
.note, .axis { font-size: 11px; fill: #57606a; }
.page { fill: #ffffff; stroke: #d0d7de; }
.grid { stroke: #d8dee4; }
.one { stroke: #57606a; stroke-dasharray: 4 3; }
.own { fill: #0969da; stroke: #0969da; }
.peer { fill: #9a6700; stroke: #9a6700; }
.floor { fill: #8c959f; stroke: #8c959f; }
.cut { fill: none; stroke: #ffffff; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; stroke: #0d1117; }
  .note, .axis { fill: #9198a1; }
  .page { fill: #0d1117; stroke: #3d444d; }
  .grid { stroke: #262c36; }
  .one { stroke: #9198a1; }
  .own { fill: #4493f8; stroke: #4493f8; }
  .peer { fill: #d29922; stroke: #d29922; }
  .floor { fill: #6e7681; stroke: #6e7681; }
  .cut { stroke: #0d1117; }
}
"""


def kind_of(name):
    """The class of a server's marks: Ringway, a bare loop, or a peer."""
    if figures.is_ringway(name):
        return "own"
    return "floor" if name.startswith("floor") else "peer"


def text(x, y, content, kind="", anchor="start"):
    classes = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{classes}>{escape(content)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def rectangle(x, y, width, height, kind):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'


def document(title, note, height, parts):
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" class="page"/>',
            text(16, 26, title, "title"),
            text(16, 44, note, "note"),
            *parts,
            "</svg>\n",
        ]
    )


def layout(groups):
    """Places for groups of (heading, rows): [(heading, y, [(y, row)])], and where they end."""
    y, places = TOP + 18, []
    for heading, rows in groups:
        top = y + HEADING
        places.append((heading, y + 15, [(top + number * ROW, row) for number, row in enumerate(rows)]))
        y = top + len(rows) * ROW + GROUP
    return places, y


def axis(ticks, position, end):
    """Vertical lines with a label above each; `ticks` are (value, label)."""
    for value, label in ticks:
        x = position(value)
        yield line(x, TOP + 18, x, end, "grid")
        yield text(x, TOP + 10, label, "axis", "middle")


def costs(title, groups):
    """Horizontal bars; `groups` are (work, [(server, cost relative to Ringway)])."""
    places, end = layout(groups)
    highest = max(cost for _, rows in groups for _, cost in rows)
    most = max(1.5, math.ceil(min(COST_MAX, highest) * 2) / 2)
    room = WIDTH - LEFT - RIGHT - 50

    def position(value):
        return LEFT + room * value / most

    steps = [step / 2 for step in range(int(most * 2) + 1)]
    parts = list(axis([(step, f"{step:g}") for step in steps], position, end))
    parts.append(line(position(1), TOP + 18, position(1), end, "one"))
    for heading, y, rows in places:
        parts.append(text(16, y, heading, "work"))
        for top, (name, cost) in rows:
            parts += bar(top, name, cost, position, most)
    cut = f" Bars beyond {most:g} are cut." if highest > most else ""
    return document(title, f"Cost of the same work relative to Ringway = 1: less is better.{cut}", end + 6, parts)


def bar(top, name, cost, position, most):
    """A server's bar; beyond the end of the scale it is cut, and its value tells."""
    end = position(min(cost, most))
    yield text(LEFT - 8, top + 11, name, anchor="end")
    yield rectangle(LEFT, top, end - LEFT, BAR, kind_of(name))
    if cost > most:
        slash = f"{top + BAR + 1} l6 {-BAR - 2}"
        yield f'<path d="M{end - 16:.1f} {slash} M{end - 10:.1f} {slash}" class="cut"/>'
    yield text(end + 6, top + 11, f"{cost:.2f}" if cost < 10 else f"{cost:.1f}")


def microseconds(value):
    """A tick of the axis of time."""
    for unit, size in (("s", 1e6), ("ms", 1e3), ("us", 1)):
        if value >= size or unit == "us":
            return f"{value / size:g} {unit}"
    return ""


def latencies(title, groups):
    """A line from p50 to p99.9 on a logarithmic axis; `groups` are (work, [(server, quantiles)])."""
    places, end = layout(groups)
    values = [value for _, rows in groups for _, quantiles in rows for value in quantiles]
    low = math.floor(math.log10(max(min(values), 0.1)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    room = WIDTH - LEFT - QUANTILE_TEXT - RIGHT

    def position(value):
        return LEFT + room * (math.log10(max(value, 10**low)) - low) / (high - low)

    ticks = [(10**power, microseconds(10**power)) for power in range(low, high + 1)]
    parts = list(axis(ticks, position, end))
    parts.append(text(WIDTH - RIGHT, TOP + 10, "p50 / p99 / p99.9, us", "axis", "end"))
    for heading, y, rows in places:
        parts.append(text(16, y, heading, "work"))
        for top, (name, quantiles) in rows:
            parts += span(top, name, quantiles, position)
    note = "Circle: p50; line to p99; bar: p99.9. The scale is logarithmic: further left is better."
    return document(title, note, end + 6, parts)


def span(top, name, quantiles, position):
    middle, kind = top + 7, kind_of(name)
    p50, p99, p999 = (position(value) for value in quantiles)
    yield text(LEFT - 8, top + 11, name, anchor="end")
    yield f'<line x1="{p50:.1f}" y1="{middle}" x2="{p99:.1f}" y2="{middle}" class="{kind}" stroke-width="4"/>'
    yield line(p99, middle, p999, middle, kind)
    yield rectangle(p999 - 1, middle - 5, 2, 10, kind)
    yield f'<circle cx="{p50:.1f}" cy="{middle}" r="4.5" class="{kind}"/>'
    told = " / ".join(figures.short(float(value)) for value in quantiles)
    yield text(WIDTH - RIGHT, top + 11, told, anchor="end")


def heading(work):
    """A work's title, with what is compared where that is not CPU."""
    main = figures.main_figure(work)
    if "of" in work:
        return f"{work['title']}: {int(main):,}"
    return f"{work['title']} (memory)" if main == "memory" else work["title"]


def path_of(scenario, kind):
    return os.path.join(FOLDER, f"{scenario}-{kind}.svg")


def write_one(scenario, kind, draw, title, groups):
    """Writes a chart, or removes one for which there is nothing any more."""
    path = path_of(scenario, kind)
    if not groups:
        if os.path.exists(path):
            os.remove(path)
        return
    os.makedirs(FOLDER, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(draw(title, groups))


def write(one):
    """The charts of a scenario's results."""
    compared, open_loops = [], []
    for work in one["works"]:
        if over := figures.over_ringway(work):
            compared.append((heading(work), list(over.items())))
        if quantiles := figures.latencies(work):
            open_loops.append((work["title"], list(quantiles.items())))
    write_one(one["scenario"], "cpu", costs, f"{one['title']}: CPU and memory", compared)
    write_one(one["scenario"], "latency", latencies, f"{one['title']}: latency of open loops", open_loops)


def of_scenario(scenario):
    """The charts that there are: (what, path)."""
    kinds = (("cpu", "CPU and memory"), ("latency", "latency"))
    return [(what, path_of(scenario, kind)) for kind, what in kinds if os.path.exists(path_of(scenario, kind))]
