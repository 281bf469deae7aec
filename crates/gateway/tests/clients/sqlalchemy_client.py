"""SQLAlchemy over psycopg: the questions of its dialect at first connect, reflection, and its ORM (see steps.py)."""

import sqlalchemy
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from steps import CA, DATABASE, HOST, PASSWORD, PORT, PURPOSE, USER, failed, ok

options = {"options": f"-c vigie.purpose={PURPOSE}"} if PURPOSE else {}
url = sqlalchemy.URL.create(
    "postgresql+psycopg", username=USER, password=PASSWORD, host=HOST, port=PORT, database=DATABASE,
    query={"sslmode": "verify-full", "sslrootcert": CA, "channel_binding": "require", **options},
)
engine = create_engine(url, pool_size=2)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    country: Mapped[str]
    display_name: Mapped[str]


def step(name):
    def run(what):
        try:
            ok(name, what())
        except DBAPIError as error:
            failed(name, getattr(error.orig, "sqlstate", None) or type(error.orig).__name__)
        except sqlalchemy.exc.SQLAlchemyError as error:
            failed(name, type(error).__name__)
    return run


@step("connect")
def _():
    with engine.connect() as connection:
        return {"version": connection.dialect.server_version_info[0], "schema": connection.dialect.default_schema_name is not None}


@step("reflection: tables")
def _():
    seen = inspect(engine)
    names = set(seen.get_table_names()) | set(seen.get_view_names())
    return sorted(names & {"countries", "events", "messages", "payments", "users", "videos"})


@step("reflection: columns")
def _():
    return [f"{column['name']} {column['type']}" for column in inspect(engine).get_columns("countries")]


@step("reflection: a table with people")
def _():
    names = [column["name"] for column in inspect(engine).get_columns("users")]
    return [name for name in names if name in ("id", "country", "display_name")]


@step("reflection: keys and indexes answer")
def _():
    seen = inspect(engine)
    return [isinstance(found, (list, dict)) for found in (seen.get_pk_constraint("countries"), seen.get_indexes("countries"), seen.get_foreign_keys("countries"))]


@step("autoload")
def _():
    table = sqlalchemy.Table("countries", sqlalchemy.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(select(table.c.code, table.c.name).where(table.c.code.in_(["FR", "DE"])).order_by(table.c.code))]


@step("one person")
def _():
    with Session(engine) as session:
        user = session.get(User, 2)
        return user and [user.id, user.country, user.display_name]


@step("many people, in parts")
def _():
    with Session(engine) as session:
        found = session.scalars(select(User).where(User.id <= 1000).order_by(User.id).execution_options(yield_per=100))
        ids = [user.id for user in found]
        return {"rows": len(ids), "ordered": ids == sorted(ids)}


@step("an error and on")
def _():
    with engine.connect() as connection:
        try:
            connection.execute(text("SELECT nothing FROM countries"))
        except DBAPIError as error:
            connection.rollback()
            return [error.orig.sqlstate, connection.execute(text("SELECT 1")).scalar()]


@step("savepoint")
def _():
    with engine.begin() as connection:
        try:
            with connection.begin_nested():
                connection.execute(text("SELECT nothing FROM countries"))
        except DBAPIError as error:
            return [error.orig.sqlstate, connection.execute(text("SELECT code FROM countries WHERE code = 'FR'")).scalar()]


@step("a write")
def _():
    with Session(engine) as session:
        return session.execute(text("UPDATE users SET display_name = 'x' WHERE id = 2")).rowcount


@step("from the pool")
def _():
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar()


engine.dispose()
