"""Write the tables of docs/performance.md: `python -m docs.generate_performance`.

The figures and the pictures come from docs/performance.json, which `python -m benchmarks --json`
writes, the profiles from docs/profiles.json, which `python -m benchmarks.profiles --json` writes;
where one is missing, what the page says of it is left as it is. What counts may come to is in
benchmarks/limits.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import page as shown
from benchmarks import plots, profiles
from benchmarks.results import Results

PAGE = Path(__file__).with_name("performance.md")
PICTURES = Path(__file__).with_name("performance")
PROFILES = Path(__file__).with_name("profiles.json")
RESULTS = Path(__file__).with_name("performance.json")


def page() -> str:
    """Return the page with current tables."""
    text = _replaced(PAGE.read_text(encoding="utf-8"), "limits", shown.limits())
    if RESULTS.exists():
        results = Results.read(RESULTS)
        text = _replaced(text, "figures", shown.tables(results))
        text = _replaced(text, "pictures", _pictures(results))
    if PROFILES.exists():
        text = _replaced(text, "profiles", profiles.table(profiles.read(PROFILES)))
    return text


def _pictures(results: Results) -> str:
    return "\n".join(
        f"![{picture.title}]({PICTURES.name}/{picture.name}.svg)\n"
        for picture in plots.drawable(results)
    )


def _replaced(text: str, name: str, table: str) -> str:
    """Put a table between the marks of a name."""
    marks = f"<!-- {name}: written by docs/generate_performance.py -->", f"<!-- end of {name} -->"
    pattern = re.compile("(?<={}\n).*?(?={})".format(*map(re.escape, marks)), re.DOTALL)
    made, count = pattern.subn(lambda _: f"\n{table}\n", text)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for {name}")
    return made


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), encoding="utf-8")
    if RESULTS.exists():
        plots.draw(Results.read(RESULTS), PICTURES)


if __name__ == "__main__":
    main()
