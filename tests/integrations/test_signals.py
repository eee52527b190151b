"""Signals as events: sent for real, to a process of their own."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tidings import App
from tidings.errors import ConfigurationError
from tidings.integrations.signals import SignalsIn

CHILD = """
import asyncio, os, signal, sys
from tidings import App
from tidings.integrations.signals import ProcessSignal, SignalsIn

names, instead = sys.argv[2].split(","), len(sys.argv) > 3
app = App("shop", sys.argv[1])
app.include(SignalsIn(*names, instead_of_ending=instead))
stop = asyncio.Event()

@app.on(ProcessSignal)
async def hear(sent: ProcessSignal) -> None:
    print(sent.name, sent.number, sent.pid == os.getpid(), flush=True)
    if instead and sent.name == "SIGUSR1":
        stop.set()

async def main():
    running = asyncio.create_task(app.run(stop))
    while signal.getsignal(getattr(signal, names[-1])) is signal.SIG_DFL:
        await asyncio.sleep(0)
    print("ready", flush=True)
    await running

asyncio.run(main())
print("ended", flush=True)
"""
Child = asyncio.subprocess.Process
Start = Callable[..., Awaitable[Child]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Child] = []

    async def begin(*arguments: str) -> Child:
        source = str(Path(__file__).parents[2] / "src")
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            f"sqlite:///{tmp_path}/log.db",
            *arguments,
            env={"PYTHONPATH": source},
            stdout=-1,
        )
        started.append(child)
        assert await said(child) == "ready"
        return child

    yield begin
    for child in started:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def said(child: Child) -> str:
    assert child.stdout is not None
    async with asyncio.timeout(30):
        return (await child.stdout.readline()).decode().strip()


async def test_a_signal_becomes_an_event_and_the_process_goes_on(start: Start) -> None:
    child = await start("SIGHUP,SIGUSR1")

    child.send_signal(signal.SIGUSR1)
    assert await said(child) == f"SIGUSR1 {signal.SIGUSR1.value} True"
    child.send_signal(signal.SIGHUP)
    assert await said(child) == f"SIGHUP {signal.SIGHUP.value} True"

    child.terminate()  # ends app.run as ever
    assert await said(child) == "ended"
    assert await asyncio.wait_for(child.wait(), 30) == 0


async def test_a_signal_that_ends_the_application_is_an_event_only_when_asked_for(start: Start) -> None:
    child = await start("SIGTERM,SIGUSR1", "instead")

    child.terminate()
    assert await said(child) == f"SIGTERM {signal.SIGTERM.value} True"
    child.terminate()
    assert await said(child) == f"SIGTERM {signal.SIGTERM.value} True"
    child.send_signal(signal.SIGUSR1)
    assert await said(child) == f"SIGUSR1 {signal.SIGUSR1.value} True"
    assert await said(child) == "ended"


def test_what_cannot_or_should_not_be_taken_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"SIGTERM would no longer end app\.run"):
        SignalsIn("SIGTERM")
    with pytest.raises(ConfigurationError, match="is never told"):
        SignalsIn(signal.SIGKILL)
    with pytest.raises(ConfigurationError, match="is no signal here"):
        SignalsIn("SIGNONE")


async def test_once_stopped_it_leaves_the_signals_alone() -> None:
    app = App("shop")
    app.include(SignalsIn("SIGUSR2"))

    async with app.running():
        assert signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


async def test_outside_the_main_thread_it_says_that_it_hears_nothing() -> None:
    refused: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(SignalsIn("SIGUSR2").run(App("shop")))
        except ConfigurationError as error:
            refused.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join, 30)

    assert "main thread" in str(refused[0])
