"""The page of errors: the tree at the top of `tidings.errors`, and what each says, carries and advises."""

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
    """All errors, in the order of the tree."""
    public = [getattr(errors, name) for name in errors.__all__]
    found = [it for it in public if inspect.isclass(it) and issubclass(it, errors.TidingsError)]
    order = re.findall(r"\w+", errors.__doc__ or "")
    return sorted(found, key=lambda kind: order.index(kind.__name__))
