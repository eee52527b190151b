"""What is in a folder: its files as they are now, and which of them are not as they were."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import NamedTuple


class Version(NamedTuple):
    """What tells two contents of a file apart: its time of change in nanoseconds, and its size."""

    modified: int
    size: int


Found = dict[str, Version]


class Folder:
    """The regular files of a folder that fit a glob, by their names, or by the path below it if the glob has a `/`."""

    def __init__(self, root: Path, glob: str, *, recursive: bool) -> None:
        self._given = root
        self.unspeakable: set[str] = set()  # names that no JSON can hold, which are passed over
        self._glob = glob
        self._recursive = recursive

    @cached_property
    def root(self) -> str:
        """The folder as the system speaks of it; asked of the disk once."""
        return os.path.realpath(self._given)

    def look(self) -> Found:
        """All files.

        Raises:
            OSError: the folder is not there.
        """
        return dict(self._walk(self.root, must_exist=True))

    def look_at(self, paths: Iterable[str]) -> Found:
        """The files at these paths, and below those that are folders; what is gone is left out."""
        return {path: version for each in paths for path, version in self._at(each)}

    def version(self, path: str) -> Version | None:
        """The file as it is now; None when it is gone, or no regular file."""
        try:
            status = os.stat(path, follow_symlinks=True)
        except OSError:
            return None
        return Version(status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def _at(self, path: str) -> Iterator[tuple[str, Version]]:
        if self._recursive and os.path.isdir(path):
            yield from self._walk(path)
        elif self._fits(path) and (version := self.version(path)) is not None:
            yield path, version

    def _walk(self, top: str, *, must_exist: bool = False) -> Iterator[tuple[str, Version]]:
        try:
            entries = list(os.scandir(top))
        except OSError:
            if must_exist:
                raise
            return  # gone meanwhile, or not for us to see
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if self._recursive:
                    yield from self._walk(entry.path)
            elif self._fits(entry.path) and (version := self.version(entry.path)) is not None:
                yield entry.path, version

    def _fits(self, path: str) -> bool:
        below = os.path.relpath(path, self.root)
        if not self._recursive and os.sep in below:
            return False
        if not fnmatchcase(below if "/" in self._glob else os.path.basename(path), self._glob):
            return False
        try:
            path.encode()
        except UnicodeEncodeError:
            self.unspeakable.add(path)
            return False
        return True


def differing(known: Mapping[str, Version], found: Found, noticed: frozenset[str] | None = None) -> set[str]:
    """The paths where `found` is not as `known`; with `noticed`, only what was looked at may be gone."""
    new = {path for path, version in found.items() if known.get(path) != version}
    if noticed is None:
        return new | {path for path in known if path not in found}
    gone = {path for path in noticed if path in known and path not in found}
    folders = tuple(f"{path}{os.sep}" for path in noticed if path not in known and path not in found)
    if folders:  # a folder that went took all below it along
        gone |= {path for path in known if path.startswith(folders) and path not in found}
    return new | gone
