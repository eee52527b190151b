"""The page of changes: CHANGELOG.md, with the fragments that wait for the next release gathered by kind."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = ("added", "changed", "fixed", "removed")


def page() -> str:
    """What users notice, newest first."""
    lines = ["# Changes", "", "## In the next release", ""]
    for kind in KINDS:
        fragments = sorted((ROOT / "changelog.d").glob(f"+*.{kind}.md"))
        if fragments:
            lines += [f"### {kind.capitalize()}", "", *(f"- {each.read_text().strip()}" for each in fragments), ""]
    _, _, released = (ROOT / "CHANGELOG.md").read_text().partition("\n## ")
    return "\n".join(lines) + (f"\n## {released}" if released else "")
