"""What scripts/autobahn.sh does in Python 3: distributes cases, waits for programs, and reports.

    report.py split FOLDER JOBS                    FOLDER/cases into FOLDER/1/cases, ...
    report.py wait PORT PID                        until something listens, while the process runs
    report.py join SECONDS FOLDER PID...           until all have ended, with the progress; ends them after SECONDS
    report.py update PORT AGENT                    has a fuzzing server write its reports
    report.py report FOLDER AGENT PERMITTED        merges FOLDER/*/index.json, prints tables; 1 if a case is not as it should be
"""

import collections
import fnmatch
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import time

COLUMNS = ["OK", "INFORMATIONAL", "NON-STRICT", "FAILED", "UNIMPLEMENTED", "MISSING"]
TITLES = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Close",
    "9": "Limits and performance",
    "10": "Automatic fragmentation",
    "12": "Compression, payloads",
    "13": "Compression, parameters",
}
GOOD = {"OK", "INFORMATIONAL"}


def key(case):
    return [int(part) for part in case.split(".")]


def cost(case):
    """About how long a case takes, in seconds."""
    section, *_, last = key(case)
    if section in (12, 13):
        return 0.2 + (0.2 if last <= 7 else 2 if last >= 15 or last == 10 else 0.7)
    return {"9": 0.4, "6.4": 2}.get(case.rpartition(".")[0], 0.4 if section == 9 else 0.02)


def split(folder, jobs):
    cases = (folder / "cases").read_text().split()
    parts = [[] for _ in range(max(1, min(int(jobs), len(cases))))]
    loads = [0] * len(parts)
    for case in sorted(cases, key=cost, reverse=True):
        least = loads.index(min(loads))
        parts[least].append(case)
        loads[least] += cost(case)
    for number, part in enumerate(parts, 1):
        place = folder / str(number)
        place.mkdir()
        (place / "cases").write_text("\n".join(sorted(part, key=key)) + "\n")


def alive(pid):
    """Whether a process runs, which may be no child of this one, and wait for its parent."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait(port, pid):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            return 0
        except OSError:
            if not alive(pid):
                break
            time.sleep(0.05)
    return 1


def begun(folder):
    """How many cases have begun, by the suite's logs."""
    logs = folder.glob("[0-9]*/log")
    return sum(log.read_text(errors="replace").count("Running test case") for log in logs)


def join(seconds, folder, pids):
    total = len((folder / "cases").read_text().split())
    begin = time.monotonic()
    shown = begin
    while any(alive(pid) for pid in pids):
        now = time.monotonic()
        if now - begin > float(seconds):
            print(f"ended after {seconds} s, at case {begun(folder)} of {total}", file=sys.stderr)
            for pid in pids:
                if alive(pid):
                    os.kill(int(pid), signal.SIGTERM)
            return 1
        if now - shown > 30:
            shown = now
            print(f"{begun(folder)} of {total} cases after {now - begin:.0f} s", file=sys.stderr)
        time.sleep(0.1)
    (folder / "seconds").write_text(f"{time.monotonic() - begin:.0f}")
    return 0


def update(port, agent):
    with socket.create_connection(("127.0.0.1", int(port)), 10) as server:
        server.sendall(
            f"GET /updateReports?agent={agent} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        # It sends a close when the reports are there; it is answered, masked.
        while part := server.recv(65536):
            if part.endswith(b"\x88\x00") or b"\x88\x02" in part:
                server.sendall(b"\x88\x80\x00\x00\x00\x00")
                break
    return 0


def merge(folder, agent):
    """What all processes found, with the reports in one folder."""
    found = {}
    for index in folder.glob("[0-9]*/index.json"):
        for case, outcome in json.loads(index.read_text()).get(agent, {}).items():
            name = outcome["reportfile"]
            for file in (name, name.removesuffix("json") + "html"):
                shutil.move(index.parent / file, folder / file)
            found[case] = outcome
    ordered = {case: found[case] for case in sorted(found, key=key)}
    (folder / "index.json").write_text(json.dumps({agent: ordered}, indent=1) + "\n")
    return ordered


def why(folder, outcome):
    """The sentences of the suite about a case."""
    if "reportfile" not in outcome:
        return ""
    case = json.loads((folder / outcome["reportfile"]).read_text())
    text = [] if outcome["behavior"] in GOOD else [case["result"]]
    text += [] if outcome["behaviorClose"] in GOOD else [case["resultClose"]]
    return " ".join(text)


def last_lines(folder):
    """What the programs said last, where cases are missing."""
    for log in sorted(folder.glob("[0-9]*/*log")):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line]
        print(f"\n{log}:")
        for line in lines[-3:]:
            print(f"    {line[:200]}")


def report(folder, agent, permitted):
    cases = (folder / "cases").read_text().split()
    found = merge(folder, agent)
    allowed = [line.split() for line in pathlib.Path(permitted).read_text().splitlines()]
    absent = {"behavior": "MISSING", "behaviorClose": "MISSING", "remoteCloseCode": None, "duration": 0}
    sections = collections.defaultdict(collections.Counter)
    spent = collections.Counter()
    listed, bad = [], 0
    for case in sorted(cases, key=key):
        outcome = found.get(case, absent)
        behavior, close = outcome["behavior"], outcome["behaviorClose"]
        section = case.partition(".")[0]
        spent[section] += outcome["duration"] / 1000
        sections[section][behavior if behavior in COLUMNS else "FAILED"] += 1
        if behavior in GOOD and close in GOOD:
            continue
        ok = any(
            all(fnmatch.fnmatchcase(*pair) for pair in zip((agent, case, behavior, close.replace(" ", "-")), line))
            for line in allowed
        )
        bad += not ok
        code = outcome["remoteCloseCode"]
        listed.append((case, behavior, close, "-" if code is None else str(code), ok, why(folder, outcome)))
    print(f"\n{agent} as {folder.name}:\n")
    titles = [f"{section:>2} {TITLES.get(section, '')}" for section in sections]
    width = max(len(title) for title in [*titles, "all"])
    print(f"{'section':<{width}}  " + "  ".join(COLUMNS) + "  seconds")
    total = collections.Counter()
    for title, (section, counts) in zip(titles, sections.items()):
        total += counts
        row = "  ".join(f"{counts[column] or '-':>{len(column)}}" for column in COLUMNS)
        print(f"{title:<{width}}  {row}  {spent[section]:7.1f}")
    row = "  ".join(f"{total[column] or '-':>{len(column)}}" for column in COLUMNS)
    print(f"{'all':<{width}}  {row}  {sum(spent.values()):7.1f}")
    if listed:
        print("\ncase      behavior       close             code  permitted")
    for case, behavior, close, code, ok, text in listed:
        print(f"{case:<8}  {behavior:<13}  {close:<16}  {code:<4}  {'yes' if ok else 'no ':<9}  {text}".rstrip())
    if total["MISSING"]:
        last_lines(folder)
    seconds = (folder / "seconds").read_text() if (folder / "seconds").exists() else "?"
    print(f"\n{len(cases)} cases in {seconds} s, {bad} not as they should be; reports: {folder}")
    return 1 if bad else 0


def main(verb, *arguments):
    if verb == "split":
        split(pathlib.Path(arguments[0]), arguments[1])
        return 0
    if verb == "wait":
        return wait(*arguments)
    if verb == "join":
        return join(arguments[0], pathlib.Path(arguments[1]), arguments[2:])
    if verb == "update":
        return update(*arguments)
    return report(pathlib.Path(arguments[0]), *arguments[1:])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
