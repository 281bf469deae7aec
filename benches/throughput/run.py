#!/usr/bin/env python3
"""Measures how many states of sites vigie loads in an hour, side by side with how much memory that takes.

A state is one visit that plays a scenario, in a profile of its own, sampled when the page was quiet: what other tools
call a page crawled. The fixture sites are served on loopback by the project's own server, which this program starts
and ends. Memory is the proportional set size (PSS) of the whole tree, browser included, at its highest.

    make build && cargo build --release --locked -p vigie-testkit --example serve
    python3 benches/throughput/run.py [--sites N] [--jobs 1,2,4]

Prints one line for each number of jobs, and ratios to 1,278 one-state pages an hour at 1.2 GiB, which is what
tracker-radar-collector reached with 4 workers on a machine of this size.
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER_STATES, PEER_GIB = 1278, 1.2


def tree(root):
    """Returns the process ids of a process and all its descendants."""
    children = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            parent = int(re.search(r"PPid:\s+(\d+)", status.read_text()).group(1))
        except (OSError, AttributeError):
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting.extend(children.get(process, []))
    return found


def pss_kib(process):
    try:
        text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(found.group(1)) if found else 0


class Watch(threading.Thread):
    """Samples the memory of a tree until told to stop."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.running, self.whole, self.own = root, True, 0, 0

    def run(self):
        while self.running:
            sizes = {process: pss_kib(process) for process in tree(self.root)}
            self.whole = max(self.whole, sum(sizes.values()))
            self.own = max(self.own, sizes.get(self.root, 0))
            time.sleep(0.5)


def measure(urls, jobs, address):
    with tempfile.TemporaryDirectory() as out:
        command = [
            ROOT / "target/release/vigie", "inspect", "--json", "--no-report", "--jobs", str(jobs), "--home", out,
            "--out", out, "--ignore-certificate-errors",
            f"--chromium-arg=--host-resolver-rules=MAP * {address}, EXCLUDE localhost", *urls,
        ]
        begun = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            watch = Watch(process.pid)
            watch.start()
            answers = [json.loads(line) for line in process.stdout]
            watch.running = False
        seconds = time.monotonic() - begun
        kept = sum(file.stat().st_size for file in pathlib.Path(out).glob("*.wacz"))
    states = sum(len(answer["visits"]) for answer in answers)
    return {
        "jobs": jobs, "sites": len(answers), "seconds": seconds, "states": states,
        "states_an_hour": states / seconds * 3600, "sites_an_hour": len(answers) / seconds * 3600,
        "tree_gib": watch.whole / 2**20, "own_mib": watch.own / 2**10, "bundle_kib": kept / max(len(answers), 1) / 2**10,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument("--jobs", default="1,2,4")
    arguments = parser.parse_args()
    folder = ROOT / "fixtures/sites"
    names = sorted(path.name for path in folder.iterdir() if (path / "site.json").exists())
    urls = [f"https://{name}.test/" for name in names[:: max(1, len(names) // arguments.sites)]][: arguments.sites]
    server = subprocess.Popen(
        [ROOT / "target/release/examples/serve", "--port=0", folder], stdout=subprocess.PIPE, text=True
    )
    try:
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group(0)
        print(f"{'jobs':>4} {'sites':>5} {'states':>6} {'s':>6} {'states/h':>9} {'sites/h':>8} {'tree GiB':>9} "
              f"{'own MiB':>8} {'bundle KiB':>10} {'states: ratio':>13} {'memory: ratio':>13}")
        for jobs in map(int, arguments.jobs.split(",")):
            one = measure(urls, jobs, address)
            print(f"{one['jobs']:>4} {one['sites']:>5} {one['states']:>6} {one['seconds']:>6.0f} "
                  f"{one['states_an_hour']:>9.0f} {one['sites_an_hour']:>8.0f} {one['tree_gib']:>9.2f} "
                  f"{one['own_mib']:>8.0f} {one['bundle_kib']:>10.0f} {one['states_an_hour'] / PEER_STATES:>13.2f} "
                  f"{one['tree_gib'] / PEER_GIB:>13.2f}", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
