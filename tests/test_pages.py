"""What the tests of the tutorials read out of a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.pages import Step, steps

PAGE = """\
```sh
one
cat > file <<'END'
# text
END
two \\
    more
```

```console
# three
first
…
last … line
# four
[exit status 3]
```

```yaml
none: of this
```
"""


def test_the_commands_of_a_page_are_found_with_their_status_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert list(steps(page)) == [
        Step("one"),
        Step("cat > file <<'END'\n# text\nEND"),
        Step("two \\\n    more"),
        Step("three", 0, "first\n…\nlast … line"),
        Step("four", 3, ""),
    ]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("first\nlast of a line\n", True),
        ("first\nsecond\nthird\nlast of a line\n", True),
        ("first\nlast of a line\nanother\n", False),
        ("last of a line\n", False),
        ("first\nsecond\n", False),
    ],
)
def test_an_ellipsis_stands_for_text_or_lines_and_for_nothing_else(
    output: str, shown: bool
) -> None:
    assert Step("three", 0, "first\n…\nlast … line").shows(output) is shown


def test_a_command_without_output_shows_none() -> None:
    assert Step("four", 3, "").shows("")
    assert not Step("four", 3, "").shows("text\n")
