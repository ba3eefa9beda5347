"""What is refused, and with which message."""

from collections.abc import Callable

import pytest

from spaces.errors import InputError


def refused(call: Callable[[], object], *parts: str) -> None:
    """Claim that a call raises InputError and that its text holds all of these parts."""
    with pytest.raises(InputError) as caught:
        call()
    missing = [part for part in parts if part not in str(caught.value)]
    assert not missing, str(caught.value)
