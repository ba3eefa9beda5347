"""What MLflow holds of a run, and which tags differ from it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from search.tracking.mlflow_compat import NOTE_TAG

NOTE_DIGEST = "gatesearch.note"  #: tag that tells whether people have edited a note since


@dataclass
class Stored:
    """What MLflow holds of a run."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str]
    has_data: bool
    artifacts: str

    @classmethod
    def of(cls, run: Any) -> "Stored":
        return cls(
            run_id=run.info.run_id,
            status=run.info.status,
            tags=dict(run.data.tags),
            params=set(run.data.params),
            has_data=bool(run.inputs and run.inputs.dataset_inputs),
            artifacts=run.info.artifact_uri or "",
        )


def changed_tags(tags: dict[str, str], stored: dict[str, str]) -> dict[str, str]:
    """Return the tags that differ from what is stored; a note that people have edited is theirs."""
    signed = with_signed_note(tags)
    changed = {name: text for name, text in signed.items() if stored.get(name) != text}
    note = stored.get(NOTE_TAG)
    if note is not None and stored.get(NOTE_DIGEST) != digest_of(note.encode()):
        changed.pop(NOTE_TAG, None)
        changed.pop(NOTE_DIGEST, None)
    return changed


def with_signed_note(tags: dict[str, str]) -> dict[str, str]:
    """Return tags with a digest of the note, which tells whether people have edited it since."""
    return tags | ({NOTE_DIGEST: digest_of(tags[NOTE_TAG].encode())} if NOTE_TAG in tags else {})


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
