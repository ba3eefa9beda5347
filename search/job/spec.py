"""The job: what is compared on which task, under which budget, and where it is stored."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.job.confirm_section import ConfirmSection
from search.job.feasibility import limit_faults, memory_fault, weights_faults
from search.job.messages import problem_of, problems_of
from search.job.origin import base_of, without_origin
from search.job.resources_section import ResourcesSection
from search.job.sections import (
    JobFile,
    SearchSection,
    TrainingSection,
    place_faults,
)
from search.job.server_sections import StorageSection, TrackingSection
from search.job.start_section import start_limit_faults
from search.job.yaml_lines import Source, parse, read_text
from search.job.yaml_text import write
from spaces.arms import Arm
from spaces.domains import Fixed
from spaces.errors import InputError
from spaces.fields import Fault
from spaces.hyperparameters import UNSEARCHED
from spaces.space import plain_space
from spaces.tasks import TaskInfo, TaskSpec

#: Keys of the search section whose defaults were others in earlier versions.
_CHANGED_DEFAULTS = ("control_fraction", "pruner", "prior", "sampler")


@dataclass(frozen=True)
class JobSpec:
    """A job file that breaks no rule, with its arms resolved."""

    name: str
    task: TaskSpec
    arms: tuple[Arm, ...]
    training: TrainingSection
    search: SearchSection
    confirm: ConfirmSection
    resources: ResourcesSection
    tracking: TrackingSection
    storage: StorageSection
    base: Path  #: the folder that relative paths of the file start from
    warnings: tuple[str, ...] = ()  #: settings that nothing reads
    _file: JobFile = field(repr=False, compare=False, kw_only=True)
    _source: Source = field(repr=False, compare=False, kw_only=True)

    @classmethod
    def load(cls, path: str | Path) -> "JobSpec":
        """Read a job file. Raises InputError with all its problems and their lines."""
        text = read_text(Path(path))
        return cls.loads(text, str(path), base=base_of(Path(path), text))

    @classmethod
    def loads(cls, text: str, name: str = "job", *, base: Path | None = None) -> "JobSpec":
        """Read the text of a job file; name stands for the file in messages.

        base: the folder that relative paths start from, the current one by default.
        """
        return cls._of(parse(text, name), base or Path.cwd())

    @classmethod
    def from_dump(cls, dump: dict[str, Any], base: Path) -> "JobSpec":
        """Restore a job from its dump(). Raises InputError where the dump breaks a rule."""
        return cls._of(Source("the job's record", dump), base)

    @classmethod
    def recorded(cls, dump: dict[str, Any], base: Path) -> "JobSpec":
        """Restore a job from a journal; what an earlier version did not know had its default.

        Raises InputError where the record breaks a rule.
        """
        space, task, search = dump.get("space"), dump.get("task"), dump.get("search")
        if isinstance(space, dict):
            before = plain_space(UNSEARCHED, None)
            if "parameters" in space:
                del before["hidden_size"]  # it is solved for
            dump = {**dump, "space": {**before, **space}}
        if isinstance(task, dict) and task.get("kind") in ("classification", "regression"):
            dump = {**dump, "task": {"standardise": False, **task}}
        if isinstance(search, dict):
            dump = {**dump, "search": {"prior": "none", **search}}
        return cls.from_dump(dump, base)

    @classmethod
    def _of(cls, source: Source, base: Path) -> "JobSpec":
        try:
            file = JobFile.model_validate(source.data)
        except ValidationError as error:
            reported = {problem.place for problem in source.problems}
            found = problems_of(error, source, JobFile)
            rest = [problem for problem in found if problem.place not in reported]
            raise InputError([*source.problems, *rest]) from None
        if source.problems:
            raise InputError(source.problems)
        return cls(
            name=file.name,
            task=file.task,
            arms=file.resolve(),
            training=file.training,
            search=file.search,
            confirm=file.confirm,
            resources=file.resources,
            tracking=file.tracking,
            storage=file.storage,
            base=base,
            warnings=file.warnings(),
            _file=file,
            _source=source,
        )

    @property
    def text(self) -> str:
        """The job file as its user wrote it and as it was checked; it is not read again.

        A job that was restored from its dump has the dump's.
        """
        return without_origin(self._source.text) or write(self.dump())

    def dump(self) -> dict[str, Any]:
        """Return the job as plain JSON types, every default spelt out.

        It is itself a valid job file, and two files that mean the same give equal dumps.
        """
        return self._file.dump()

    @staticmethod
    def without_addresses(dump: dict[str, Any]) -> dict[str, Any]:
        """Return a dump without where its journal and its runs in MLflow lie: both may be moved.

        Nor how much may be stored, which may be changed.
        """
        movable = ("study", "limit_gb")
        storage = {name: place for name, place in dump["storage"].items() if name not in movable}
        return {name: dump[name] for name in dump if name != "tracking"} | {"storage": storage}

    def with_defaults_of(self, begun: dict[str, Any]) -> "JobSpec":
        """Return the job with the space of another one's dump where its own file says nothing.

        What is tried by default may have changed since a job was begun, and so may have whether own
        data is standardised and how it is searched.
        """
        dump, given = self.dump(), self._file.space.dump()
        space = {
            key: domain if key in given else begun["space"].get(key, domain)
            for key, domain in dump["space"].items()
        }
        task = dump["task"]
        if "standardise" in task and "standardise" not in self.task.model_fields_set:
            task = {**task, "standardise": begun["task"].get("standardise", True)}
        named = set(self.search.model_fields_set)
        if named & {"sampler", "pruner"}:  # the default of the one follows from the other
            named |= {"sampler", "pruner"}
        search = {
            key: value
            if key in named or key not in _CHANGED_DEFAULTS
            else begun["search"].get(key, value)
            for key, value in dump["search"].items()
        }
        changed = {"space": space, "task": task, "search": search}
        return JobSpec.from_dump({**dump, **changed}, self.base)

    def refusal(self, faults: Iterable[Fault]) -> InputError:
        """Return the error that reports these faults with their lines in the job file."""
        return InputError([problem_of(fault, self._source) for fault in faults])

    def placed(self, error: InputError) -> InputError:
        """Return an error of the task's data with lines in the job file where fields are at fault.

        Places in a file of the user's stay as they are.
        """
        fields = {
            f"{name}.{field}": (name, field)
            for name, section in (("task", self.task), ("confirm", self.confirm))
            for field in type(section).model_fields
        }
        return InputError(
            [
                replace(each, place=self._source.place(fields[each.place], missing=True))
                if each.place in fields
                else each
                for each in error.problems
            ]
        )

    def check(self, info: TaskInfo) -> "JobSpec":
        """Return the job with its arms bound to the task's sizes, which budgets of parameters need.

        Raises InputError for weights of classes that the task does not have, for combinations of a
        space that cannot meet their budget, and for arms or configurations to start from all of
        whose models are over the limit of parameters.
        """
        arms = tuple(arm.bind(*info.sizes) for arm in self.arms)
        if self.training.class_weights is not None:
            faults = weights_faults(Fixed(self.training.class_weights), info)
            faults = [fault.below("training") for fault in faults]
        else:
            faults = [
                fault
                for number, arm in enumerate(arms)
                for fault in place_faults(
                    self._file.arms[number],
                    number,
                    self._file.space,
                    weights_faults(arm.space["class_weights"], info),
                )
            ]
        faults += [
            fault
            for number, arm in enumerate(arms)
            for fault in place_faults(
                self._file.arms[number], number, self._file.space, arm.budget_faults()
            )
        ]
        if not faults and (most := self.search.constraints.parameters) is not None:
            faults = [fault for arm in arms for fault in limit_faults(arm, most)]
            faults = faults or list(start_limit_faults(self.search.start_from, arms, most))
        if faults:
            raise self.refusal(faults)
        return replace(self, arms=arms)

    def check_memory(self, available: int) -> None:
        """Raise InputError where the job, checked, may choose models that no memory holds.

        available: bytes of memory of a worker.
        """
        found = [
            fault
            for number, arm in enumerate(self.arms)
            if (one := memory_fault(arm, available)) is not None
            for fault in place_faults(self._file.arms[number], number, self._file.space, [one])
        ]
        if found:
            raise self.refusal(found)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job file (draft 2020-12), for `gatesearch schema` and editors."""
    schema = JobFile.model_json_schema()
    schema["title"] = "gatesearch job file"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
