"""The page of errors: the tree at the top of errors.py, and what each says, carries and advises."""

import inspect
import re

from tidings import errors


def page() -> str:
    """Every error, in the order of the tree."""
    lead, _, rest = (errors.__doc__ or "").partition("\n\n")
    tree, _, closing = rest.partition("\n\n")
    lines = ["# Errors", "", lead, closing.strip(), "", *map(_entry, tree.splitlines()), ""]
    for kind in kinds():
        parents = ", ".join(f"`{parent.__name__}`" for parent in kind.__bases__)
        lines += [f"## {kind.__name__}", "", f"A kind of {parents}.", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    return "\n".join(lines)


def _entry(line: str) -> str:
    """A line of the tree as one of a list, as deep as there."""
    branch, name, said = re.fullmatch(r"(\W*)(\w+)\s*(.*)", line).groups()  # type: ignore[union-attr]  # else it raises
    depth = len(branch) // 4
    return f"{'    ' * depth}- [`{name}`](#{name.lower()}){f': {said}' if said else ''}"


def kinds() -> list[type[errors.TidingsError]]:
    """The errors as `errors.py` defines them."""
    public = [it for name, it in vars(errors).items() if inspect.isclass(it) and not name.startswith("_")]
    return [it for it in public if issubclass(it, errors.TidingsError) and it.__module__ == errors.__name__]
