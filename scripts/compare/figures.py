"""Figures of works: medians, ratios to peers, tables, targets."""

import statistics
from typing import NamedTuple

# Figures in the order of a table's columns, with the titles of those that are the same in all works.
COLUMNS = {
    "throughput": None,
    "cpu": None,
    "lost": "lost in all rounds",
    "user": "of it user, %",
    "rss": "peak RSS, MiB",
    "p50": "p50, us",
    "p99": "p99, us",
    "p99.9": "p99.9, us",
    "mean": "mean, us",
    "lateness": "lateness at p99, us",
    "first": "to the first, us",
    "last": "to the last, ms",
    "bytes": "bytes of a message",
    "core": "core under test, %",
    "others": "core of the load, %",
    "memory": "KiB resident per connection",
    "resident": "resident, MiB",
}
QUANTILES = ("p50", "p99", "p99.9")


class Target(NamedTuple):
    """A bound for a figure. `work` is the key of the work, or None if it is for several."""

    work: str | None
    text: str
    value: float
    limit: str
    is_reached: bool

    def verdict(self):
        return "reached" if self.is_reached else "**missed**"


def at_most(work, text, value, limit):
    return Target(work, text, value, f"at most {limit}", value <= limit)


def at_least(work, text, value, limit):
    return Target(work, text, value, f"at least {limit}", value >= limit)


def is_ringway(name):
    return name.startswith("ringway")


def summary(results, name, figure):
    """One value for all rounds: the median, or the sum of what was lost."""
    values = results[name][figure]
    return sum(values) if figure == "lost" else statistics.median(values)


def ratio(results, figure, over, of="ringway"):
    """Ringway over another: the median of the rounds' own ratios, which share their noise."""
    own, other = results[of][figure], results[over][figure]
    return statistics.median(a / b for a, b in zip(own, other))


def grown(figures, size):
    """The cost at a size over that at the smallest: the median of the rounds' own ratios."""
    smallest = next(iter(figures.values()))
    return statistics.median(one / least for one, least in zip(figures[size], smallest))


def short(value):
    """Three digits, never as a power of ten."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def markdown(rows):
    """A table. The first row is its head; all columns but the first are aligned to the right."""
    head, *rest = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rest]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main_figure(work):
    """The figure that servers are compared by."""
    if "of" in work:
        return next(reversed(next(iter(work["results"].values()))))
    first = next(iter(work["results"].values()))
    return "memory" if "memory" in first else "cpu"


def title_of(work, figure):
    return work["columns"].get(figure) or COLUMNS[figure]


def table(work):
    """The table of a work."""
    return markdown(size_rows(work) if "of" in work else server_rows(work))


def size_rows(work):
    """Two lines for each server: the cost at each size, and its ratio to the smallest."""
    sizes = list(next(iter(work["results"].values())))
    rows = [[work["of"], *(f"{int(size):,}" for size in sizes)]]
    for name, figures in work["results"].items():
        rows.append([f"{name}, us", *(short(statistics.median(figures[size])) for size in sizes)])
        rows.append([f"{name}, ratio", *(f"{grown(figures, size):.2f}" for size in sizes)])
    return rows


def server_rows(work):
    """A line for each server, with all figures."""
    results, main = work["results"], main_figure(work)
    found = next(iter(results.values()))
    figures = [figure for figure in COLUMNS if figure in found]
    halves = half_load_results(work)
    titles = [title_of(work, figure) for figure in figures]
    titles += [f"{quantile} at half load, us" for quantile in QUANTILES if halves]
    rows = [["", *titles, f"{'CPU' if main == 'cpu' else main}: Ringway / this", "spread"]]
    for name in results:
        cells = [short(summary(results, name, figure)) for figure in figures]
        cells += [half_load_cell(halves, name, quantile) for quantile in QUANTILES if halves]
        over = f"{ratio(results, main, name):.2f}" if "ringway" in results else ""
        all_values = results[name][main]
        rows.append([name, *cells, over, f"{short(min(all_values))} to {short(max(all_values))}"])
    return rows


def half_load_results(work):
    return work["half_load"]["results"] if work.get("half_load") else {}


def half_load_cell(halves, name, quantile):
    return short(summary(halves, name, quantile)) if name in halves else ""


def latencies(work):
    """{server: [p50, p99, p99.9]} in us of a work's open loop, if it has one."""
    results = half_load_results(work) or work["results"]
    return {
        name: [summary(results, name, quantile) for quantile in QUANTILES]
        for name in results
        if all(quantile in results[name] for quantile in QUANTILES)
    }


def over_ringway(work):
    """{server: its main figure over Ringway's}, of Ringway and all peers."""
    if "ringway" not in work["results"]:
        return {}
    main = main_figure(work)
    names = [name for name in work["results"] if name == "ringway" or not is_ringway(name)]
    return {name: 1 / ratio(work["results"], main, name) for name in names}
