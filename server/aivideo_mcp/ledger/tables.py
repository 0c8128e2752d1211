"""The ledger's tables and how they came to be: SQLAlchemy Core, so that PostgreSQL can serve them too.

`generations` has a row for each intent, written before the create is sent. Stored: digests of the request, the
idempotency key, a fingerprint of the account, task id, credits, the last state seen, times, the saved file's path.
`codes` has one for each question that a user was asked in the chat: digests of the code and of the request, the price.
Not stored: the API key, prompts, pictures, addresses of videos.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateColumn

from aivideo_mcp.errors import LedgerUnavailable

metadata: Final = MetaData()

version = Table("ledger_version", metadata, Column("number", Integer, nullable=False))

generations = Table(
    "generations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("model", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("compared", String(400), nullable=False),
    Column("likeness", String(64), nullable=False),
    Column("idempotency_key", String(128), nullable=False),
    Column("holder", String(64), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("last_sent_at", Float),
    Column("task_id", String(200)),
    Column("credits", Integer),
    Column("status", String(40)),
    Column("seen_at", Float),
    Column("delivered_at", Float),
    Column("gone_at", Float),
    Column("file", String(4096)),
    Column("untold", Boolean, nullable=False, default=False),
    Column("media", String(400)),
    Column("media_likeness", String(64)),
    Column("lost_at", Float),
    Column("price", Integer),
    Column("refunded", Integer),
    UniqueConstraint("account", "idempotency_key"),
    UniqueConstraint("account", "task_id"),
    Index("generations_by_digest", "account", "digest"),
    sqlite_autoincrement=True,  # a number is never given out again
)

queries = Table(
    "queries",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("origin", String(400), nullable=False),
    Column("at", Float, nullable=False),
    Column("window", Float, nullable=False),
    Column("direct", Boolean, nullable=False),
    Index("queries_by_time", "origin", "at"),
)

quiet = Table(
    "quiet",
    metadata,
    Column("origin", String(400), primary_key=True),
    Column("noted_at", Float, nullable=False),
    Column("until", Float, nullable=False),
)

codes = Table(
    "codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account", String(64), nullable=False),
    Column("request", String(64), nullable=False),
    Column("price", Integer, nullable=False),
    Column("until", Float, nullable=False),
)


def _first(connection: Connection) -> None:
    metadata.create_all(connection, tables=[generations, queries, quiet])


def _second(connection: Connection) -> None:
    """What tells a create's task from another's, what the caps count, and queries that last as long as they must."""
    there = {column["name"] for column in inspect(connection).get_columns(generations.name)}
    for name in {"media", "media_likeness", "lost_at", "price", "refunded"} - there:  # a new ledger has them
        column = CreateColumn(generations.c[name]).compile(connection)
        connection.exec_driver_sql(f"ALTER TABLE {generations.name} ADD COLUMN {column}")
    queries.drop(connection)  # they count for a minute
    queries.create(connection)
    codes.create(connection)


MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (_first, _second)


def migrate(connection: Connection) -> None:
    """Bring the tables to this version's form, in the caller's transaction.

    Raises:
        LedgerUnavailable: They were made by a newer version.
    """
    if not inspect(connection).has_table(version.name):
        version.create(connection)
        connection.execute(insert(version).values(number=0))
    number = connection.execute(select(version.c.number)).scalar_one()
    if number > len(MIGRATIONS):
        raise LedgerUnavailable("The ledger was made by a newer version of aivideo-mcp; update this one.")
    for step in MIGRATIONS[number:]:
        step(connection)
    connection.execute(update(version).values(number=len(MIGRATIONS)))
