"""What the clients in Python share: where to connect, what heavy and long statements are, and how a step is reported.

A step is one line of JSON on stdout: its name, and either the value that was seen or the SQLSTATE of the error. The
same program is run directly against PostgreSQL and through the gateway, and the lines are compared.
"""

import datetime
import decimal
import json
import os
import threading

HOST = os.environ["VIGIE_HOST"]
PORT = int(os.environ["VIGIE_PORT"])
USER = os.environ["VIGIE_USER"]
PASSWORD = os.environ["VIGIE_PASSWORD"]
DATABASE = os.environ["VIGIE_DATABASE"]
CA = os.environ["VIGIE_CA"]
PURPOSE = os.environ.get("VIGIE_PURPOSE", "")

# Never ends by itself, needs no right but that of public reference data, and returns nothing.
HEAVY = (
    "SELECT a.code FROM countries a, countries b, countries c, countries d, countries e, countries f, countries g "
    "WHERE length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) + length(f.name) "
    "+ length(g.name) = 0"
)
LONG = "SELECT id, subject, kind, ts FROM events ORDER BY id LIMIT 20000"


def plain(value):
    """Returns a value as JSON can hold it, the same whatever type a driver chose."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str, dict)):
        return value
    return str(value)


def ok(name, value):
    print(json.dumps({"step": name, "value": plain(value)}, ensure_ascii=False), flush=True)


def failed(name, sqlstate):
    print(json.dumps({"step": name, "sqlstate": sqlstate}), flush=True)


class Again:
    """Does something again and again until told that it had its effect: a cancel that comes before its query is lost."""

    def __init__(self, what, every_s=0.1):
        self.what, self.every_s, self.over = what, every_s, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(self.every_s):
            try:
                self.what()
            except Exception:  # noqa: BLE001  (the next one may succeed; that none did shows in a step without an end)
                continue

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
