"""A million records of Parquet handed over with three in ten refused, beside DuckDB doing the bare anti-join and write.

    python3 benches/transfers/run.py VIGIE DATABASE [RECORDS]

DATABASE is an empty database of a PostgreSQL on this machine, as psql takes it ("host=127.0.0.1 dbname=bench user=postgres").
Needs DuckDB for Python and psql. Both read the same file and write Snappy Parquet to the same disk, one after the other,
in turns; the price of accounting is told apart, by what the program says of itself.
"""
import json, os, pathlib, resource, subprocess, sys, tempfile, time
import duckdb

vigie, database = os.path.abspath(sys.argv[1]), sys.argv[2]
records = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
MAP = '''schema = "data-map/1"
name = "bench"
subject_type = "bigint"
[[purpose]]
name = "advertising"
term = "dpv:PersonalisedAdvertising"
bit = 0
basis = "consent"
'''
FLOWS = '''schema = "flows/1"
controller = "Bench"
[operator]
ledger = "ledger"
vault = "vault"
secret = "secret"
state = "state"
orders = "orders"
[[flow]]
name = "ads"
recipient = "parent.example"
role = "controller"
purpose = "advertising"
basis = "consent"
schedule = "once"
residency = "US"
subject = "id"
[flow.source]
format = "parquet"
path = "users.parquet"
[flow.destination]
format = "parquet"
to = "out"
[[flow.field]]
name = "id"
type = "integer"
[[flow.field]]
name = "country"
[[flow.field]]
name = "phone"
'''


def psql(sql):
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql], check=True)


with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
    folder = pathlib.Path(folder)
    (folder / "map.toml").write_text(MAP)
    (folder / "flows.toml").write_text(FLOWS)
    (folder / "secret").write_text("07" * 32)
    (folder / "orders").mkdir()
    environment = dict(os.environ, VIGIE_DATABASE=database, VIGIE_FLOWS="flows.toml", VIGIE_MAP="map.toml", VIGIE_HOME=str(folder))

    def run(*arguments):
        done = subprocess.run([vigie, *arguments], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
        return done.stdout

    duck = duckdb.connect()
    source, refused = folder / "users.parquet", folder / "refused.parquet"
    duck.sql(f"""COPY (SELECT i AS id, CASE i % 2 WHEN 0 THEN 'FR' ELSE 'DE' END AS country, printf('+33 %09d', i) AS phone
                 FROM range(1, {records + 1}) t(i)) TO '{source}' (FORMAT parquet)""")
    duck.sql(f"COPY (SELECT i AS id FROM range(1, {records + 1}) t(i) WHERE i % 10 < 3) TO '{refused}' (FORMAT parquet)")
    run("choices", "install", "map.toml")
    run("ledger", "init", "ledger", "--origin", "bench.example/transfers-out", "-q")
    psql(f"""INSERT INTO vigie.choice (subject, purpose, recipient, state, decided_at, method)
             SELECT i, 0, 'parent.example', CASE WHEN i % 10 < 3 THEN 'refused' ELSE 'given' END, now(), 'bench'
             FROM generate_series(1, {records}) i; ANALYZE vigie.choice""")
    ducks, ours, said = [], [], None
    for _ in range(3):
        began = time.perf_counter()
        duck.sql(f"""COPY (SELECT * FROM '{source}' u WHERE NOT EXISTS (FROM '{refused}' r WHERE r.id = u.id))
                     TO '{folder / "duck.parquet"}' (FORMAT parquet, COMPRESSION snappy)""")
        os.sync()
        ducks.append(time.perf_counter() - began)
        began = time.perf_counter()
        said = json.loads(run("transfer", "run", "ads", "--json"))
        ours.append(time.perf_counter() - began)
    left = duck.sql(f"SELECT count(*), count(DISTINCT id), min(id % 10) FROM '{folder}/out/ads-{said['run']}-*.parquet'").fetchone()
    bare = duck.sql(f"SELECT count(*) FROM '{folder / 'duck.parquet'}'").fetchone()[0]
    assert left == (bare, bare, 3) and said["records"] == bare and said["read"] == records, (left, bare, said)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    spent = {name: value / 1000 for name, value in said["spent_ms"].items()}
    accounting = spent["committing"] + spent["logging"]
    print(f"{records} records, {bare} left, {records - bare} refused; exact")
    print(f"DuckDB {min(ducks):.2f} s; vigie {min(ours):.2f} s, {min(ours) / min(ducks):.1f} times as long; at most {memory:.0f} MiB")
    print(f"of the last run {accounting:.2f} s were accounting (commitments {spent['committing']:.2f}, ledger, vault and receipts {spent['logging']:.2f}),")
    print(f"choices {spent['choosing']:.2f}, reading {spent['reading']:.2f}, encoding {spent['encoding']:.2f}, delivering {spent['delivering']:.2f}")
