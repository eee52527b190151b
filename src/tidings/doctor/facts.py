"""What the checks judge: everything that can be known without changing anything, gathered once.

A fact that a machine seldom has (a full disk, a network file system, a clock that is wrong) comes through a parameter,
so that a test can have it.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from glob import iglob
from pathlib import Path
from typing import NamedTuple

import msgspec

from tidings.app import App
from tidings.brokers import connect
from tidings.clock import Clock, SystemClock
from tidings.doctor.carrier import Carrier, examined
from tidings.errors import TidingsError
from tidings.log.open import is_log
from tidings.log.postgres.inspection import ServerInspection, is_ours
from tidings.log.postgres.inspection import inspect as look
from tidings.log.sqlite.inspection import Inspection, inspect, path_of
from tidings.log.sqlite.sidecar import filesystem


class Usage(NamedTuple):
    """A disk, in bytes."""

    total: int
    used: int
    free: int


class File(msgspec.Struct, frozen=True):
    """A SQLite log, as a log or a broker: its place, and what is in it when it is there."""

    role: str  # log or broker
    path: Path
    is_link: bool
    mode: int | None  # of the file; None: there is none yet
    folder_mode: int | None  # None: there is no folder
    is_writable: bool
    filesystem: str | None
    free: int  # bytes on its disk
    total: int
    size: int = 0
    users: tuple[int, ...] = ()  # processes that have it open, as far as the system tells
    inside: Inspection | None = None


class Facts(msgspec.Struct, frozen=True):
    """Everything the checks may know."""

    app: App | None
    name: str | None  # module:attr
    trouble: TidingsError | None  # why there is no application
    url: str | None
    broker: str | None
    broker_trouble: TidingsError | None  # why it cannot be one
    carrier: Carrier | None  # what was seen of it
    files: tuple[File, ...]
    servers: tuple[ServerInspection, ...]  # logs in Postgres
    variables: Mapping[str, str]
    is_named: bool  # was the application or log named in the call, so that no variable is asked?
    configured: str | None  # what pyproject.toml names
    python: tuple[int, ...]
    now: float  # seconds since 1970 UTC


def gather(
    app: App | None = None,
    *,
    name: str | None = None,
    url: str | None = None,
    trouble: TidingsError | None = None,
    is_named: bool = True,
    configured: str | None = None,
    variables: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    mounts: Path = Path("/proc/self/mountinfo"),
) -> Facts:
    """Look at an application, or at the log or broker at `url`; blocks, so from a coroutine it is called in a thread.

    `trouble` is why there is no application, where that is what is wrong.
    """
    log, broker = (app.log_url, app.broker_url) if app is not None else _log_or_broker(url)
    paths = {"log": path_of(log), "broker": path_of(broker)}
    files = [_file(role, path, usage, mounts) for role, path in paths.items() if path is not None]
    servers = tuple(look(each, role) for each, role in _servers(log, broker).items())
    may_look = broker is None or not is_log(broker) or _is_sound(files, servers)
    return Facts(
        app=app,
        name=name,
        trouble=trouble,
        url=log,
        broker=broker,
        broker_trouble=asyncio.run(_refusal(broker)) if broker is not None else None,
        carrier=asyncio.run(examined(app, broker)) if may_look else None,
        files=tuple(files),
        servers=servers,
        variables=dict(variables),
        is_named=is_named,
        configured=configured,
        python=sys.version_info[:3],
        now=(clock or SystemClock()).now(),
    )


def _log_or_broker(url: str | None) -> tuple[str | None, str | None]:
    """Which of them a bare URL is."""
    return (url, None) if url is None or is_log(url) else (None, url)


def _servers(log: str | None, broker: str | None) -> dict[str, str]:
    """The logs in Postgres, and what each is used as; one that is both is looked at as the log."""
    roles = {"broker": broker, "log": log}
    return {url: role for role, url in roles.items() if url is not None and is_ours(url)}


def _is_sound(files: Sequence[File], servers: Sequence[ServerInspection]) -> bool:
    """May a log that is the bus be looked into as one? An older one would be brought up to date by that."""
    inside = [file.inside for file in files if file.role == "broker"]
    return all(
        each is not None and each.trouble is None and 0 < each.schema == each.known for each in (*inside, *servers)
    )


async def _refusal(url: str) -> TidingsError | None:
    """Make a broker of it and let it go: what is wrong with the address shows, and nobody is called."""
    try:
        broker = await connect(url)
    except TidingsError as error:
        return error
    await broker.close()
    return None


def _file(role: str, path: Path, usage: Callable[[Path], tuple[int, int, int]], mounts: Path) -> File:
    folder = path.parent
    has_folder, is_there = os.path.isdir(folder), os.path.isfile(path)  # which never fail, as Path's do without rights
    disk = Usage(*usage(folder)) if has_folder else Usage(0, 0, 0)
    return File(
        role=role,
        path=path,
        is_link=os.path.islink(path),
        mode=path.stat().st_mode if is_there else None,
        folder_mode=folder.stat().st_mode if has_folder else None,
        is_writable=has_folder and os.access(folder, os.W_OK) and (not is_there or os.access(path, os.W_OK)),
        filesystem=filesystem(folder, mounts) if has_folder else None,
        free=disk.free,
        total=disk.total,
        size=path.stat().st_size if is_there else 0,
        users=_users(path) if is_there else (),
        inside=inspect(path) if is_there else None,
    )


def _users(path: Path) -> tuple[int, ...]:
    """The processes of ours that have the file open, where the system tells (Linux)."""
    found = set()
    for each in iglob("/proc/[0-9]*/fd/*"):  # Path's own fails when a process ends meanwhile
        try:
            if os.readlink(each) == str(path):
                found.add(int(each.split("/")[2]))
        except OSError:  # it has ended, or is somebody else's
            continue
    return tuple(sorted(found - {os.getpid()}))
