"""Floor 8. What is wrong with an application, its log and what surrounds them, and the cure for each.

`examine(gather(app))` looks without changing anything, while the application runs as well as when it cannot even be
imported. A check is a small function from facts to findings; `CHECKS` lists them all.
"""

from tidings.doctor.checks import CHECKS, examine
from tidings.doctor.facts import Facts, File, gather
from tidings.doctor.finding import Finding

__all__ = ["CHECKS", "Facts", "File", "Finding", "examine", "gather"]
