"""A shop in four services, each a process with a SQLite file of its own, over one shared bus file.

To be read as a tutorial: `contracts.py`, then `order.py`, `inventory.py`, `payment.py`, `notification.py`. The rest is
the stage: `place.py` starts a service, `gateway.py` is the world outside, `run.py` feeds in the purchases, kills a
service and starts it again, `view.py` shows it, `summary.py` checks that nothing was lost and nothing done twice.
"""
