"""Questions and answers: an event that says where its answer is to go, and what its handler returned, sent there.

The answer is an event of the asker's own name, `tidings:answer:<app>`, so that no pattern of anybody else selects it.
It is told apart from others by its cause, the question.
"""

import logging
from typing import Any, Final

import msgspec

from tidings.errors import AnswerFailed
from tidings.events import Catalog, Contract, Event, contract_of, derived_id
from tidings.events.names import ANSWER
from tidings.handling.report import say

REPLY_TO: Final = "replyto"  # the header of a question: the name its answer is to have


class Answer(msgspec.Struct, omit_defaults=True):
    """What an answer's data says: a value, of a contract or plain; or how it failed."""

    data: msgspec.Raw = msgspec.Raw(b"null")
    type: str = ""
    version: int = 1
    error: str = ""
    message: str = ""


def answer_name(app: str) -> str:
    """The name of all answers to the questions of an application."""
    return f"{ANSWER}{app}"


def asks(event: Event) -> bool:
    """Does this event want an answer?"""
    return str(event.headers.get(REPLY_TO, "")).startswith(ANSWER)


def answer(question: Event, group: str, source: str, said: Answer) -> Event:
    """The answer to a question, as an event that is the same at each attempt."""
    return Event(
        id=derived_id(question.id, question.source, group, "answer"),
        source=source,
        type=str(question.headers[REPLY_TO]),
        data=msgspec.Raw(msgspec.json.encode(said)),
        key=question.id,
        correlation_id=question.correlation_id or question.id,
        causation_id=question.id,
        traceparent=question.traceparent,
    ).checked()


def failure(error: BaseException, group: str) -> Answer:
    """What a handler that could not answer says."""
    say(logging.WARNING, "unanswered", group=group, reason=f"{type(error).__name__}: {error}")
    return Answer(error=type(error).__name__, message=str(error)[:2000])


def read(event: Event, catalog: Catalog, returns: Any, asked: str) -> Any:
    """The value that an answer says: of the type `returns`, or of the contract it names, or plain.

    Raises:
        AnswerFailed: the handler failed.
        ContractError: the value is not what was expected.
    """
    said = event.data if isinstance(event.data, Answer) else msgspec.json.decode(event.data, type=Answer)
    if said.error:
        raise AnswerFailed(asked, said.error, said.message)
    contract = contract_of(returns) if isinstance(returns, type) else returns
    if isinstance(contract, Contract):
        return Catalog.collect(contract).reader(contract.name, said.version)(said.data)
    if returns is not None:
        return msgspec.json.decode(said.data, type=returns)
    return catalog.reader(said.type, said.version)(said.data) if said.type else msgspec.json.decode(said.data)
