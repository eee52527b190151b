"""Moving groups in the log, as `tidings groups reset` and `tidings replay` ask for it."""

import asyncio
from collections.abc import Sequence
from typing import Any


def move(names: Sequence[str], to: str, *, yes: bool, app: str | None, url: str | None) -> None:
    """Say what it means, ask, and do it."""
    from tidings.cli.target import find

    asyncio.run(_move(find(app, url), names, to, yes))


async def _move(target: Any, names: Sequence[str], to: str, yes: bool) -> None:
    from tidings.cli.asking import confirm
    from tidings.cli.progress import progress
    from tidings.handling.oversight.groups import Groups

    async with target.log() as log:
        groups = Groups(log, () if target.app is None else target.app.subscriptions)
        with progress("counting") as tell:
            plans = await groups.plan(*names, to=to, looked=tell)
        if not yes:
            for plan in plans[:-1]:
                print(f"{plan.group} will {_said(plan)}.")
            confirm(f"{_asked(plans)}. Go on?")
        for plan in await groups.reset(*[plan.group for plan in plans], to=plans[0].to or "earliest"):
            print(f"{plan.group} will {_said(plan)}{'' if plan.is_run else '; nobody runs it now'}")


def _asked(plans: Sequence[Any]) -> str:
    last = plans[-1]
    effects = list(dict.fromkeys(effect for plan in plans for effect in plan.effects))
    told = "".join(f"\n  - {effect}" for effect in effects)
    if not told or not any(plan.events for plan in plans):
        return f"{last.group} will {_said(last)}"
    return f"Hearing again means:{told}\n{last.group} will {_said(last)}"


def _said(plan: Any) -> str:
    from tidings.cli.output import counted

    events = counted(plan.events, "event")
    what = f"pass over {events}" if plan.forward else f"hear {events} again"
    return what + (f", and forget {plan.forgotten} set aside" if plan.forgotten else "")
