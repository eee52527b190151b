"""Policies, data and addresses in words."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tidings import Event, Retry
from tidings.handling import Policy
from tidings.handling.flow.settings import FlowControl
from tidings.handling.policy import DEFAULT

_SECRET = re.compile(r"(?i)\b([a-z_]*(?:password|passwd|secret|token|apikey|api_key)[a-z_]*)=[^&]*")


def data_text(event: Event) -> str:
    """The data on one line."""
    if isinstance(event.data, msgspec.Raw):
        return msgspec.json.format(bytes(event.data), indent=-1).decode()
    if isinstance(event.data, bytes):
        return f"<{len(event.data)} bytes of {event.content_type}>"
    return msgspec.json.encode(event.data).decode()


def moment(seconds: float) -> datetime:
    """The time so many seconds after 1970 began, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def size(count: int) -> str:
    """Bytes as people read them: `1.5 GB`."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB"


def without_password(url: str | None) -> str | None:
    """An address that may be shown."""
    if url is None:
        return None
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}")
    parts = parts._replace(query=_SECRET.sub(r"\1=***", parts.query))
    return urlunsplit(parts) if at or parts.query else url


def policy(policy: Policy, *, directly: bool = False) -> list[str]:
    """What happens to an event, in sentences; to one that is heard from a broker `directly`, with no log between."""
    rules = [*policy.retry, *([] if _covers_all(policy) else [DEFAULT])]
    said = [_rule(rule) for rule in rules]
    said.append("Reject: dead at once, and holds nobody up.")
    said.append(_behind_directly(policy) if directly else _behind(policy))
    said += policy.flow.sentences()
    keys = "one event" if policy.concurrency == 1 else f"{policy.concurrency} keys"
    limit = "no time limit" if policy.timeout is None else f"at most {policy.timeout:g} s a call"
    said.append(f"Each process handles {keys} at a time, {limit}.")
    return said


def flow(flow: FlowControl) -> dict[str, Any]:
    """What holds a group's events back, as data."""
    named = msgspec.structs.replace(flow, priority=None)
    said = msgspec.to_builtins(named) | ({"priority": flow.priority_name} if flow.has_priority else {})
    return {name: setting for name, setting in said.items() if setting}


def _behind(policy: Policy) -> str:
    if policy.on_dead == "pass":
        return "Later events of a dead event's key go on."
    return f"Later events of a failed event's key wait behind it; {policy.blocked_limit:,} waiting pause the group."


def _behind_directly(policy: Policy) -> str:
    """There is nowhere to wait."""
    if policy.on_exhausted == "stop":
        return "The group stops at an event that is dead; later events of one that is tried again later go on."
    kept = " What is dead is dropped." if policy.on_exhausted == "drop" else ""
    return f"Later events of a failed event's key go on.{kept}"


def _covers_all(policy: Policy) -> bool:
    return any(Exception in _kinds(rule) or BaseException in _kinds(rule) for rule in policy.retry)


def _rule(rule: Retry) -> str:
    names = " or ".join("any failure" if kind is Exception else kind.__name__ for kind in _kinds(rule))
    if rule.attempts == 1:
        return f"{names}: dead at once."
    inline = min(rule.inline, rule.attempts - 1)
    tries = [f"{inline} more {'try' if inline == 1 else 'tries'} at once"] if inline else []
    later = rule.attempts - 1 - inline
    if later:
        waits = [rule.delay(inline + 1 + number, 0.0) for number in range(later)]
        shown = ", ".join(f"{wait:g}" for wait in waits[:3]) + (" ..." if later > 3 else "")
        longest = f" (the longest {waits[-1]:g})" if later > 3 else ""
        tries.append(f"{later} after {shown} s{longest}")
    return f"{names}: {', then '.join(tries)}; dead after {rule.attempts} calls."


def _kinds(rule: Retry) -> tuple[Any, ...]:
    return rule.on if isinstance(rule.on, tuple) else (rule.on,)
