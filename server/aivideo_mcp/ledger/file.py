"""The ledger's file: opened, checked, and set aside where it cannot be used. Blocks; runs in a worker thread."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from aivideo_mcp.ledger.store import Store
from aivideo_mcp.ledger.transactions import READING

logger = logging.getLogger(__name__)

_MARK: Final = 0x41494D43  # the application id of our files: "AIMC"
_TAILS: Final = ("-wal", "-shm")
_BUSY: Final = 10.0  # seconds to wait for another process's transaction


def open_store(file: Path, account: str) -> Store:
    """The ledger in a file, made if need be; a file that is damaged or not ours is set aside, and a new one begun.

    Raises:
        OSError, OperationalError: The file cannot be used, and it is not the file's fault.
    """
    if not file.exists():
        for tail in _TAILS:  # of a file that was deleted in use: they would garble the new one
            file.with_name(file.name + tail).unlink(missing_ok=True)
    file.touch(mode=0o600)
    try:
        return _opened(file, account)
    except OperationalError:
        raise
    except (DatabaseError, _NotOurs) as fault:
        aside = file.with_name(f"{file.stem}.corrupt-{time.time_ns()}{file.suffix}")
        file.rename(aside)
        for tail in _TAILS:
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + tail).rename(aside.with_name(aside.name + tail))
        reason = getattr(fault, "orig", fault)
        logger.error("the ledger could not be used (%s) and was set aside as %s; a new one begins", reason, aside)  # noqa: TRY400 - the reason is in the line
        file.touch(mode=0o600)
        return _opened(file, account)


def _opened(file: Path, account: str) -> Store:
    engine = _engine(file)
    try:
        _check(engine)
        return Store(engine, account)
    except BaseException:
        engine.dispose()
        raise


class _NotOurs(Exception):
    """The file is damaged, or another program's."""


def _check(engine: Engine) -> None:
    """Refuse a file that is damaged or not a ledger; mark a new one as ours.

    Raises:
        _NotOurs: It is one of those.
    """
    with engine.begin() as connection:
        told = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if told != "ok":
            raise _NotOurs(f"it is damaged: {told}")
        mark = connection.exec_driver_sql("PRAGMA application_id").scalar()
        if mark != _MARK:
            if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar():
                raise _NotOurs("it belongs to another program")
            connection.exec_driver_sql(f"PRAGMA application_id = {_MARK}")


def _engine(file: Path) -> Engine:
    address = URL.create("sqlite", database=str(file))
    engine = create_engine(address, connect_args={"timeout": _BUSY, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        connection.isolation_level = None  # transactions are ours: the driver begins them too late
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(READING, False)
        # A transaction that writes takes the lock first, so that what it reads is still true when it writes.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
