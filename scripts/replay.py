#!/usr/bin/env python3
"""Replays a bundle in ReplayWeb.page, a WACZ player of other people's making, and looks whether the page is there.

    python3 scripts/replay.py evidence.wacz --picture replay.png

The player comes from npm (`npm pack`, kept below target/replay; nothing of it is in the program), and is served on
loopback beside the bundle. A Chromium that can resolve no name opens it: what it shows can only have come out of the
bundle. The archived page's longest run of text, or `--text`, has to be visible in the frame of the replay. Prints what
was seen as JSON; exit code 0 if the text is there, 1 if it is not.
"""

import argparse
import base64
import gzip
import html.parser
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLAYER = "replaywebpage@2.5.3"

# Frames within shadow trees within frames: the player has both. Only those below `/w/` show what was archived.
LOOK = """
(() => {
  const seen = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) walk(element.shadowRoot);
      if (element.tagName !== 'IFRAME' || !element.contentDocument) continue;
      const inside = element.contentDocument;
      const at = element.contentWindow.location.href;
      if (at.includes('/w/')) {
        const box = element.getBoundingClientRect();
        seen.push({at, text: inside.body ? inside.body.innerText : '', width: box.width, height: box.height});
      }
      walk(inside);
    }
  };
  walk(document);
  return seen;
})()
"""


class Text(html.parser.HTMLParser):
    """Collects what of a page is text, run by run."""

    def __init__(self):
        super().__init__()
        self.runs, self.silent = [], 0

    def handle_starttag(self, tag, attrs):
        self.silent += tag in ("script", "style", "title", "noscript", "template")

    def handle_endtag(self, tag):
        self.silent -= tag in ("script", "style", "title", "noscript", "template")

    def handle_data(self, data):
        if not self.silent:
            self.runs.append(" ".join(data.split()))


def page_of(bundle):
    """Returns the address of a bundle's first page, and the longest run of text of its archived answer."""
    with zipfile.ZipFile(bundle) as members:
        lines = members.read("pages/pages.jsonl").decode().splitlines()
        url = next(it["url"] for it in map(json.loads, lines) if "url" in it)
        warc = gzip.GzipFile(fileobj=io.BytesIO(members.read("archive/data.warc.gz")))
        while line := warc.readline():
            if not line.startswith(b"WARC/"):
                continue
            fields = {}
            while (line := warc.readline().strip()):
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            block = warc.read(int(fields["content-length"]))
            if fields["warc-type"] == "response" and fields["warc-target-uri"] == url:
                text = Text()
                text.feed(block.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))
                return url, max(text.runs, key=len, default="")
    return url, ""


def player(folder):
    """Fetches the player from npm, if it is not there, and returns where it is."""
    home = folder / PLAYER.replace("@", "-")
    if not (home / "package/sw.js").exists():
        home.mkdir(parents=True, exist_ok=True)
        name = subprocess.run(["npm", "pack", "--silent", PLAYER], cwd=home, check=True, stdout=subprocess.PIPE, text=True)
        with tarfile.open(home / name.stdout.split()[-1]) as archive:
            archive.extractall(home, filter="data")
    return home / "package"


def serve(home, bundle, url):
    """Serves the player and the bundle, with ranges, on a free port; returns the server."""
    page = f"""<!doctype html><meta charset=utf-8><title>replay</title><style>html,body{{margin:0;height:100%}}</style>
<script src=/ui.js></script>
<replay-web-page source=/bundle.wacz url="{url.replace('"', '%22')}" replayBase=/replay/ embed=default noCache
 style="display:block;height:100vh"></replay-web-page>"""
    files = {"/": (page.encode(), "text/html"), "/bundle.wacz": (bundle.read_bytes(), "application/wacz")}
    for at in ("/ui.js", "/replay/sw.js", "/replay/ui.js"):
        files[at] = ((home / at.rsplit("/", 1)[1]).read_bytes(), "text/javascript")
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.append(self.path)
            body, kind = files.get(self.path.partition("?")[0], (None, None))
            if body is None:
                self.send_error(404)
                return
            status, part = 200, body
            if wanted := self.headers.get("range", "").removeprefix("bytes="):
                first, _, last = wanted.partition("-")
                start = int(first) if first else len(body) - int(last)
                end = int(last) + 1 if first and last else len(body)
                status, part = 206, body[start:end]
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(part)))
            self.send_header("accept-ranges", "bytes")
            if status == 206:
                self.send_header("content-range", f"bytes {start}-{start + len(part) - 1}/{len(body)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked = asked
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Browser:
    """A Chromium on a pipe that only this program holds, with one page."""

    def __init__(self, program, profile):
        down, self.down = os.pipe()
        self.up, up = os.pipe()
        arguments = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                     "--no-first-run", "--remote-debugging-pipe", "--window-size=1280,900",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={profile}"]

        def hand_over():
            # By way of high numbers, so that neither end is overwritten by the other.
            high = [os.dup2(down, 103), os.dup2(up, 104)]
            for number, at in zip((3, 4), high):
                os.dup2(at, number)

        self.process = subprocess.Popen(arguments, preexec_fn=hand_over, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(down)
        os.close(up)
        self.rest, self.number, self.session, self.said = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Runtime.enable")

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.down, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.up, 1 << 16)
                if not more:
                    sys.exit("the browser is gone")
                self.rest += more
            one, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(one)
            if answer.get("method") == "Runtime.exceptionThrown":
                self.said.append(answer["params"]["exceptionDetails"].get("text", ""))
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]

    def close(self):
        os.close(self.down)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("bundle", type=pathlib.Path)
    arguments.add_argument("--text", help="what has to be visible; without it, the page's longest run of text")
    arguments.add_argument("--picture", type=pathlib.Path, help="where to keep a picture of the player")
    arguments.add_argument("--chromium", default=os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium")
    arguments.add_argument("--player", type=pathlib.Path, default=ROOT / "target/replay", help="where to keep the player")
    arguments.add_argument("--timeout", type=float, default=60, help="seconds to wait for the text")
    given = arguments.parse_args()

    url, longest = page_of(given.bundle)
    wanted = " ".join((given.text or longest).split())
    if not wanted:
        sys.exit(f"the page `{url}` has no text in its archived answer; name some with --text")
    server = serve(player(given.player), given.bundle, url)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(given.chromium, profile)
        try:
            browser.ask("Page.navigate", url=f"http://127.0.0.1:{server.server_port}/")
            found = None
            while not found and time.monotonic() - began < given.timeout:
                seen = browser.ask("Runtime.evaluate", expression=LOOK, returnByValue=True)["result"].get("value") or []
                found = next((it for it in seen if wanted in " ".join(it["text"].split()) and it["height"] > 0), None)
                time.sleep(0.25)
            took = time.monotonic() - began
            if given.picture:
                time.sleep(1)  # The text is there before the pictures are.
                given.picture.write_bytes(base64.b64decode(browser.ask("Page.captureScreenshot")["data"]))
        finally:
            browser.close()
    print(json.dumps({"player": PLAYER, "bundle": given.bundle.name, "page": url, "text": wanted, "found": bool(found),
                      "seconds": round(took, 1), "frames": [{**it, "text": it["text"][:200]} for it in seen],
                      "exceptions": browser.said, "asked": sorted(set(server.asked))}, indent=2, ensure_ascii=False))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
