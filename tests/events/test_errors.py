"""Every error keeps its facts and says what to do."""

import copy
import inspect
import pickle

import pytest

from tidings import errors

EXAMPLES: list[errors.TidingsError] = [
    errors.EmitterError("the emitter refused: emit again"),
    errors.UnhandledError({"state": "kaput"}),
    errors.NoEventLoop("order:created", "shop.show"),
    errors.TooManyPending(1000, "order:created", "shop.show"),
    errors.FellBehind("order:created", 1000),
    errors.InvalidName("bad name", "it has a space"),
    errors.InvalidEvent("source", "it is missing", event_id="e1"),
    errors.ContractError("order:created", 2, "$.total", "Expected `str`, got `int`"),
    errors.NewerVersion("order:created", 3, "$.total", "Object missing required field", known=2),
    errors.BrokenContracts("order:created", "nothing leads from version 1 to 2"),
    errors.LogError("the log failed: try again"),
    errors.VersionConflict("order-1", 3, 4),
    errors.PartialDuplicate(["a"], ["b", "c"]),
    errors.IdReused("a", "shop"),
    errors.LogTruncated("1-00ff", "1-000a"),
    errors.LogLocked(4711, "orders.db"),
    errors.DiskFull("orders.db"),
    errors.LogDamaged("checksum differs", ["1-0001"], path="orders.db"),
    errors.UnknownEvent("0192f0c8", ["0192f0c8-7a41", "0192f0c8-7a42"]),
    errors.NewerSchema(7, 3, "orders.db"),
    errors.LogReadOnly("orders.db"),
    errors.LogClosed("orders.db"),
    errors.UsedAfterFork(1, 2, "orders.db"),
    errors.CommitUnknown("disk I/O error", ["a"]),
    errors.StreamClosed("order-1"),
    errors.Fenced("orders.reserve", "member-1"),
    errors.BrokerError("the broker is away: try again"),
    errors.LogUnreachable("postgresql://host/db", "connection refused"),
    errors.AskingError("there is no answer"),
    errors.Unanswered("stock:get", 5.0),
    errors.AnswerFailed("stock:get", "KeyError", "'7'"),
    errors.BrokerUnreachable("redis://host", "connection refused"),
    errors.EventRefused("e-1", "it has 2,000,000 bytes"),
    errors.NotSupported("kafka://host", "hand an event over later"),
    errors.HandlingError("could not settle: try again"),
    errors.Reject("no such customer"),
    errors.Conflict("UPDATE stock SET left = 1", 1, 0),
    errors.CircuitOpen("payments", 1_000_000_000.0),
    errors.TransactionMisuse("COMMIT"),
    errors.HandlerTimeout("orders.reserve", 2.5),
    errors.UnreadableEvent("1-0001", "order:created", "Expected `int`"),
    errors.InvalidLine(7, "it is no JSON", "{"),
    errors.StreamOverflow(1000),
    errors.SyncError("app.sync could not wait: await it"),
    errors.WouldBlock("publish", "the event loop of this thread", "use await app.publish(...)"),
    errors.NoAnswer("publish", 30.0),
    errors.ConfigurationError("give the app a name"),
    errors.DuplicateGroup("orders.reserve"),
    errors.NotOneHandler("order:ship", ["orders.ship", "audit"]),
    errors.MissingExtra("redis", "redis://localhost"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_facts_and_message_survive_pickling_and_copying(error: errors.TidingsError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_every_error_has_an_example_here_and_a_place_in_the_drawn_tree() -> None:
    defined = {
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.TidingsError) and kind is not errors.TidingsError
    }

    assert {type(error) for error in EXAMPLES} == defined
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in defined)


def test_every_error_names_the_module_to_import_it_from() -> None:
    assert {type(error).__module__ for error in EXAMPLES} == {"tidings.errors"}


def test_a_contract_error_names_type_version_path_and_what_was_expected() -> None:
    text = str(errors.ContractError("order:created", 2, "$.total", "Expected `str`, got `int`"))

    assert all(part in text for part in ("order:created", "version 2", "$.total", "Expected `str`, got `int`"))


def test_a_newer_version_says_that_this_process_is_the_older_one() -> None:
    error = errors.NewerVersion("order:created", 3, "$", "Expected `object`", known=2)

    assert "newer than this process" in str(error)
    assert isinstance(error, errors.ContractError)


def test_a_missing_extra_gives_the_line_to_install_it() -> None:
    with pytest.raises(ImportError, match=r"pip install 'tidings\[redis\]'"):
        raise errors.MissingExtra("redis", "redis://localhost")


def test_bad_names_and_events_are_value_errors_too() -> None:
    assert issubclass(errors.InvalidName, ValueError)
    assert issubclass(errors.InvalidEvent, ValueError)


def test_a_very_long_name_does_not_make_a_very_long_message() -> None:
    assert len(str(errors.InvalidName("x" * 10_000, "it is too long"))) < 300
