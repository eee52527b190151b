"""The table in docs/carriers.md, made of what carriers say of themselves: `python -m docs.making.carriers` renews."""

import asyncio
import re
from pathlib import Path

from tidings.brokers import Capabilities, connect
from tidings.brokers.connect import SCHEMES
from tidings.log.open import is_log

PAGE = Path(__file__).parents[1] / "carriers.md"
_TABLE = re.compile(r"(?<=<!-- made from the capabilities -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
_LOGS = {"memory:": "memory:carriers", "sqlite:///": "sqlite:///bus.db", "postgresql://": "postgresql://localhost/db"}
_OPTIONS = {
    "nats": ("nats://localhost?jetstream=no",),
    "pulsar": ("pulsar://localhost?admin=http://localhost:8080",),
}  # carriers that promise otherwise by a setting
_HEAD = ("URL", "durable", "groups", "replay", "order of a key", "delay", "dead letters", "lag", "largest event")


def table() -> str:
    """Three tables: what each carrier can be held to, and what it means that something is published, or settled."""
    rows = [(f"`{shown}`", asyncio.run(_capabilities(url))) for shown, url in _urls()]
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    lines += [_line([shown, *_cells(each)]) for shown, each in rows]
    lines += ["", _line(["URL", "what `publish` returning is worth"]), _line(["---"] * 2)]
    lines += [_line([shown, each.acknowledgement]) for shown, each in rows]
    lines += ["", _line(["URL", "what a settlement is worth"]), _line(["---"] * 2)]
    lines += [_line([shown, each.settlement]) for shown, each in rows]
    return "\n".join(lines)


def renewed(page: str) -> str:
    """The page with the table as it is now."""
    return _TABLE.sub(lambda _: table(), page)


def _urls() -> list[tuple[str, str]]:
    plain = [scheme for scheme in SCHEMES if _with_no_tls(scheme) == scheme]
    logs = [(shown, url) for shown, url in _LOGS.items() if is_log(url)]
    urls = [*logs, *((f"{scheme}://", f"{scheme}://localhost") for scheme in plain)]
    return [
        *urls,
        *(
            (url.replace("http://localhost:8080", "…").replace("localhost", "…"), url)
            for scheme in plain
            for url in _OPTIONS.get(scheme, ())
        ),
    ]


def _with_no_tls(scheme: str) -> str:
    """The scheme of the same carrier without TLS: `redis` for `rediss`, `kafka` for `kafka+ssl`."""
    for shorter in (re.sub(r"\+(ssl|tls)$", "", scheme), re.sub(r"s(?=\+|$)", "", scheme, count=1)):
        if shorter != scheme and shorter in SCHEMES:
            return shorter
    return scheme


async def _capabilities(url: str) -> Capabilities:
    broker = await connect(url)
    await broker.close()
    return broker.capabilities


def _cells(each: Capabilities) -> list[str]:
    size = "any" if each.max_size is None else f"{each.max_size:,} bytes"
    order = {"total": "kept", "channel": "kept on one channel", "none": "not kept"}[each.order]
    can = [each.durable, each.groups, each.replay]
    more = [each.delay, each.dead_letters, each.lag]
    return [*map(_word, can), order, *map(_word, more), size]


def _word(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _line(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
