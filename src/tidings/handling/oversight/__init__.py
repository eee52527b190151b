"""How groups stand, why they are behind, what they have set aside, and who is told of it.

`groups.py` and `letters.py` are what operators hold in hand; `lookout.py` is the chore that tells of groups in need.
"""
