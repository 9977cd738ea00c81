"""Raw results of a scenario as JSON: all rounds' values, and what is needed to read them."""

import json
import os
import platform
import subprocess
import time

FOLDER = "target/compare"


def path_of(scenario, is_full):
    """Results of a part of a scenario lie beside those of its last full run."""
    return os.path.join(FOLDER, f"{scenario}.json" if is_full else f"{scenario}.partial.json")


def is_full(options):
    return options.only is None and options.most is None and not options.peers


def processor():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine():
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "congestion_control": os.environ["RINGWAY_CONGESTION"],
    }


def revision():
    """The commit that was measured; `-dirty` if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def of_work(key, work, results, half_load):
    """What a work's table and its lines in the summary and the charts are made of."""
    fields = {name: work[name] for name in ("title", "of", "found", "rate", "columns") if name in work}
    return {
        "key": key,
        **fields,
        "servers": list(results),
        "results": results,
        "half_load": half_load,
    }


def of_scenario(scenario, bench, works, seconds):
    return {
        "scenario": scenario.NAME,
        "title": scenario.TITLE,
        "is_full": is_full(bench.options),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": revision(),
        "machine": machine(),
        "options": vars(bench.options),
        "seconds": seconds,
        "peers": bench.peers(),
        "method": bench.method(),
        "extent": bench.extent(),
        "works": works,
        "targets": [],
    }


def write(one):
    """Writes results whole or not at all."""
    os.makedirs(FOLDER, exist_ok=True)
    path = path_of(one["scenario"], one["is_full"])
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(one, file, indent=1)
        file.write("\n")
    os.replace(f"{path}.new", path)
    return path


def read(scenario):
    """The results of a scenario's last full run, or None."""
    try:
        with open(path_of(scenario, True), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
