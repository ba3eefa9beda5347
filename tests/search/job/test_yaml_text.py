"""What is written as YAML is read as the same data by the one reader that job files have."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.job.yaml_lines import parse
from search.job.yaml_text import write

#: Text without what YAML has no escape for.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
#: Text that some version of YAML takes for something else.
LIKE_OTHERS = st.sampled_from(
    [
        *("1e-3", "1E5", "3e-3", "-2e+7", ".5", "1_000", "0x1f", "0o17", "017", "1:30", "+1"),
        *("yes", "No", "on", "~", "null", "Null", "", " ", "true", ".inf", "-.INF", ".nan"),
        *("2024-01-01", "<<", "=", "#", "- a", "a: b", "a #b", "'", '"', "[", "{", "&a", "*a"),
        *("!!str", "|", ">", "%", "@", "`", "é", "日本", "\u2028", "\ufeff", "\n", "a\nb", "\t"),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | LIKE_OTHERS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES, min_size=1))
def test_what_is_written_is_read_as_the_same(content: dict[str, Any]) -> None:
    assert parse(write(content), "x").data == content


@pytest.mark.parametrize("text", ["1e-3", "3e-3", "1E5", "no", "0.5", "1_000", "~", ""])
def test_text_like_a_number_or_word_stays_text(text: str) -> None:
    assert parse(write({"name": text}), "x").data == {"name": text}


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="is read as"):
        write({"value": (1, 2)})
