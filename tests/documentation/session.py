"""A reader who follows a page: types its Python, saves its files, enters its commands. A program of its own.

    python -m tests.documentation.session BLOCKS.json

It works in the current folder and ends with 0, or with 1 and the place of the first block that did not do what the page
shows. Python without a title is typed into one interpreter, which may `await` as `python -m asyncio` can.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from tests.documentation.blocks import Block
from tests.documentation.comparing import difference

LIMIT = 20.0  # seconds a command, and for what it is to bring about
PROGRAMS = ("tidings", "python", "pytest", "cat", "echo", "ls", "printf", "mkdir", "cp", "rm", "kill")
LOOKING = ("tail", "groups", "dead list", "dead show", "trace", "show", "timers", "verify")  # may be asked again


class NotAsShown(Exception):
    """The page promises something else."""


class Reader:
    """Follows the blocks of one page, or of several that go on from each other."""

    def __init__(self) -> None:
        self._typed: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._running: list[tuple[subprocess.Popen[str], Path]] = []
        self._runner = asyncio.Runner()

    def follow(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            NotAsShown: something else came of it than the page shows.
        """
        match block.language:
            case "python" if block.title:
                self._save(block)
                runpy.run_path(block.title, run_name="shown")
            case "python":
                self._type(block)
            case "console":
                self._enter(block)
            case "text" if block.follows:
                self._compare(block.text, self._printed)
            case _ if block.title:
                self._save(block)

    def close(self) -> None:
        """End what still runs."""
        while self._running:
            self._interrupt()
        self._runner.close()

    def _save(self, block: Block) -> None:
        path = Path(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        sys.modules.pop(path.stem, None)  # the next import reads it anew
        for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
            cached.unlink()  # its time may be the same to the second

    def _type(self, block: Block) -> None:
        lines = "\n" * (block.line - 1) + block.text  # so that a traceback shows the page's own line
        code = compile(lines, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            done = eval(code, self._typed)
            if inspect.iscoroutine(done):
                self._runner.run(done)
        self._printed = printed.getvalue()

    def _enter(self, block: Block) -> None:
        for command, shown in commands(block.text):
            if command == "^C":
                self._interrupt()
            elif command.startswith("tidings run"):
                self._start(command, shown)
            else:
                self._run(command, shown)

    def _run(self, command: str, shown: str) -> None:
        program = shlex.split(command)[0]
        if program not in PROGRAMS:
            raise NotAsShown(f"{program!r} is not run here: mark the block with <!-- not run: why -->")
        until, wrong = time.monotonic() + LIMIT, "it was not run"
        while wrong and time.monotonic() < until:
            done = _bash(command)
            wrong = difference(shown, self._keep(done.stdout))
            if done.returncode and "tidings: " not in shown and "failed" not in shown:
                wrong = f"it ended with {done.returncode}\n{done.stdout}"
            if not command.startswith(tuple(f"tidings {look}" for look in LOOKING)):
                break
        if wrong:
            raise NotAsShown(f"$ {command}\n{wrong}")

    def _keep(self, printed: str) -> str:
        self._printed = printed
        return printed

    def _start(self, command: str, shown: str) -> None:
        told = Path(f".run-{len(os.listdir())}.txt")
        with told.open("w") as file:
            words = shlex.split(command)
            process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, text=True)
        self._running.append((process, told))
        until, wrong = time.monotonic() + LIMIT, "nothing came"
        while wrong and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
            wrong = difference(shown, told.read_text())
        if wrong:
            raise NotAsShown(f"$ {command}\n{wrong}")

    def _interrupt(self) -> None:
        process, told = self._running.pop()
        process.send_signal(signal.SIGINT)
        code = process.wait(LIMIT)
        told_text = told.read_text()
        told.unlink()
        if code not in (0, 130):
            raise NotAsShown(f"tidings run ended with {code}\n{told_text}")

    def _compare(self, shown: str, came: str) -> None:
        if wrong := difference(shown, came):
            raise NotAsShown(wrong)


def commands(text: str) -> list[tuple[str, str]]:
    """Each command of a block of a terminal, with what is shown beneath it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line == "^C":
            found.append((line, ""))
        elif found:
            command, shown = found[-1]
            found[-1] = (f"{command[:-1]}{line}", shown) if command.endswith("\\") else (command, f"{shown}{line}\n")
    return found


def _bash(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def main() -> int:
    """Follow the blocks of the file named on the command line."""
    sys.path.insert(0, "")
    reader = Reader()
    for block in msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[Block]):
        try:
            reader.follow(block)
        except BaseException as error:
            told = str(error) if isinstance(error, NotAsShown) else traceback.format_exc()
            print(f"{block.place}: this block does not do what the page shows\n{told}")
            os._exit(_flushed(1))
    reader.close()
    return 0


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
