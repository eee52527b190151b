"""One process may have a log open twice, as its own and as a bus: its locks must outlive the second opening."""

import asyncio
import sys
from pathlib import Path

from tidings.events import Event
from tidings.log import open_log
from tidings.log.record import restore

PASSES_BY = """
import asyncio, sys
from tidings.events import Event
from tidings.log import open_log

async def pass_by():
    log = await open_log(sys.argv[1])
    await log.append([Event(id="passing", source="shop", type="a:x", data=1)])
    await log.close()

asyncio.run(pass_by())
"""


async def test_what_a_log_opened_twice_records_outlives_another_process_that_closes_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    first = await open_log(url)
    await first.append([Event(id="before", source="shop", type="a:x", data=1)])
    second = await open_log(url)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PASSES_BY, url)
    assert await asyncio.wait_for(process.wait(), 30) == 0

    await first.append([Event(id="after", source="shop", type="a:x", data=1)])
    await first.close()
    await second.close()

    again = await open_log(url)
    found = await again.scan("")
    assert [restore(record, "").id for record in found.records] == ["before", "passing", "after"]
    await again.close()
