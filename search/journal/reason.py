"""Why a trial ended: the sentence that matters out of what Python or Ray say at length."""

import re

from spaces.text import printable

_FRAME = re.compile(r'^[ \t]+(File "|\^)', re.MULTILINE)  # of a traceback; Ray leaves out its own
_DEATH = re.compile(r"^The actor (?:is dead|died) because (.*)$", re.MULTILINE)
_DETAIL = "Worker exit detail: "  # before what Ray knows of a process that died
_FULL = " In full: "


def cause(reason: str) -> str:
    """Return the cause alone, in one line.

    Of a traceback that is the last exception, of a process that died what Ray knows of it, of
    anything else its first line.
    """
    text = printable(reason).strip()
    frames = list(_FRAME.finditer(text))
    if frames:
        after = text[frames[-1].end() :].splitlines()[1:]
        found = next((line.strip() for line in after if line and not line[0].isspace()), None)
        return found or text.splitlines()[-1].strip()
    if _FULL in text:
        return text.partition(_FULL)[0]
    if death := _DEATH.search(text):
        return f"the worker died: {death[1].rpartition(_DETAIL)[2]}"
    return text.partition("\n")[0]


def with_cause_first(reason: str) -> str:
    """Return a reason with its cause before everything else, from which `cause` takes it again."""
    text, first = printable(reason).strip(), cause(reason)
    return text if text.startswith(first) else f"{first}{_FULL}{text}"
