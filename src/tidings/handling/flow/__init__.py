"""How fast, how often and how many at a time a group's events reach its handler, and when they had better not.

`settings.py` has what users write, the other files one idea each, and `controls.py` is what a reader asks.
"""
