"""Is what came what the page shows? Loosely: ids, times and spaces may differ, and `...` stands for anything."""

import re

_CHANGING = (  # what differs from run to run, in the page and in what came
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?(?:[+-]\d\d:\d\d)?"), "TIME"),
    (re.compile(r"\b0{3,}[0-9a-z]*-[0-9a-z]+-?[0-9a-z]*"), "POSITION"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|µs|s)\b"), "DURATION"),
    (re.compile(r"[─━│┃┌┐└┘├┤┬┴┼╭╮╰╯╶╴╷╵╺╸]+"), " "),
)


def difference(shown: str, came: str) -> str:
    """Empty when every shown line came, in this order, perhaps with others in between; else what is missing."""
    lines = [_plain(line) for line in came.splitlines()]
    for line in shown.splitlines():
        wanted = _plain(line)
        if not wanted or wanted == "...":
            continue
        form = re.compile(".*".join(re.escape(part) for part in re.split(r" ?(?:\.\.\.|…) ?", wanted)))
        while lines and not form.fullmatch(lines[0]):
            lines.pop(0)
        if not lines:
            return f"the page shows\n  {line}\nand this came:\n{came}"
        lines.pop(0)
    return ""


def _plain(line: str) -> str:
    for form, word in _CHANGING:
        line = form.sub(word, line)
    return " ".join(line.split())
