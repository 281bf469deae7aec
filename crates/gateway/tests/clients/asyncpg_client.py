"""asyncpg: binary results, prepared statements, cursors, and its own reading of types (see steps.py)."""

import asyncio
import io
import ssl

import asyncpg
from steps import CA, DATABASE, HEAVY, HOST, LONG, PASSWORD, PORT, PURPOSE, USER, failed, ok


async def main():
    context = ssl.create_default_context(cafile=CA)
    settings = {"vigie.purpose": PURPOSE} if PURPOSE else {}
    connection = await asyncpg.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, ssl=context, server_settings=settings,
        timeout=60,
    )
    ok("connect", {"version": connection.get_server_version().major})

    async def step(name, what):
        try:
            ok(name, await what())
        except asyncpg.PostgresError as error:
            failed(name, error.sqlstate)
        except (asyncpg.InterfaceError, OSError) as error:
            failed(name, type(error).__name__)

    def rows(records):
        return [list(record) for record in records]

    async def purpose():
        return await connection.fetchval("SHOW vigie.purpose") == PURPOSE

    async def public_rows():
        return rows(await connection.fetch("SELECT code, name FROM countries WHERE code = 'FR'"))

    async def one_person():
        return rows(await connection.fetch("SELECT id, country, birth_year FROM users WHERE id = 2"))

    async def parameters():
        return list(await connection.fetchrow(
            "SELECT $1::bigint, $2::text, $3::bool, $4::float8, $5::bigint[], $6::text",
            2**40, "žluťoučký 👏", True, 1.5, [1, None, 3], None,
        ))

    async def by_parameter():
        return rows(await connection.fetch("SELECT id, display_name, created_at FROM users WHERE id = $1", 2))

    async def prepared():
        statement = await connection.prepare("SELECT id, country FROM users WHERE id = $1")
        names = [attribute.name for attribute in statement.get_attributes()]
        return [names] + [list(await statement.fetchrow(2)) for _ in range(3)]

    async def many_at_once():
        # One Bind and Execute for each, without waiting in between.
        await connection.executemany("SELECT code FROM countries WHERE code = $1", [("AT",), ("BE",), ("CY",)])
        return "done"

    async def cursor():
        async with connection.transaction():
            query = "SELECT id, country FROM users WHERE id <= $1 ORDER BY id"
            ids = [record["id"] async for record in connection.cursor(query, 1000, prefetch=100)]
            return {"rows": len(ids), "ordered": ids == sorted(ids)}

    async def cursor_by_hand():
        async with connection.transaction():
            found = await connection.cursor("SELECT code FROM countries ORDER BY code")
            first = await found.fetch(2)
            skipped = await found.forward(3)
            return [rows(first), skipped, rows(await found.fetch(1))]

    async def copy():
        out = io.BytesIO()
        await connection.copy_from_query("SELECT id, country FROM users WHERE id <= 100 ORDER BY id", output=out)
        return len(out.getvalue().splitlines())

    async def copy_public():
        out = io.BytesIO()
        await connection.copy_from_query("SELECT code, name FROM countries ORDER BY code", output=out, format="csv")
        return len(out.getvalue().splitlines())

    async def rollback():
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT id, country FROM users WHERE id = 2")
        await transaction.rollback()
        return connection.is_in_transaction()

    async def error_and_on():
        try:
            await connection.fetch("SELECT nothing FROM countries")
        except asyncpg.PostgresError as error:
            return [error.sqlstate, await connection.fetchval("SELECT 1")]

    async def savepoint():
        async with connection.transaction():
            try:
                async with connection.transaction():
                    await connection.fetch("SELECT nothing FROM countries")
            except asyncpg.PostgresError as error:
                state = error.sqlstate
            return [state, await connection.fetchval("SELECT code FROM countries WHERE code = 'FR'")]

    async def cancel():
        # A timeout makes asyncpg send a cancel request on a connection of its own.
        try:
            await connection.fetch(HEAVY, timeout=1)
        except asyncio.TimeoutError:
            return ["timeout", await connection.fetchval("SELECT 1")]

    async def many_rows():
        found = await connection.fetch(LONG)
        return {"rows": len(found), "columns": len(found[0])}

    async def nulls():
        return rows(await connection.fetch("SELECT id, subject, amount_minor FROM events WHERE subject = 2 ORDER BY id LIMIT 2"))

    async def unicode():
        return rows(await connection.fetch("SELECT name FROM countries WHERE name = $1", "Türkiye"))

    async def arrays():
        return rows(await connection.fetch("SELECT code FROM countries WHERE code = ANY($1) ORDER BY code", ["SE", "DK"]))

    async def two_statements():
        return await connection.execute(
            "SELECT code FROM countries WHERE code = 'AT'; SELECT code FROM countries WHERE code IN ('BE', 'CY')"
        )

    async def introspection():
        # Makes asyncpg ask the catalog about the type, by a long recursive query of its own.
        await connection.reload_schema_state()
        return await connection.fetchval("SELECT 'x'::information_schema.sql_identifier")

    async def notice():
        seen = []
        connection.add_log_listener(lambda _, message: seen.append(message.sqlstate))
        await connection.execute("ROLLBACK")
        await asyncio.sleep(0)
        return seen

    async def set_and_show():
        await connection.execute("SET statement_timeout = '30s'")
        return await connection.fetchval("SHOW statement_timeout")

    async def write():
        return await connection.execute("UPDATE users SET display_name = 'x' WHERE id = 2")

    async def reset():
        # What asyncpg's pool does before it gives a connection to somebody else.
        await connection.reset()
        return await connection.fetchval("SELECT 1")

    async def pool():
        # One connection, given to one after the other: what the first set is gone, the purpose is not.
        async with asyncpg.create_pool(
            host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, ssl=context, server_settings=settings,
            timeout=60, min_size=1, max_size=1,
        ) as connections:
            seen = []
            for _ in range(2):
                async with connections.acquire() as one:
                    seen.append([await one.fetchval("SHOW datestyle"), await one.fetchval("SHOW vigie.purpose") == PURPOSE])
                    seen += rows(await one.fetch("SELECT id, country FROM users WHERE id = 2"))
                    await one.execute("SET datestyle = 'SQL, DMY'")
            return seen

    for name, what in [
        ("purpose", purpose), ("public rows", public_rows), ("one person", one_person), ("parameters", parameters),
        ("a person by parameter", by_parameter), ("prepared and used again", prepared), ("many at once", many_at_once),
        ("server-side cursor", cursor), ("cursor by hand", cursor_by_hand), ("copy", copy),
        ("copy of public rows", copy_public), ("rollback", rollback), ("an error and on", error_and_on),
        ("savepoint", savepoint), ("cancel", cancel), ("many rows", many_rows), ("nulls", nulls), ("unicode", unicode),
        ("arrays", arrays), ("two statements at once", two_statements), ("introspection", introspection),
        ("notice", notice), ("set and show", set_and_show), ("a write", write), ("reset", reset), ("pool", pool),
    ]:
        await step(name, what)
    await connection.close()


asyncio.run(main())
