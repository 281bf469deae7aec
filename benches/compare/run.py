#!/usr/bin/env python3
"""Compares vigie with two other inspectors: time, memory, and what each of them answered.

All run in one go, on the same pages of `fixtures/sites`, with the same Chromium and the same arguments for it,
taking turns (A B C D, A B C D, ...), so that whatever else loads the machine falls on all of them. What a run prints
are ratios of medians, and beside them the answers and the truth of `expected.json`, since fast and wrong is no win.

Out of scope: the Criterion benchmarks of single functions (`cargo bench`), and whether answers are right on other
sites than these (`make corpus`).

Two memories are measured, and they are not alike. A tool's own peak is VmHWM of its processes that are not Chromium:
the kernel keeps that maximum, we read it every 50 ms, so only growth in the last 50 ms can be missed. The peak of the
whole tree is the largest sum of PSS over all of its processes, sampled every 200 ms, and may be missed between samples.

Exit codes: 0 within the limits; 1 a limit is not kept; 2 vigie could not be measured.
"""

import argparse
import dataclasses
import datetime
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SITES = ROOT / "fixtures" / "sites"
MODULES = HERE / "node_modules"

PAGES = ["two-equal-buttons", "no-refuse-first-layer", "refusal-ignored", "delayed-banner"]

# The limits that vigie is held to, each by its median on the worst page (wall) or its largest run (memory).
WALL_LIMIT_S = 10.0
OWN_PEAK_LIMIT_MIB = 60.0

# Every tool's Chromium gets these, behind the arguments that send it to the server of the fixture sites.
CHROMIUM_ARGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]

