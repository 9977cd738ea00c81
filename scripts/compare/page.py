"""The page docs/benchmarks.md: a function of the results in target/compare and of the notes in the page.

What has no results keeps its section, its lines in the summary, and its charts. A section lies between
`<!-- section NAME -->` and `<!-- /section NAME -->`, its notes between `<!-- notes -->` and
`<!-- /notes -->`; a line of the summary begins with the name of its scenario.
"""

import os
import re
import statistics

import charts
import figures
import half_load
import results

PAGE = "docs/benchmarks.md"
HEAD = ["scenario", "workload", "Ringway", "Ringway / peer", "p50 / p99 / p99.9 at half load, us", "target", "measured", ""]

INTRODUCTION = """\
# Benchmarks

Written by `scripts/compare.sh`; only the notes are by hand. What a request costs in user space alone, in instructions,
is in [benchmarks-instructions.md](benchmarks-instructions.md).
"""

SUMMARY_HELP = """\
*Ringway* is its CPU time for one unit of the work, or the memory of a connection. *Ringway / peer* is the ratio of that
figure to each peer's: below 1, Ringway needs less. Latencies are Ringway's in an open loop, at half load unless the
workload names a rate; they are empty where none was measured. The sections have all figures of all servers.
"""

METHOD = """\
Ringway and its peers do the same work in one run, in turn, in several rounds (idle connections: one); medians. One
worker or thread each. The process under test has CPU 0, upstream and load (`benches/load/`) share CPU 1, all over
loopback. CPU is the run time of all threads of the process under test and its children, from their CPU clocks, in
nanoseconds; it includes the kernel's work on their behalf. Ratios are medians of the rounds' own ratios. *spread* is
the least and the most of the figure that the ratio is made of: it tells how noisy the machine was.
"""


def read():
    try:
        with open(PAGE, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def between(content, begin, end):
    """What lies between two markers, or None."""
    found = re.search(f"{re.escape(begin)}(.*?){re.escape(end)}", content, re.DOTALL)
    return found.group(1) if found else None


def section_of(content, name):
    return between(content, f"<!-- section {name} -->\n", f"<!-- /section {name} -->")


def summary_of(content, name):
    """The lines of a scenario in the summary of a page."""
    return [line for line in content.splitlines() if line.startswith(f"| {name} |")]


def unit_of(work, figure):
    """From the title of a column, such as `CPU, us/request`."""
    if figure == "memory":
        return "KiB/connection"
    return figures.title_of(work, "cpu").removeprefix("CPU, ")


def own_cost(work):
    main = figures.main_figure(work)
    if "ringway" not in work["results"]:
        return ""
    value = statistics.median(work["results"]["ringway"][main])
    return f"{figures.short(value)} {unit_of(work, main)}"


def ratios(work):
    over = figures.over_ringway(work)
    return ", ".join(f"{name} {1 / cost:.2f}" for name, cost in over.items() if name != "ringway")


def own_latencies(work):
    own = figures.latencies(work).get("ringway")
    if not own:
        return ""
    open_loop = figures.half_load_results(work) or work["results"]
    kept = "" if half_load.is_kept(open_loop["ringway"]) else " (rate not kept)"
    return " / ".join(figures.short(float(value)) for value in own) + kept


def target_cells(targets):
    """What is to be reached, what was measured, and whether it is reached, a line for each."""
    lines = [
        (f"{target.text.rpartition(': ')[2]}: {target.limit}", f"{target.value:.2f}", target.verdict())
        for target in targets
    ]
    return ["<br>".join(column) for column in zip(*lines)] or ["", "", ""]


def targets_of(one):
    return [figures.Target(**fields) for fields in one["targets"]]


def summary_lines(one):
    """The lines of a scenario in the summary: one for each work, and one for targets of several works."""
    targets = targets_of(one)
    lines = []
    for work in one["works"]:
        own = [target for target in targets if target.work == work["key"]]
        cells = [charts.heading(work), own_cost(work), ratios(work), own_latencies(work), *target_cells(own)]
        lines.append([one["scenario"], *cells])
    if shared := [target for target in targets if target.work is None]:
        lines.append([one["scenario"], "several of these", "", "", "", *target_cells(shared)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def work_lines(work):
    """A work: its title, what was found before, its table, and notes on its open loop."""
    lines = [f"### {work['title']}", ""]
    if "found" in work:
        lines += [work["found"], ""]
    lines.append(figures.table(work))
    if notes := " ".join(half_load.notes(work)):
        lines += ["", notes]
    return lines


def circumstances(one):
    """When, of what and on what machine a scenario was measured."""
    machine = one["machine"]
    return (
        f"Measured {one['date'][:10]}, commit `{one['revision']}`, in {one['seconds']:.0f} s: {machine['processor']}, "
        f"{machine['cpus']} CPUs, Linux {machine['kernel']}, TCP's congestion control {machine['congestion_control']}; "
        f"{one['options']['runs']} rounds, {one['extent']}. Peers: {'; '.join(one['peers'])}."
    )


def target_table(one):
    rows = [["what", "measured", "target", ""]]
    rows += [[target.text, f"{target.value:.2f}", target.limit, target.verdict()] for target in targets_of(one)]
    return figures.markdown(rows)


def section(one, notes):
    lines = [f"## {one['title']}", "", one["method"], "", circumstances(one), ""]
    if one["targets"]:
        lines += [target_table(one), ""]
    lines += [f"<!-- notes -->{notes or chr(10)}<!-- /notes -->", ""]
    for work in one["works"]:
        lines += [*work_lines(work), ""]
    return "\n".join(lines)


def chart_lines(scenarios):
    lines = []
    for name, scenario in scenarios.items():
        for what, path in charts.of_scenario(name):
            lines += [f"![{scenario.TITLE}: {what}]({os.path.relpath(path, os.path.dirname(PAGE))})", ""]
    return lines


def render(scenarios, found, before):
    """The page, from the results that there are and the page as it was."""
    summary, sections = [], []
    for name in scenarios:
        kept = section_of(before, name)
        if name in found:
            summary += summary_lines(found[name])
            kept = section(found[name], between(kept or "", "<!-- notes -->", "<!-- /notes -->"))
        else:
            summary += summary_of(before, name)
        if kept:
            sections += [f"<!-- section {name} -->\n{kept}<!-- /section {name} -->", ""]
    head = ["| " + " | ".join(HEAD) + " |", "| --- | --- | --- | --- | --- | --- | ---: | --- |"]
    return "\n".join(
        [INTRODUCTION, "## Summary", "", SUMMARY_HELP, *head, *summary, "", "## Charts", ""]
        + [*chart_lines(scenarios), "## Method", "", METHOD, half_load.METHOD, *sections]
    )


def write(scenarios):
    """Writes the page and the charts of all scenarios with results of a full run."""
    found = {name: one for name in scenarios if (one := results.read(name))}
    for one in found.values():
        charts.write(one)
    content = render(scenarios, found, read())
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(content)
    print(f"written: {PAGE}, with new figures of {', '.join(found) or 'no scenario'}")
