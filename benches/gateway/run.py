#!/usr/bin/env python3
"""Measures what stands between a client and PostgreSQL: nothing, PgBouncer, the gateway. All in one run, in turns.

    python3 benches/gateway/run.py [--rounds 5] [--seconds 3] [--clients 1,8,32] [--gateway COMMAND | --gateway-address HOST:PORT]

The server, its database and PgBouncer are started here, as the user `postgres` when this is root, and ended again. Into
the database go the tables of pgbench and one of a million rows, both with a decision mask and with the subject's id.

The gateway is a command, run by a shell, in which these words are replaced: {port} that it shall listen on, {server_port}
of PostgreSQL, {database}, {user} and {password} that clients come with, {folder} that is removed afterwards. What has to be
done to the database before (roles, policies) is `--prepare COMMAND`, with the same words; {superuser} is who may. Or the
gateway runs already: `--gateway-address`, with `--gateway-pid` for its processor time.

Every figure is a median with its range over the rounds; ratios are medians of the ratios within each round, so that a
machine that is busy with something else is busy for all. Nothing here is over TLS unless `--authority FILE` says so, and
then it is so for the gateway only, and said.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from wire import Reader, Refused

SUPERUSER, USER, PASSWORD, DATABASE = "postgres", "bench_reader", "a password of the benchmark", "bench"
ACCOUNTS_SCALE = 20
BULK_ROWS = 1_000_000
BULK = "SELECT id, subject, kind, note, amount_minor, ts FROM bulk"
# What `pgbench -S` does, as a file: built-in scripts first count a table that readers have no right to.
SELECT_ONLY = pathlib.Path(__file__).with_name("select-only.sql")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Target:
    name: str
    port: int
    pid: int | None = None
    host: str = "127.0.0.1"
    user: str = USER
    password: str = PASSWORD
    purpose: str = ""
    authority: str = ""
    prepared: bool = True


def as_postgres(command):
    """Neither server runs as root."""
    drop = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"] if os.geteuid() == 0 else []
    return [*drop, *map(str, command)]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def programs():
    named = os.environ.get("VIGIE_POSTGRES_BIN")
    found = [pathlib.Path(named)] if named else sorted(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    if not found:
        sys.exit("bench: no PostgreSQL found; `sh scripts/setup.sh --services` installs it")
    return found[-1]


def wait_for(port, process, what):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"bench: {what} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"bench: {what} does not listen after 60 s")


class Started:
    """What was started, ended in reverse."""

    def __init__(self):
        self.running = []

    def add(self, command, port, what, **more):
        process = subprocess.Popen(command, start_new_session=True, **more)
        self.running.append(process)
        wait_for(port, process, what)
        return process

    def end(self):
        for process in reversed(self.running):
            if process.poll() is None:
                # Its own group, so that a shell's child ends too; PostgreSQL takes SIGINT for a fast shutdown.
                os.killpg(process.pid, 2)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, 9)
                    process.wait()


def start_postgres(folder, started, bin_folder):
    data, port = folder / "data", free_port()
    subprocess.run(
        as_postgres([bin_folder / "initdb", "-D", data, "-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "-N"]),
        check=True, stdout=subprocess.DEVNULL,
    )
    with open(data / "postgresql.conf", "a") as config:
        # Nothing of this is about writing; reading is what is measured, from memory.
        config.write(f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
                     "shared_buffers = 1GB\nmax_connections = 200\nfsync = off\nautovacuum = off\nmax_parallel_workers_per_gather = 0\n")
    access = data / "pg_hba.conf"
    access.write_text(f"host all {SUPERUSER} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    with open(folder / "postgres.log", "w") as log:
        started.add(as_postgres([bin_folder / "postgres", "-D", data]), port, "PostgreSQL", stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while subprocess.run([bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
        if time.monotonic() > deadline:
            sys.exit("bench: PostgreSQL is not ready after 60 s")
        time.sleep(0.05)
    return port


def run_sql(bin_folder, port, database, sql):
    subprocess.run(
        [bin_folder / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER, "-d", database, "-f", "-"],
        check=True, input=sql, text=True, stdout=subprocess.DEVNULL,
    )


def fill(bin_folder, port):
    run_sql(bin_folder, port, "postgres", f"CREATE DATABASE {DATABASE}; CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
    subprocess.run(
        [bin_folder / "pgbench", "-i", "-q", "-s", str(ACCOUNTS_SCALE), "-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER, DATABASE],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    run_sql(bin_folder, port, DATABASE, f"""
        ALTER TABLE pgbench_accounts ALTER aid TYPE bigint;
        ALTER TABLE pgbench_accounts ADD COLUMN pmask bigint NOT NULL DEFAULT 1;
        CREATE TABLE bulk AS SELECT n::bigint AS id, (n / 5)::bigint AS subject,
            (ARRAY['view', 'like', 'follow', 'purchase'])[1 + n % 4] AS kind, repeat(md5(n::text), 2) AS note,
            (n * 37 % 100000)::bigint AS amount_minor, TIMESTAMPTZ '2026-01-01' + n * interval '7 s' AS ts,
            1::bigint AS pmask
        FROM generate_series(1, {BULK_ROWS}) AS n;
        GRANT SELECT ON pgbench_accounts, bulk TO {USER};
        ALTER TABLE bulk ALTER pmask SET NOT NULL, ALTER subject SET NOT NULL;
        CREATE INDEX ON bulk (subject);
        VACUUM (FREEZE, ANALYZE) pgbench_accounts, bulk;
    """)


def start_pgbouncer(folder, started, mode, server_port):
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not os.path.exists(program):
        print("passed over: PgBouncer is not installed; `sh scripts/setup.sh --services` installs it", file=sys.stderr)
        return None
    port, users, config = free_port(), folder / "users.txt", folder / f"pgbouncer-{mode}.ini"
    users.write_text(f'"{USER}" "{PASSWORD}"\n')
    config.write_text(
        f"[databases]\n{DATABASE} = host=127.0.0.1 port={server_port} dbname={DATABASE}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {users}\npool_mode = {mode}\ndefault_pool_size = 64\nmax_client_conn = 200\n"
        "log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\nignore_startup_parameters = extra_float_digits,options\n"
    )
    with open(folder / f"pgbouncer-{mode}.log", "w") as log:
        process = started.add(as_postgres([program, config]), port, "PgBouncer", stdout=log, stderr=log)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    release = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
    # Prepared statements across transactions came with 1.21.
    return Target(f"PgBouncer {mode}", port, process.pid, prepared=mode == "session" or release >= (1, 21))


def start_gateway(arguments, words, started, folder):
    more = {"purpose": arguments.purpose, "authority": arguments.authority or ""}
    if arguments.gateway_user:
        more["user"] = arguments.gateway_user
    if os.environ.get("VIGIE_BENCH_PASSWORD"):
        more["password"] = os.environ["VIGIE_BENCH_PASSWORD"]
    if arguments.gateway_address:
        host, _, port = arguments.gateway_address.rpartition(":")
        return Target("gateway", int(port), arguments.gateway_pid, host=host, **more)
    if not arguments.gateway:
        return None
    with open(folder / "gateway.log", "w") as log:
        process = started.add(["sh", "-c", "exec " + filled(arguments.gateway, words)], words["port"], "the gateway", stdout=log, stderr=log)
    return Target("gateway", words["port"], process.pid, **more)


def filled(command, words):
    return re.sub(r"\{(\w+)\}", lambda found: shlex.quote(str(words[found.group(1)])), command)


def tps(bin_folder, target, mode, clients, seconds):
    environment = os.environ | {"PGPASSWORD": target.password, "PGSSLMODE": "disable"}
    if target.authority:
        environment |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": target.authority}
    if target.purpose:
        environment["PGOPTIONS"] = f"-c vigie.purpose={target.purpose}"
    # The time includes connecting, which on a busy machine may take all of it; then there is more time.
    for longer in (1, 3, 9):
        done = subprocess.run(
            [bin_folder / "pgbench", "-n", "-f", SELECT_ONLY, "-D", f"scale={ACCOUNTS_SCALE}", "-M", mode, "-c", str(clients), "-j", "1",
             "-T", str(seconds * longer), "-h", target.host, "-p", str(target.port), "-U", target.user, DATABASE],
            env=environment, capture_output=True, text=True,
        )
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
        failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
        if done.returncode or not failed or failed.group(1) != "0":
            break
        if found and float(found.group(1)) > 0:
            return float(found.group(1))
    sys.exit(f"bench: pgbench -M {mode} -c {clients} against {target.name}: {(done.stderr.strip() or done.stdout.strip())[-600:]}")


def tree(root):
    """Returns the process ids of a process and all its descendants."""
    children = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting.extend(children.get(process, []))
    return found


def cpu_s(pid):
    """Returns the processor time of a process and its descendants, all threads, user and system."""
    ticks = 0
    for process in tree(pid):
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def bulk(target):
    """Returns wall seconds and, of a proxy, processor seconds for all rows."""
    reader = Reader(target, DATABASE)
    before = cpu_s(target.pid) if target.pid else None
    seconds, n_rows, _ = reader.read(BULK)
    after = cpu_s(target.pid) if target.pid else None
    reader.close()
    if n_rows != BULK_ROWS:
        sys.exit(f"bench: {target.name} gave {n_rows} rows instead of {BULK_ROWS}")
    return seconds, None if before is None else after - before


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratio(ours, theirs):
    return statistics.median(one / other for one, other in zip(ours, theirs))


def machine(bin_folder):
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 2**20
    versions = [subprocess.run([program, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
                for program in (bin_folder / "postgres", shutil.which("pgbouncer")) if program]
    return f"{os.cpu_count()} cores ({model.group(1) if model else '?'}), {memory:.0f} GiB; {'; '.join(versions)}"


def transactions(arguments, bin_folder, targets, clients):
    print(f"\npgbench -S, transactions a second: median (range) of {arguments.rounds} rounds of {arguments.seconds} s")
    print(f"{'':24} {'':>3} {'tps':>26} {'of direct':>9} {'of PgBouncer':>12} {'added µs':>9}")
    measured = {}
    cells = [(mode, n) for mode in ("simple", "prepared") for n in clients]
    for turn in range(arguments.rounds):
        for mode, n in cells:
            able = [target for target in targets if mode == "simple" or target.prepared]
            for at in range(len(able)):
                target = able[(at + turn) % len(able)]
                measured.setdefault((mode, n, target.name), []).append(tps(bin_folder, target, mode, n, arguments.seconds))
    for mode, n in cells:
        for target in targets:
            values = measured.get((mode, n, target.name))
            if values is None:
                continue
            direct, bouncer = measured[mode, n, "direct"], measured.get((mode, n, "PgBouncer session"))
            beside = f"{ratio(values, bouncer):.2f}" if bouncer else "–"
            added = statistics.median(1e6 / one - 1e6 / other for one, other in zip(values, direct)) if n == 1 else None
            print(f"{mode + ' ' + target.name:24} {n:>3} {spread(values, 0):>26} {ratio(values, direct):>9.2f} {beside:>12} "
                  f"{'' if added is None else format(added, '.0f'):>9}", flush=True)
    return measured


def bulk_reads(arguments, targets):
    print(f"\n{BULK_ROWS:,} rows in binary, thrown away: median (range) of {arguments.rounds} rounds")
    print(f"{'':24} {'s':>26} {'of direct':>9} {'proxy CPU-s':>26}")
    measured = {}
    for turn in range(arguments.rounds):
        for at in range(len(targets)):
            target = targets[(at + turn) % len(targets)]
            measured.setdefault(target.name, []).append(bulk(target))
    for name, values in measured.items():
        walls, cpus = [wall for wall, _ in values], [cpu for _, cpu in values if cpu is not None]
        print(f"{name:24} {spread(walls, 3):>26} {ratio(walls, [wall for wall, _ in measured['direct']]):>9.2f} "
              f"{spread(cpus, 2) if cpus else '–':>26}", flush=True)
    return measured


def aims(transactions, bulk):
    """Says which aims the gateway keeps; what was not measured is not said."""
    print("\nAims of the gateway")
    lines = []
    for n, aim in ((8, 0.95), (32, 0.90)):
        for mode in ("simple", "prepared"):
            ours, theirs = transactions.get((mode, n, "gateway")), transactions.get((mode, n, "PgBouncer session"))
            if ours and theirs:
                lines.append((f"pgbench -M {mode} -c {n}: of PgBouncer's tps, at least", ratio(ours, theirs), aim, 1))
    if values := bulk.get("gateway"):
        lines.append(("bulk read: of direct, at most", ratio([wall for wall, _ in values], [wall for wall, _ in bulk["direct"]]), 1.10, -1))
        cpus = [cpu for _, cpu in values if cpu is not None]
        if cpus:
            lines.append(("bulk read: CPU-s, at most", statistics.median(cpus), 0.30, -1))
    for what, value, aim, sign in lines:
        print(f"{what} {aim:.2f}: {value:.2f} {'kept' if value * sign >= aim * sign else 'NOT KEPT'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--gateway", help="a command that starts it")
    parser.add_argument("--prepare", help="a command that makes the database ready for it")
    parser.add_argument("--gateway-address", help="where it listens already")
    parser.add_argument("--gateway-pid", type=int)
    parser.add_argument("--gateway-user", help="whom it knows the client as; the password is in VIGIE_BENCH_PASSWORD")
    parser.add_argument("--purpose", default="", help="what clients of the gateway set vigie.purpose to")
    parser.add_argument("--authority", help="a certificate in PEM: clients of the gateway speak TLS")
    parser.add_argument("--only", choices=["transactions", "bulk"])
    arguments = parser.parse_args()
    bin_folder, started = programs(), Started()
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = pathlib.Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        try:
            server_port = start_postgres(folder, started, bin_folder)
            fill(bin_folder, server_port)
            words = {"port": free_port(), "server_port": server_port, "database": DATABASE, "user": USER, "password": PASSWORD,
                     "folder": folder, "superuser": SUPERUSER}
            if arguments.prepare:
                subprocess.run(["sh", "-c", filled(arguments.prepare, words)], check=True)
                # What the policy took from everybody, the reader beside the gateway keeps: all rows, as they are.
                run_sql(bin_folder, words["server_port"], DATABASE,
                        f"GRANT CONNECT ON DATABASE {DATABASE} TO {USER}; GRANT USAGE ON SCHEMA public TO {USER}; "
                        f"ALTER ROLE {USER} BYPASSRLS")
            targets = [Target("direct", server_port), start_pgbouncer(folder, started, "session", server_port),
                       start_pgbouncer(folder, started, "transaction", server_port), start_gateway(arguments, words, started, folder)]
            targets = [target for target in targets if target]
            print(machine(bin_folder))
            print("load average before:", " ".join(format(load, ".1f") for load in os.getloadavg()))
            if arguments.authority:
                print("clients of the gateway speak TLS, the others do not")
            counted = transactions(arguments, bin_folder, targets, list(map(int, arguments.clients.split(",")))) if arguments.only != "bulk" else {}
            read = bulk_reads(arguments, targets) if arguments.only != "transactions" else {}
            if any(target.name == "gateway" for target in targets):
                aims(counted, read)
            print("\nload average after:", " ".join(format(load, ".1f") for load in os.getloadavg()))
        except Refused as refused:
            sys.exit(f"bench: {refused}")
        finally:
            started.end()


if __name__ == "__main__":
    main()
