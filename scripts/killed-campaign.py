#!/usr/bin/env python3
"""Kills a campaign of real inspections again and again, and checks that in the end every site is there once.

The fixture sites are served on loopback under as many host names as there are sites, and inspected in a real Chromium
(scenario S0). The program is ended by SIGKILL at random moments and started again. With `--workers N` the sites are
shared by way of a NATS server: N workers and the coordinator are killed in turn. Everything that is started here is
ended here.

    make build && cargo build --release --locked -p vigie-testkit --example serve
    python3 scripts/killed-campaign.py                 # one machine, two jobs: about ten minutes
    python3 scripts/killed-campaign.py --workers 3     # NATS, a coordinator and three workers

Then it reads the campaign's database: every job finished, each with one result of its own, every finding's table filled,
and every bundle that a result names is there and verifies. Prints the figures; exit code 0 if all of that holds, else 1.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def lay_out(folder, n_sites):
    """Makes folders of sites, each a fixture under a name of its own, and returns their addresses."""
    fixtures = [it for it in sorted((ROOT / "fixtures/sites").iterdir())
                if (it / "index.html").exists() and not (it / "_hosts").exists()]
    urls = []
    for number in range(n_sites):
        name = f"site-{number:03}"
        shutil.copytree(fixtures[number % len(fixtures)], folder / name)
        urls.append(f"https://{name}.test/")
    return urls


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def finished(campaign):
    """Returns how many results are committed by now."""
    if not (campaign / "campaign.db").exists():
        return 0
    try:
        database = sqlite3.connect(f"file:{campaign}/campaign.db?mode=ro", uri=True, timeout=5)
        return database.execute("SELECT count(*) FROM results").fetchone()[0]
    except sqlite3.Error:
        return 0


def kill(process):
    """Kills one process at once; its browser ends with it, as the pipe between them breaks."""
    process.send_signal(signal.SIGKILL)
    process.wait()


class Runs:
    """One machine: the campaign itself is killed."""

    def __init__(self, arguments, common, folder):
        self.log = open(folder / "runner.log", "ab")
        self.command = [arguments.vigie, "campaign", "run", folder / "sites.txt", "--out", folder / "campaign",
                        "--home", folder / "home", "--jobs", str(arguments.jobs), "--pause", "0", *common]
        self.names = ["the program"]
        self.process = self.start()

    def start(self):
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=self.log)

    def kill_one(self, dice):
        kill(self.process)
        self.process = self.start()
        return self.names[0]

    def code(self):
        return self.process.poll()

    def end(self):
        if self.process.poll() is None:
            kill(self.process)


class Shared:
    """Many machines, so to say: a coordinator, workers and the queue between them."""

    def __init__(self, arguments, common, folder):
        port = free_port()
        self.log = open(folder / "shared.log", "ab")
        self.nats = subprocess.Popen(["nats-server", "-js", "-sd", folder / "nats", "-a", "127.0.0.1", "-p", str(port)],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        share = ["--queue", f"nats://127.0.0.1:{port}", "--store", f"file://{folder}/store"]
        self.commands = [[arguments.vigie, "campaign", "run", folder / "sites.txt", "--out", folder / "campaign", "--home",
                          folder / "home", "--pause", "0", "--jobs", str(3 * arguments.workers), *share, *common]]
        for number in range(arguments.workers):
            self.commands.append([arguments.vigie, "campaign", "work", "--jobs", "1", "--name", f"worker-{number}",
                                  "--home", folder / f"home-{number}", *share, *common])
        self.names = ["the coordinator", *(f"worker {number}" for number in range(arguments.workers))]
        self.n_kills = 0
        self.processes = [self.start(command) for command in self.commands]

    def start(self, command):
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)

    def kill_one(self, dice):
        # Everybody in turn, so that ten kills hit the coordinator and each worker.
        which = self.n_kills % len(self.processes)
        self.n_kills += 1
        kill(self.processes[which])
        self.processes[which] = self.start(self.commands[which])
        return self.names[which]

    def code(self):
        return self.processes[0].poll()

    def end(self):
        for process in [*self.processes, self.nats]:
            if process.poll() is None:
                kill(process)


def check(arguments, folder, n_sites):
    """Returns the figures, and what is wrong."""
    database = sqlite3.connect(f"file:{folder}/campaign/campaign.db?mode=ro", uri=True)
    one = lambda sql: database.execute(sql).fetchone()[0]
    wrong = []
    expect = lambda what, found, expected: found == expected or wrong.append(f"{what}: {found}, expected {expected}")
    expect("integrity", one("PRAGMA integrity_check"), "ok")
    expect("jobs", one("SELECT count(*) FROM jobs"), n_sites)
    expect("unfinished jobs", one("SELECT count(*) FROM jobs WHERE state NOT IN ('done', 'failed')"), 0)
    expect("results", one("SELECT count(*) FROM results"), n_sites)
    expect("different sites with a result", one("SELECT count(DISTINCT site) FROM results"), n_sites)
    expect("attempts that are not kept", one(
        "SELECT count(*) FROM jobs WHERE attempts <> (SELECT count(*) FROM attempts WHERE attempts.job = jobs.job)"), 0)
    expect("results with a rule twice", one(
        "SELECT count(*) FROM (SELECT 1 FROM findings GROUP BY job, rule HAVING count(*) > 1)"), 0)
    outcomes = dict(database.execute("SELECT outcome, count(*) FROM results GROUP BY outcome"))
    expect("sites inspected", outcomes.get("inspected", 0), n_sites)
    bundles = [row[0] for row in database.execute(
        "SELECT bundle FROM attempts JOIN jobs USING (job) WHERE attempt = jobs.attempts")]
    expect("results without a bundle", sum(bundle is None for bundle in bundles), 0)
    expect("different bundles", len(set(bundles)), n_sites)
    for bundle in filter(None, bundles):
        path = pathlib.Path(bundle.removeprefix("file://"))
        path = path if path.is_absolute() else folder / "campaign/bundles" / path
        said = subprocess.run([arguments.vigie, "verify", path, "--quiet"], capture_output=True, text=True)
        if said.returncode != 0:
            wrong.append(f"{path}: {said.stderr.strip() or 'does not verify'}")
    figures = {
        "results": one("SELECT count(*) FROM results"), "outcomes": outcomes,
        "attempts": one("SELECT count(*) FROM attempts"),
        "interruptions": one("SELECT sum(interruptions) FROM jobs"),
        "findings": one("SELECT count(*) FROM findings"),
        "bundles_verified": len(set(bundles)), "database_kib_a_site":
            round(sum(it.stat().st_size for it in (folder / "campaign").glob("campaign.db*")) / 1024 / n_sites, 1),
    }
    return figures, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="share the sites by NATS, with so many workers")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which it counts as stuck")
    parser.add_argument("--vigie", type=pathlib.Path, default=ROOT / "target/release/vigie")
    parser.add_argument("--server", type=pathlib.Path, default=ROOT / "target/release/examples/serve")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="vigie-killed-") as name:
        folder = pathlib.Path(name)
        urls = lay_out(folder / "sites", arguments.sites)
        (folder / "sites.txt").write_text("\n".join(urls) + "\n")
        server = subprocess.Popen([arguments.server, "--port=0", folder / "sites"], stdout=subprocess.PIPE, text=True)
        address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group(0)
        common = ["--scenarios", "S0", "--no-report", "--ignore-certificate-errors",
                  f"--chromium-arg=--host-resolver-rules=MAP * {address}, EXCLUDE localhost"]
        begun = time.monotonic()
        runs = (Shared if arguments.workers else Runs)(arguments, common, folder)
        # The kills fall evenly over the campaign, each at a random moment of its stretch.
        stretch = arguments.sites / (arguments.kills + 1)
        marks = [(number + dice.random()) * stretch for number in range(arguments.kills)]
        killed, seen = [], []
        try:
            while runs.code() is None:
                if time.monotonic() - begun > arguments.limit:
                    sys.exit(f"stuck: {finished(folder / 'campaign')} of {arguments.sites} after {arguments.limit} s")
                if len(killed) < len(marks) and finished(folder / "campaign") >= marks[len(killed)]:
                    time.sleep(dice.random() * 2)
                    if runs.code() is None:
                        killed.append(runs.kill_one(dice))
                        seen.append(finished(folder / "campaign"))
                time.sleep(0.1)
            code = runs.code()
        finally:
            runs.end()
            server.terminate()
            server.wait()
        seconds = time.monotonic() - begun
        figures, wrong = check(arguments, folder, arguments.sites)
        if code not in (0, 1):
            wrong.append(f"the campaign ended with exit code {code}")
        if len(killed) != arguments.kills:
            wrong.append(f"{len(killed)} kills, expected {arguments.kills}")
        if any(earlier > later for earlier, later in zip(seen, seen[1:])):
            wrong.append("a finished site was lost")
        left = sorted(it.name for it in (folder / "campaign/bundles").glob(".vigie-*"))
        figures.update(seconds=round(seconds), killed=dict(collections.Counter(killed)), finished_at_kills=seen,
                       folders_left=len(left))
        print(json.dumps(figures, indent=2))
        for line in wrong[:20]:
            print(f"wrong: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
