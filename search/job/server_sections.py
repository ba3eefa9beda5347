"""Sections of a job file that name servers: where runs are recorded, and where studies are kept."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from search.job.urls import Url, same_server
from spaces.fields import Fault, Integer, Number, Section, Text, refusal
from spaces.text import show


class TrackingSection(Section):
    """Where runs are recorded for people."""

    uri: Annotated[Text, Url("http", "https")] | None = Field(
        None, description="http(s)://… of an MLflow server; null is SQLite in the runs folder."
    )
    also: Annotated[Text, Url("http", "https")] | None = Field(
        None, description="http(s)://… of a second server that gets the same runs."
    )

    @model_validator(mode="after")
    def _check_other_server(self) -> Self:
        # Two mirrors at work on one server would double every run.
        if self.uri is not None and self.also is not None and same_server(self.uri, self.also):
            rule = f"also must be another server than uri, not {show(self.also)}"
            raise refusal([Fault(rule, "remove also, or name another server", ("also",))])
        return self


class StorageSection(Section):
    """Where journal and checkpoints are stored. Passwords come from the environment alone."""

    study: Annotated[Text, Url("postgresql")] | None = Field(
        None, description="postgresql://user@host/database; null is the job's folder."
    )
    checkpoints: Annotated[Text, Url("s3")] | None = Field(
        None, description="s3://bucket/prefix; null is the job's folder."
    )
    keep_best: Integer | None = Field(
        10,
        ge=1,
        description="Complete trials of each arm that keep their weights, beside finalists; "
        "null is all.",
    )
    limit_gb: Number | None = Field(
        None,
        gt=0,
        description="Gigabytes (10^9 bytes) that the job's checkpoints may hold: over it nothing "
        "new begins; null is no limit.",
    )
