"""Old versions become the newest one while they are read, by a chain of functions from decoded JSON to decoded JSON."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tidings.errors import BrokenContracts, ConfigurationError, ContractError, TidingsError
from tidings.events.contract import Contract, Upcaster, contract_of

_Function = TypeVar("_Function", bound=Callable[[dict[str, Any]], Any])


def upcast(
    target: type | Contract, *, from_version: int, to_version: int | None = None
) -> Callable[[_Function], _Function]:
    """Let a function lift data of `from_version` towards the newest; it is noted at the contract and stays as it is.

    It is given the decoded JSON and returns the next version's; the last of a chain may return the new typed value.

    Raises:
        ConfigurationError: the target has no contract; for a type described by `contract()`, pass that contract.
        BrokenContracts: the step does not lead upwards, or another function takes the same step.
    """
    found = target if isinstance(target, Contract) else contract_of(target)
    if found is None:
        raise ConfigurationError(f"{target!r} has no contract: decorate it with @event, or pass a contract()")
    goal = from_version + 1 if to_version is None else to_version

    def attach(function: _Function) -> _Function:
        step = Upcaster(function, from_version, goal)
        chain([*found.upcasters, step], from_version, goal, found.name)
        found.upcasters.append(step)
        return function

    return attach


def chain(steps: Iterable[Upcaster], start: int, goal: int, name: str) -> tuple[Upcaster, ...]:
    """The steps that lead from version `start` to `goal`, in order.

    Raises:
        BrokenContracts: a step is missing, ambiguous or leads back; the message names it.
    """
    onward = _by_start(steps, name)
    path: list[Upcaster] = []
    at = start
    while at != goal:
        step = onward.get(at)
        if step is None or step.to_version > goal:
            advice = f"write @upcast(..., from_version={at})"
            raise BrokenContracts(name, f"nothing leads from version {at} to {goal}: {advice}")
        path.append(step)
        at = step.to_version
    return tuple(path)


def climb(path: Sequence[Upcaster], contract: Contract, version: int, data: Any) -> Any:
    """The contract's value for decoded JSON of an older version.

    Raises:
        ContractError: a function of the chain failed, or what it made does not fit the contract.
    """
    for step in path:
        try:
            data = step.function(data)
        except TidingsError:
            raise
        except Exception as error:  # a user's function may raise anything, and the event must be named
            told = f"{type(error).__name__}: {error}"
            raise ContractError(contract.name, version, "$", f"upcaster {step} failed with {told}") from error
    return contract.convert(data, version=version)


def _by_start(steps: Iterable[Upcaster], name: str) -> dict[int, Upcaster]:
    onward: dict[int, Upcaster] = {}
    for step in steps:
        if step.to_version <= step.from_version:
            raise BrokenContracts(name, f"upcaster {step} leads in a ring: a step has to end at a higher version")
        other = onward.setdefault(step.from_version, step)
        if other != step:
            raise BrokenContracts(name, f"upcasters {other} and {step} start at one version: keep one of them")
    return onward