# No browser is downloaded by either peer; both are given the one that is here.
NO_DOWNLOADS = {"PUPPETEER_SKIP_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}

# The questions, in the order of the columns. None of a tool's answers means that it gave none.
QUESTIONS = {
    "banner": "banner seen",
    "refuse": "refusal on the first layer",
    "accept_clicks": "clicks to accept",
    "refuse_clicks": "clicks to refuse",
    "before": "trackers before a choice",
    "kept": "refusal kept",
}


class Failed(Exception):
    """A run that gave no answer, or a tool that cannot run here; says why."""


# ---------------------------------------------------------------------------------------------------------------------
# The tools


@dataclasses.dataclass
class Tool:
    """One competitor: how it is run, and how its answer is read.

    `command` gets the address and an empty folder; `answer` gets that folder, where `stdout` is a file, and returns
    values for QUESTIONS.
    """

    name: str
    command: object
    answer: object
    exit_codes: tuple = (0,)
    unavailable: str = ""
    runs: list = dataclasses.field(default_factory=list)

    def of(self, page):
        return [run for run in self.runs if run.page == page]

    def answered(self, page):
        return [run for run in self.of(page) if not run.failure]

    def median(self, page, what):
        values = [getattr(run, what) for run in self.answered(page)]
        return statistics.median(values) if values else None


@dataclasses.dataclass
class Run:
    page: str
    round: int
    wall_s: float
    own_peak_mib: float
    tree_peak_mib: float
    answers: dict
    failure: str = ""


def vigie(name, program, chromium, args, options):
    def command(url, folder):
        return [
            program, "inspect", url, *options, "--json", "--quiet", "--home", folder / "home",
            "--chromium", chromium, "--ignore-certificate-errors", *(f"--chromium-arg={argument}" for argument in args),
        ]  # fmt: skip

    def answer(folder):
        document = json.loads((folder / "stdout").read_text())
        if document["outcome"] != "inspected":
            raise Failed(f"outcome {document['outcome']}")
        first_layer, clicks = document.get("first_layer") or {}, document.get("clicks") or {}
        verdicts = {finding["rule"]: finding["verdict"] for finding in document["findings"]}
        at_rest = next(visit for visit in document["visits"] if visit["scenario"] == "S0")
        return {
            "banner": document["banner"]["seen"],
            "refuse": first_layer.get("refuse"),
            "accept_clicks": clicks.get("accept"),
            "refuse_clicks": clicks.get("refuse"),
            "before": bool(at_rest["trackers"]),
            # CK-25 is "refusal stops writes"; anything but these two verdicts is no answer.
            "kept": {"conform": True, "breach": False}.get(verdicts.get("CK-25")),
        }

    return Tool(name, command, answer, exit_codes=(0, 1))


def gdpr_cookie_scanner(name, node):
    def command(url, folder):
        program = MODULES / "@slashgear" / "gdpr-cookie-scanner" / "dist" / "cli.js"
        preload = HERE / "playwright-launch.mjs"
        return [node, "--import", preload, program, "scan", url, "--locale", "en-GB", "--format", "json",
                "--output", folder / "out"]  # fmt: skip

    def answer(folder):
        reports = list((folder / "out").rglob("*.json"))
        if len(reports) != 1:
            raise Failed("it wrote no report")
        document = json.loads(reports[0].read_text())
        unreached = [error for error in document["errors"] if "avigation timeout" in error]
        if unreached:
            raise Failed(unreached[0].splitlines()[0])
        modal = document["modal"]
        # A button that is not visible counts, since its own verdict counts it (`analyzers/compliance.js`).
        least = {
            kind: min((button["clickDepth"] for button in modal["buttons"] if button["type"] == kind), default=None)
            for kind in ("accept", "reject")
        }
        refused = least["reject"] is not None and not any("click reject" in error for error in document["errors"])
        after = document["cookiesAfterReject"] + document["networkAfterReject"]
        return {
            "banner": modal["detected"],
            "refuse": least["reject"] is not None if modal["detected"] else None,
            "accept_clicks": least["accept"],
            "refuse_clicks": least["reject"],
            "before": any(request["requiresConsent"] for request in document["networkBeforeInteraction"]),
            "kept": not any(entry["requiresConsent"] for entry in after) if refused else None,
        }

    return Tool(name, command, answer)


def blacklight(name, node):
    def command(url, folder):
        return [node, HERE / "blacklight.mjs", url, folder / "out"]

    def answer(folder):
        document = json.loads((folder / "out" / "inspection.json").read_text())
        # It looks for no banner and clicks nothing: what it sees is the page before a choice.
        return dict.fromkeys(QUESTIONS) | {"before": bool(document["reports"]["third_party_trackers"])}

    return Tool(name, command, answer)


def install_peers():
    """Installs the peers beside this file, and returns the Node.js that runs them.

    No lock file is read or written; the versions are pinned in package.json, and Node.js is one of them.
    """
    node = MODULES / "node" / "bin" / "node"
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    installed = all(
        (MODULES / package / "package.json").is_file()
        and json.loads((MODULES / package / "package.json").read_text())["version"] == version
        for package, version in packages.items()
    )
    if not installed:
        npm = shutil.which("npm")
        if npm is None:
            raise Failed("npm is not installed")
        say("installing the peers with npm")
        options = ["--no-package-lock", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run([npm, "install", *options], cwd=HERE, env=os.environ | NO_DOWNLOADS,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
        if done.returncode != 0:
            raise Failed(f"npm install failed: {last_line(done.stderr)}")
    if not node.is_file():
        raise Failed("npm installed no Node.js (the install script of its package `node` did not run)")
    return node


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


class Watch(threading.Thread):
    """Follows the memory of a process and of all that descend from it, until told to stop."""

    INTERVAL_S = 0.05
    TREE_EVERY = 4

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.done = root, threading.Event()
        # When each started is kept too, since the number of a process that ended may be given again.
        self.known = {root: None}
        self.own = {root: 0}
        self.tree_kib = 0

    def run(self):
        beat = 0
        while not self.done.wait(self.INTERVAL_S):
            self.own[self.root] = max(self.own[self.root], status_kib(self.root, "VmHWM:"))
            if beat % self.TREE_EVERY == 0:
                self.sample_tree()
            beat += 1

    def sample_tree(self):
        processes = all_processes()
        # A process stays known once its parent is gone, as a crash handler that made itself a daemon.
        self.known = {pid: begun for pid, begun in self.known.items() if is_still(processes, pid, begun)}
        while True:
            found = {
                pid: begun for pid, (parent, begun) in processes.items() if parent in self.known and pid not in self.known
            }
            if not found:
                break
            self.known |= found
        self.tree_kib = max(self.tree_kib, sum(pss_kib(pid) for pid in self.known))
        for pid in self.known.keys() - {self.root}:
            # A child looks like its parent until it has become Chromium, so the last look decides.
            browser = is_browser(pid)
            if browser:
                self.own.pop(pid, None)
            elif browser is False:
                self.own[pid] = status_kib(pid, "VmHWM:") or self.own.get(pid, 0)

    def stop(self):
        self.done.set()
        self.join()

    def own_peak_mib(self):
        return sum(self.own.values()) / 1024

    def tree_peak_mib(self):
        return self.tree_kib / 1024

    def end_what_is_left(self):
        """Ends processes that the tool started and left behind, so that they do not load the next run."""
        processes = all_processes()
        for pid, begun in self.known.items():
            if pid != self.root and is_still(processes, pid, begun) and is_browser(pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass


def all_processes():
    """Returns the parent and the time of starting, by process."""
    processes = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = read_text(f"/proc/{entry.name}/stat")
            if stat:
                # The name before the last parenthesis may contain anything.
                fields = stat.rpartition(")")[2].split()
                processes[int(entry.name)] = int(fields[1]), fields[19]
    return processes


def is_still(processes, pid, begun):
    return pid in processes and begun in (None, processes[pid][1])


def status_kib(pid, field):
    return kib_of(read_text(f"/proc/{pid}/status"), field)


def pss_kib(pid):
    return kib_of(read_text(f"/proc/{pid}/smaps_rollup"), "Pss:") or status_kib(pid, "VmRSS:")


def kib_of(text, field):
    line = next((line for line in text.splitlines() if line.startswith(field)), None)
    return int(line.split()[1]) if line else 0


def is_browser(pid):
    """Returns whether a process is one of Chromium's; None of a process that has ended."""
    try:
        return "chrom" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def measure(tool, page, round_, env, timeout_s, scratch):
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [str(part) for part in tool.command(f"https://{page}.test/", folder)]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=folder)
        watch = Watch(process.pid)
        watch.start()
        # `wait` with a timeout of its own polls; without, it returns at once.
        overdue = threading.Timer(timeout_s, process.kill)
        overdue.start()
        code = process.wait()
        wall_s = time.monotonic() - begin
        timed_out = not overdue.is_alive()
        overdue.cancel()
        watch.stop()
        watch.end_what_is_left()
    run = Run(page, round_, wall_s, watch.own_peak_mib(), watch.tree_peak_mib(), {})
    try:
        if timed_out:
            raise Failed(f"not done within {timeout_s} s")
        if code not in tool.exit_codes:
            raise Failed(f"exit code {code}: {last_line(read_text(folder / 'stderr'))}")
        run.answers = tool.answer(folder)
    except Failed as failure:
        run.failure = str(failure)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        run.failure = f"its answer cannot be read: {error!r}"
    shutil.rmtree(folder, ignore_errors=True)
    return run


# ---------------------------------------------------------------------------------------------------------------------
# The fixture sites


def truth_of(page):
    """Returns the answers to QUESTIONS that are true of a page."""
    expected = json.loads((SITES / page / "expected.json").read_text())
    first_layer = expected["first_layer"] or {}
    return {
        "banner": expected["banner"],
        "refuse": first_layer.get("refuse"),
        "accept_clicks": expected["clicks"]["accept"],
        "refuse_clicks": expected["clicks"]["refuse"],
        "before": bool(expected["trackers"]["S0"]),
        "kept": not expected["trackers"]["S1"] if expected["clicks"]["refuse"] is not None else None,
    }


def build_server():
    say("building the server of the fixture sites")
    subprocess.run(["cargo", "build", "--locked", "-p", "vigie-testkit", "--example", "serve"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return ROOT / target / "debug" / "examples" / "serve"


def start_server(program):
    """Returns the server's process and the two arguments that send a Chromium to it."""
    server = subprocess.Popen([program, SITES], stdout=subprocess.PIPE, text=True)
    return server, [json.loads(server.stdout.readline()) for _ in range(2)]


# ---------------------------------------------------------------------------------------------------------------------
# What is printed


def report(tools, pages, runs, machine):
    ours = [tool for tool in tools if tool.name.startswith("vigie")]
    peers = [tool for tool in tools if tool not in ours]
    truths = {page: truth_of(page) for page in pages}

    print(f"\n{machine}")
    print("Seconds are this machine's under that load. What carries over to another machine are the ratios.\n")
    for tool in tools:
        failures = [run for run in tool.runs if run.failure]
        if tool.unavailable:
            print(f"{tool.name} was not measured: {tool.unavailable}")
        elif failures:
            print(f"{tool.name}: {len(failures)} of {len(tool.runs)} runs failed, first: {failures[0].failure}")

    print(f"\nWall time, in seconds: median of {runs}\n")
    table(["page", *(tool.name for tool in tools)],
          [[page, *(number(tool.median(page, "wall_s"), 1) for tool in tools)] for page in pages])  # fmt: skip

    print("\nPeak memory, in MiB: largest of all runs\n")
    rows = []
    for tool in tools:
        done = [run for run in tool.runs if not run.failure]
        rows.append([tool.name, number(max((run.own_peak_mib for run in done), default=None), 0),
                     number(max((run.tree_peak_mib for run in done), default=None), 0)])  # fmt: skip
    table(["tool", "own processes (VmHWM)", "with Chromium (PSS)"], rows)

    pairs = [(peer, our) for our in ours for peer in peers]
    both = {(peer.name, our.name): [page for page in pages if our.answered(page) and peer.answered(page)]
            for peer, our in pairs}  # fmt: skip
    print("\nWall time, ratio of the peer's median to vigie's (above 1, vigie is faster); all pages: of the sums\n")
    rows = []
    for peer, our in pairs:
        done = both[peer.name, our.name]
        single = (ratio(peer, our, [page] if page in done else [], "wall_s") for page in pages)
        rows.append([f"{peer.name} / {our.name}", *single, ratio(peer, our, done, "wall_s")])
    table(["ratio", *pages, "all pages"], rows)

    print("\nPeak memory, ratio of the sums of medians over all pages (above 1, vigie needs less)\n")
    rows = []
    for peer, our in pairs:
        done = both[peer.name, our.name]
        rows.append([f"{peer.name} / {our.name}", *(ratio(peer, our, done, what) for what in
                     ("own_peak_mib", "tree_peak_mib"))])  # fmt: skip
    table(["ratio", "own processes", "with Chromium"], rows)

    print("\nLimits\n")
    rows, kept = [], True
    for our in ours:
        walls = [our.median(page, "wall_s") for page in pages if our.answered(page)]
        peaks = [run.own_peak_mib for run in our.runs if not run.failure]
        for what, value, limit, unit in (
            ("wall time, median on the slowest page", max(walls, default=None), WALL_LIMIT_S, "s"),
            ("own peak memory, largest run", max(peaks, default=None), OWN_PEAK_LIMIT_MIB, "MiB"),
        ):
            within = value is not None and value <= limit
            kept &= within
            rows.append([our.name, what, f"{number(value, 1)} {unit}", f"{limit:.0f} {unit}", "kept" if within else "NOT KEPT"])
    table(["tool", "what", "measured", "limit", ""], rows)

    print("\nAnswers beside the truth of expected.json (– is no answer, ✗ a wrong one)\n")
    rows = []
    for page in pages:
        rows.append([page, "truth", *(word(truths[page][question]) for question in QUESTIONS)])
        for tool in tools:
            rows.append(["", tool.name, *(cell(tool, page, question, truths[page][question]) for question in QUESTIONS)])
    table(["page", "who", *QUESTIONS.values()], rows)

    print("\nAnswers, counted over pages and questions; right means right in every run\n")
    rows = []
    for tool in tools:
        judged = [judge(tool, page, question, truths[page][question]) for page in pages for question in QUESTIONS]
        rows.append([tool.name, *(str(judged.count(verdict)) for verdict in ("right", "wrong", "none"))])
    table(["tool", "right", "wrong", "not answered"], rows)
    return kept


def values_of(tool, page, question):
    """Returns the distinct answers over all runs; a run that failed answers nothing."""
    return sorted({None if run.failure else run.answers.get(question) for run in tool.of(page)} or {None}, key=str)


def judge(tool, page, question, truth):
    """Returns `right` if every run told the truth, `wrong` if one told something else, and else `none`."""
    values = values_of(tool, page, question)
    if any(value is not None and value != truth for value in values):
        return "wrong"
    return "none" if None in values else "right"


def cell(tool, page, question, truth):
    words = " or ".join(word(value) for value in values_of(tool, page, question))
    return f"{words} ✗" if judge(tool, page, question, truth) == "wrong" else words


def word(value):
    return {None: "–", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def number(value, digits):
    return "–" if value is None else f"{value:.{digits}f}"


def ratio(peer, our, pages, what):
    if not pages:
        return "–"
    return f"{sum(peer.median(page, what) for page in pages) / sum(our.median(page, what) for page in pages):.2f}"


def table(head, rows):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |")


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine_line(chromium, program):
    version = subprocess.run([chromium, "--version"], capture_output=True, text=True).stdout.split(" built")[0].strip()
    ours = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    memory_gib = kib_of(read_text("/proc/meminfo"), "MemTotal:") / 1024**2
    return f"{datetime.date.today()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB of memory, {version}, {ours}"


# ---------------------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--vigie", type=Path, default=ROOT / "target" / "release" / "vigie", help="the program to measure")
    parser.add_argument("--server", type=Path, help="the built example `serve` of vigie-testkit [default: builds it]")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="[default: the first on the search path]")
    parser.add_argument("--pages", default=",".join(PAGES), help="folders of fixtures/sites [default: %(default)s]")
    parser.add_argument("--runs", type=int, default=3, help="[default: %(default)s]")
    parser.add_argument("--timeout", type=float, default=120, help="seconds that one run may take [default: %(default)s]")
    parser.add_argument("--json", type=Path, help="also write every single run there")
    options = parser.parse_args()
    pages = options.pages.split(",")
    if not options.chromium or not options.vigie.is_file():
        say("there is no Chromium on the search path, or no built vigie (`make build`)")
        return 2

    with tempfile.TemporaryDirectory(prefix="vc-") as scratch:
        # A copy, so that a build meanwhile does not put another program into the same comparison.
        program = Path(scratch) / "vigie"
        shutil.copy2(options.vigie, program)
        try:
            node, unavailable = install_peers(), ""
        except Failed as failure:
            node, unavailable = "node", str(failure)
        server, to_server = start_server(options.server or build_server())
        try:
            args = [*to_server, *CHROMIUM_ARGS]
            tools = [
                vigie("vigie S0-S3", program, options.chromium, args, ["--scenarios", "S0,S1,S2,S3", "--no-report"]),
                vigie("vigie default", program, options.chromium, args, []),
                gdpr_cookie_scanner("gdpr-cookie-scanner", node),
                blacklight("blacklight-collector", node),
            ]
            for tool in tools[2:]:
                tool.unavailable = unavailable
            env = os.environ | NO_DOWNLOADS | {"COMPARE_CHROMIUM": options.chromium, "COMPARE_ARGS": json.dumps(args)}
            load = [f"{os.getloadavg()[0]:.1f}"]
            for round_ in range(1, options.runs + 1):
                for page in pages:
                    for tool in tools:
                        if not tool.unavailable:
                            run = measure(tool, page, round_, env, options.timeout, scratch)
                            tool.runs.append(run)
                            say(f"{round_}/{options.runs} {page}: {tool.name} {run.wall_s:.1f} s {run.failure}")
                load.append(f"{os.getloadavg()[0]:.1f}")
        finally:
            server.terminate()
            server.wait()
        machine = f"{machine_line(options.chromium, program)}\nload average before and after each round: {', '.join(load)}"

    if options.json:
        runs = {tool.name: [dataclasses.asdict(run) for run in tool.runs] for tool in tools}
        options.json.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")
    kept = report(tools, pages, options.runs, machine)
    if not all(tool.answered(page) for tool in tools[:2] for page in pages):
        return 2
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
