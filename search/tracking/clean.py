"""Names and texts as MLflow takes them: allowed, short enough, and two that differ stay two."""

import hashlib
import json
from typing import Any

from search.tracking.mlflow_compat import (
    FORBIDDEN_IN_NAMES,
    LONGEST_NAME,
    LONGEST_PARAM,
    LONGEST_TAG,
)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted path; lists are leaves."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            leaves |= flatten(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def clean_params(values: dict[str, Any]) -> dict[str, str]:
    """Return params as MLflow takes them: strings, and names that it allows."""
    return {
        clean_name(name): shorten(_text(value), LONGEST_PARAM) for name, value in values.items()
    }


def clean_tags(values: dict[str, Any]) -> dict[str, str]:
    """Return tags as MLflow takes them; those without a value are left out."""
    return {
        clean_name(name): shorten(_text(value), LONGEST_TAG)
        for name, value in values.items()
        if value is not None
    }


def clean_name(name: str) -> str:
    """Return a name that MLflow allows and that cannot be taken for another path.

    A name that had to be changed gets a short digest of the original, so that two stay two.
    """
    allowed = FORBIDDEN_IN_NAMES.sub("_", name)
    parts = [part for part in allowed.split("/") if part not in ("", ".", "..")]
    cleaned = "/".join(parts) or "_"
    if cleaned == name and len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{cleaned[: LONGEST_NAME - 9]}-{digest}"


def shorten(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, with an ellipsis where it was cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def clean_text(text: str) -> str:
    """Return a text as MLflow takes it: half a surrogate pair, which cannot be sent, is a ?."""
    return text.encode(errors="replace").decode()


def _text(value: Any) -> str:
    shown = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )
    return clean_text(shown)
