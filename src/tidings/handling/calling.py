"""Which way of calling suits a handler."""

from collections.abc import Callable

from tidings.clock import Clock
from tidings.handling.batch import Answers
from tidings.handling.execution import Concurrent, Execution, Sequential
from tidings.handling.flow.batched import Batched, BatchedInThread
from tidings.handling.flow.batched_tx import RecordingBatch
from tidings.handling.settling import Settling
from tidings.handling.subscription import Subscription
from tidings.handling.threaded import Threaded
from tidings.handling.transactional import Recording
from tidings.log import Log


def execution_of(
    subscription: Subscription, log: Log, batch: Answers, settling: Settling, clock: Clock, wake: Callable[[], None]
) -> Execution:
    """The way of calling for this handler's form and policy; a plain one with `tx` is called by `InsideTransaction`."""
    if subscription.form.takes_list:
        return _batched(subscription, log, batch, settling, clock, wake)
    if not subscription.form.is_async:
        return Threaded(subscription, batch, settling.complete, wake)
    if subscription.form.uses_tx:
        return Recording(subscription, batch, clock, settling, log)
    kind = Sequential if subscription.policy.concurrency == 1 else Concurrent
    return kind(subscription, batch, clock, settling.complete)


def _batched(
    subscription: Subscription, log: Log, batch: Answers, settling: Settling, clock: Clock, wake: Callable[[], None]
) -> Execution:
    if subscription.form.is_async and subscription.form.uses_tx:
        return RecordingBatch(subscription, batch, clock, settling, log)
    if subscription.form.is_async:
        return Batched(subscription, batch, clock, settling.complete)
    return BatchedInThread(subscription, batch, clock, settling.complete, wake)
