"""All contracts an application knows, and the readers that turn recorded bytes into values of the newest version."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final, Self

import msgspec

from tidings.errors import BrokenContracts, ConfigurationError, ContractError, NewerVersion
from tidings.events.contract import Contract, Upcaster, contract_of
from tidings.events.shapes import READ_FAILURES, Failures, where_and_what
from tidings.events.upcasting import chain, climb

Reader = Callable[[Any], Any]

DECODE_FAILURES: Final[Failures] = (ContractError, *READ_FAILURES)  # of a `decoder`; `translate` makes one error of it
_REMEMBERED_READERS: Final = 4096  # a bound, so that foreign names and versions cannot fill the memory
_decode_anything: Final = msgspec.json.Decoder().decode


class Catalog:
    """A fixed set of contracts. Events of any version are read as the newest contract of their name.

    `reader` gives a function that raises ContractError alone. `decoder` gives the fastest one there is, for loops that
    read many: catch `DECODE_FAILURES` around the loop and make the error with `translate`.
    """

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self.contracts = contracts
        self._by_version = _by_version(contracts)
        self._newest: dict[str, Contract] = {}
        for contract in sorted(contracts, key=lambda each: each.version):
            self._newest[contract.name] = contract
        self._steps = {name: self._steps_to(contract) for name, contract in self._newest.items()}
        self._check()
        self._decoders: dict[tuple[str, int], Reader] = {}
        self._readers: dict[tuple[str, int], Reader] = {}

    @classmethod
    def collect(cls, *sources: "type | Contract | ModuleType | Catalog") -> Self:
        """A catalog of everything in these contracts, `@event` classes, modules and catalogs.

        Raises:
            BrokenContracts: two contracts share a name and version, an upcaster is missing, or a type has no JSON form.
            ConfigurationError: a source is none of those kinds.
        """
        found = [contract for source in sources for contract in _contracts_in(source)]
        return cls(tuple(dict.fromkeys(found)))

    def contract_for(self, name: str, version: int | None = None) -> Contract | None:
        """The contract of this name and version, the newest when no version is given; `None` when there is none."""
        return self._newest.get(name) if version is None else self._by_version.get((name, version))

    def reader(self, type: str, version: int) -> Reader:
        """Reads recorded data (bytes, msgspec.Raw or memoryview) of this type and version; without a contract, plainly.

        What it returns raises:
            NewerVersion: the version is not known here, and the newest contract that is could not read the data.
            ContractError: the data is no JSON or does not fit the contract.
        """
        known = self._readers.get((type, version))
        return known or _remember(self._readers, type, version, self._checked(type, version))

    def decoder(self, type: str, version: int) -> Reader:
        """As `reader`, at the speed of msgspec; what it returns raises one of `DECODE_FAILURES`."""
        known = self._decoders.get((type, version))
        return known or _remember(self._decoders, type, version, self._new_decoder(type, version))

    def translate(self, type: str, version: int, error: Exception) -> ContractError:
        """What a decoder of this type and version raised, as the error its `reader` would raise."""
        if isinstance(error, ContractError):
            return error
        path, expected = where_and_what(error)
        newest = self._newest.get(type)
        if newest is not None and version > newest.version:
            return NewerVersion(type, version, path, expected, known=newest.version)
        return ContractError(type, version, path, expected)

    def __iter__(self) -> Iterator[Contract]:
        return iter(self.contracts)

    def __len__(self) -> int:
        return len(self.contracts)

    def __repr__(self) -> str:
        return f"Catalog({list(self.contracts)!r})"

    def _checked(self, type: str, version: int) -> Reader:
        decode = self.decoder(type, version)

        def read(data: Any) -> Any:
            try:
                return decode(data)
            except DECODE_FAILURES as error:
                translated = self.translate(type, version, error)
                if translated is error:
                    raise
                raise translated from error

        return read

    def _new_decoder(self, type: str, version: int) -> Reader:
        newest = self._newest.get(type)
        if newest is None:
            return _decode_anything
        path = self._path(newest, version)
        if not path:
            return newest.shape.decode

        def decode_and_climb(data: Any) -> Any:
            return climb(path, newest, version, _decode_anything(data))

        return decode_and_climb

    def _path(self, newest: Contract, version: int) -> tuple[Upcaster, ...]:
        steps = self._steps[newest.name]
        if version >= newest.version or not any(step.from_version == version for step in steps):
            return ()  # a version without upcaster was changed compatibly, or the data will not fit and say so
        return chain(steps, version, newest.version, newest.name)

    def _steps_to(self, newest: Contract) -> tuple[Upcaster, ...]:
        return tuple(step for each in self.contracts if each.name == newest.name for step in each.upcasters)

    def _check(self) -> None:
        for contract in self.contracts:
            contract.check()
        for name, newest in self._newest.items():
            steps = self._steps[name]
            old = {contract.version for contract in self.contracts if contract.name == name}
            for version in sorted(old | {step.from_version for step in steps}):
                chain(steps, version, newest.version, name)


def _by_version(contracts: tuple[Contract, ...]) -> dict[tuple[str, int], Contract]:
    found: dict[tuple[str, int], Contract] = {}
    for contract in contracts:
        other = found.setdefault((contract.name, contract.version), contract)
        if other is not contract and other.type is not contract.type:
            both = f"both {_address(other)} and {_address(contract)}"
            raise BrokenContracts(contract.name, f"version {contract.version} is {both}; raise the version of one")
    return found


def _contracts_in(source: Any) -> Iterator[Contract]:
    if isinstance(source, Contract):
        yield source
    elif isinstance(source, Catalog):
        yield from source.contracts
    elif isinstance(source, ModuleType):
        yield from _contracts_of_module(source)
    elif (contract := contract_of(source) if isinstance(source, type) else None) is not None:
        yield contract
    else:
        raise ConfigurationError(f"{source!r} holds no contract: give an @event class, a contract() or a module")


def _contracts_of_module(module: ModuleType) -> Iterator[Contract]:
    for member in vars(module).values():
        contract = member if isinstance(member, Contract) else contract_of(member) if isinstance(member, type) else None
        if contract is not None:
            yield contract


def _remember(readers: dict[tuple[str, int], Reader], type: str, version: int, reader: Reader) -> Reader:
    if len(readers) >= _REMEMBERED_READERS:
        readers.clear()
    readers[type, version] = reader
    return reader


def _address(contract: Contract) -> str:
    return f"{getattr(contract.type, '__module__', '')}.{getattr(contract.type, '__qualname__', contract.type)}"
