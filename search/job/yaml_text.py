"""Writes plain data as YAML that search/job/yaml_lines.py reads as the same data."""

import re
from typing import Any

import yaml

from search.job.yaml_lines import parse, plain

_BARE = re.compile(r"[A-Za-z_.][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")  # text that needs no quotes


def write(content: dict[str, Any]) -> str:
    """Return the YAML of a mapping. Raises ValueError where it would be read as something else."""
    text: str = yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=10_000,
    )
    read = parse(text, "what was written")
    if read.problems or read.data != content:
        raise ValueError(f"{content!r} is read as {read.data!r}")
    return text


def scalar(text: str) -> str:
    """Return a text as it stands in YAML, also in a list in brackets: quoted where need be."""
    if _BARE.fullmatch(text) and isinstance(plain(text), str):
        return text
    quoted: str = yaml.dump(text, default_style='"', allow_unicode=True, width=100_000)
    return quoted.rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """Quotes odd characters, and text that our reader takes for a number where YAML does not."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    unquoted = isinstance(plain(text), str) and text.isprintable()
    style = None if unquoted else '"'  # in which line breaks of every kind are escaped
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
