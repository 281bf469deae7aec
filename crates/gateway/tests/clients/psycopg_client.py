"""psycopg 3: what a person writes with it, step by step (see steps.py)."""

import logging

import psycopg
from steps import CA, DATABASE, HEAVY, HOST, LONG, PASSWORD, PORT, PURPOSE, USER, Again, failed, ok

notices = []
# When a pipeline ends by an error, psycopg may say so once more while it cleans up, depending on what has arrived by then.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def connect(**more):
    options = f"-c vigie.purpose={PURPOSE}" if PURPOSE else ""
    connection = psycopg.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, sslmode="verify-full", sslrootcert=CA,
        channel_binding="require", options=options, autocommit=True, connect_timeout=60, **more,
    )
    connection.add_notice_handler(lambda notice: notices.append(notice.sqlstate))
    return connection


def step(name):
    def run(what):
        try:
            ok(name, what())
        except psycopg.Error as error:
            failed(name, error.sqlstate or type(error).__name__)
            if not connection.closed:
                connection.rollback()
    return run


connection = connect()
ok("connect", {"tls": connection.pgconn.ssl_in_use, "password used": connection.pgconn.used_password})


@step("purpose")
def _():
    return connection.execute("SHOW vigie.purpose").fetchone()[0] == PURPOSE


@step("wrong password")
def _():
    connect_with = psycopg.conninfo.make_conninfo(
        host=HOST, port=PORT, user=USER, password="not the password", dbname=DATABASE, sslmode="verify-full",
        sslrootcert=CA, connect_timeout=60,
    )
    try:
        psycopg.connect(connect_with).close()
    except psycopg.OperationalError as error:
        return "refused" if "FATAL" in str(error) else str(error)
    return "let in"


@step("public rows")
def _():
    return connection.execute("SELECT code, name FROM countries WHERE code = 'FR'").fetchall()


@step("one person")
def _():
    return connection.execute("SELECT id, country, birth_year FROM users WHERE id = 2").fetchall()


@step("parameters")
def _():
    return connection.execute(
        "SELECT %s::bigint, %s::text, %s::bool, %s::float8, %s::bigint[], %s::timestamptz, %s::text",
        (2**40, "žluťoučký 👏", True, 1.5, [1, None, 3], "2026-06-30 23:59:59.999+00", None),
    ).fetchall()


@step("a person by parameter")
def _():
    return connection.execute("SELECT id, display_name, created_at FROM users WHERE id = %s", (2,)).fetchall()


@step("binary")
def _():
    cursor = connection.cursor(binary=True)
    return cursor.execute("SELECT id, birth_year, created_at, country FROM users WHERE id = %s", (2,)).fetchall()


@step("prepared and used again")
def _():
    rows = [
        connection.execute("SELECT id, country FROM users WHERE id = %s", (id,), prepare=True).fetchone()
        for id in (2, 2, 2)
    ]
    return rows


@step("server-side cursor")
def _():
    with connection.transaction(), connection.cursor(name="pages") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT id, country FROM users WHERE id <= 1000 ORDER BY id")
        ids = [row[0] for row in cursor]
        return {"rows": len(ids), "ordered": ids == sorted(ids)}


@step("pipeline")
def _():
    with connection.pipeline():
        cursors = [connection.execute("SELECT code FROM countries WHERE code = %s", (code,)) for code in ("AT", "BE", "CY")]
        person = connection.execute("SELECT id, country FROM users WHERE id = %s", (2,))
        return [cursor.fetchone()[0] for cursor in cursors] + [person.fetchone()]


@step("error in a pipeline")
def _():
    seen = []
    try:
        with connection.pipeline():
            connection.execute("SELECT code FROM countries WHERE code = %s", ("AT",))
            connection.execute("SELECT nothing FROM countries")
            connection.execute("SELECT code FROM countries WHERE code = %s", ("BE",))
    except psycopg.Error as error:
        seen.append(error.sqlstate)
    return seen + [connection.execute("SELECT 1").fetchone()[0]]


@step("copy")
def _():
    with connection.cursor().copy("COPY (SELECT id, country FROM users WHERE id <= 100 ORDER BY id) TO STDOUT") as copy:
        return len(b"".join(bytes(part) for part in copy).splitlines())


@step("copy of public rows")
def _():
    with connection.cursor().copy("COPY (SELECT code, name FROM countries ORDER BY code) TO STDOUT") as copy:
        copy.set_types(["text", "text"])
        return len(list(copy.rows()))


@step("rollback")
def _():
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT id, country FROM users WHERE id = 2")
    return connection.info.transaction_status.name


@step("an error and on")
def _():
    try:
        connection.execute("SELECT nothing FROM countries")
    except psycopg.Error as error:
        return [error.sqlstate, connection.execute("SELECT 1").fetchone()[0]]


@step("an error in a transaction")
def _():
    seen = []
    connection.execute("BEGIN")
    for statement in ("SELECT nothing FROM countries", "SELECT 1"):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            seen.append(error.sqlstate)
    seen.append(connection.info.transaction_status.name)
    connection.execute("ROLLBACK")
    return seen + [connection.info.transaction_status.name]


@step("savepoint")
def _():
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("SELECT nothing FROM countries")
        except psycopg.Error as error:
            state = error.sqlstate
        return [state, connection.execute("SELECT code FROM countries WHERE code = 'FR'").fetchone()[0]]


@step("cancel")
def _():
    with Again(connection.cancel):
        try:
            connection.execute(HEAVY)
        except psycopg.Error as error:
            state = error.sqlstate
    return [state, connection.execute("SELECT 1").fetchone()[0]]


@step("cancel, encrypted")
def _():
    with Again(connection.cancel_safe):
        try:
            connection.execute(HEAVY)
        except psycopg.Error as error:
            state = error.sqlstate
    return [state, connection.execute("SELECT 1").fetchone()[0]]


@step("many rows")
def _():
    rows = connection.execute(LONG).fetchall()
    return {"rows": len(rows), "columns": len(rows[0])}


@step("nulls")
def _():
    return connection.execute("SELECT id, subject, amount_minor FROM events WHERE subject = 2 ORDER BY id LIMIT 2").fetchall()


@step("unicode")
def _():
    return connection.execute("SELECT name FROM countries WHERE name = %s", ("Türkiye",)).fetchall()


@step("arrays")
def _():
    return connection.execute("SELECT code FROM countries WHERE code = ANY(%s) ORDER BY code", (["SE", "DK"],)).fetchall()


@step("times")
def _():
    return connection.execute("SELECT TIMESTAMPTZ '2026-06-30 23:59:59.999+00', DATE '2026-06-30'").fetchone()


@step("two statements at once")
def _():
    cursor = connection.execute("SELECT code FROM countries WHERE code = 'AT'; SELECT code FROM countries WHERE code = 'BE'")
    first = cursor.fetchall()
    return [first, cursor.nextset() and cursor.fetchall()]


@step("notice")
def _():
    notices.clear()
    connection.execute("ROLLBACK")
    return notices


@step("set and show")
def _():
    connection.execute("SET statement_timeout = '30s'")
    return connection.execute("SHOW statement_timeout").fetchone()[0]


@step("application name")
def _():
    connection.execute("SET application_name = 'a report'")
    return connection.execute("SHOW application_name").fetchone()[0]


@step("a write")
def _():
    return connection.execute("UPDATE users SET display_name = 'x' WHERE id = 2").rowcount


connection.close()
