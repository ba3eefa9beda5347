"""Where own data lies, which columns of a table play which part, and how they were read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    model_serializer,
    model_validator,
)

from spaces.fields import Fault, Integer, OneOrSeveral, Section, ShortForm, Text, refusal
from spaces.paths import in_home
from spaces.text import listed, show

TABLES = (".csv", ".parquet")  #: in long form: one row a step
SUFFIXES = (".npz", ".ts", ".txt", *TABLES)
CLASS = "class"  #: in place of a suffix: the data is made by a class, given by its dotted name
WINDOW = 100  #: characters of a text that are predicted in one sequence, by default
FILE, FOLDER = "file", "folder"  #: columns of a folder of tables: the file of a row, and its class
#: Parts that one column of a table plays; features may be several columns.
ROLES = ("id", "time", "target", "split", "group")

#: What is made of missing values among the features; see trainables.data.missing.
Missing = Literal["refuse", "forward", "mean", "mask"]

TrainedVocabulary = Literal["words", "bpe"]  #: of a text, learned from its training part
SIZE = 1000  #: symbols of such a vocabulary, by default

Label = str | int  #: of a class or a symbol, as the user wrote it
OneOrMore = str | tuple[str, ...]  #: columns that play one part; targets alone may be several


def several(names: OneOrMore | None) -> tuple[str, ...]:
    """Return the columns of one part."""
    return (names,) if isinstance(names, str) else names or ()


def is_class_name(name: str) -> bool:
    """Return whether a name without folders is a class's: module.Class, and no file's."""
    dotted = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\.[A-Z]\w*", name, re.ASCII)
    return dotted is not None and PurePath(name).suffix.lower() not in SUFFIXES


class DataSection(Section):
    """The user's own data: a file, and of a table the columns that play a part."""

    file: Text = Field(
        description=f"A file in {listed(SUFFIXES, 'or')}, or a folder of tables or .wav files, "
        "each one sequence; a relative path starts from the job file's folder. Or module.Class, "
        "of a module beside the job file or an installed one."
    )
    test: Text | None = Field(
        None,
        description="A second file of the same form whose sequences are the test part; the first "
        "one's are dealt 75/25 to training and validation.",
    )
    id: Text | None = Field(None, description="Column of a table: the sequence of each row.")
    time: Text | None = Field(
        None,
        description="Column: the order of rows in a sequence; null is that of the file.",
    )
    features: tuple[Text, ...] | None = Field(
        None,
        description="Columns that a model reads; text is encoded one-hot. Null is all columns of "
        "numbers that play no other part.",
    )
    future: tuple[Text, ...] | None = Field(
        None,
        description="Columns of a table, for forecasting: what is known of the steps ahead, such "
        "as holidays or prices; text is encoded one-hot. A model reads them as it reads features, "
        "and their values a horizon later.",
    )
    target: Annotated[str | tuple[str, ...], OneOrSeveral("a column's name")] | None = Field(
        None,
        description="Column: the class or number to predict, the same in a whole sequence. Several "
        "columns in a list are labels of 0 and 1 (multi-label), or several numbers (regression).",
    )
    split: Text | None = Field(None, description="Column: train, validation (or val) or test.")
    group: Text | None = Field(
        None, description="Column: sequences of one group are never dealt to different parts."
    )

    options: dict[str, Any] | None = Field(
        None, description="Of a class that makes the data: what its constructor is given by name."
    )
    missing: Missing = Field(
        "refuse",
        description="Of features that lack values (NaN, empty, ?): refuse; fill with the last "
        "value of the sequence (forward) or the mean of the training part; or mask: fill forward, "
        "and tell the model which were there and how many steps ago.",
    )
    time_gaps: StrictBool = Field(
        False,
        description="Whether a model reads the time since the step before, as an input more: in "
        "seconds where time is of dates, divided by its mean in the training part. cfc and gru-d "
        "let so much time pass; without it steps count. In an .npz times are its array time.",
    )
    window: Integer | None = Field(
        None,
        ge=1,
        description=f"Of a .txt: symbols that are predicted in one sequence; null is {WINDOW}.",
    )
    vocabulary: Literal["characters", TrainedVocabulary] = Field(
        "characters",
        description="Of a .txt, what its symbols are: characters; or learned from the training "
        "part, its most frequent words, or pieces of words by byte-pair encoding (bpe).",
    )
    size: Integer | None = Field(
        None, ge=2, description=f"Of words and bpe: symbols of the vocabulary; null is {SIZE}."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults = []
        if self.window is not None and self.suffix != ".txt":
            rule = f"window must be given for a .txt alone, not for {self.suffix or 'a folder'}"
            faults.append(Fault(rule, "remove it", ("window",)))
        if self.vocabulary != "characters" and self.suffix != ".txt":
            rule = f"vocabulary must be given for a .txt alone, not for {show(self.file)}"
            faults.append(Fault(rule, "remove it", ("vocabulary",)))
        if self.size is not None and self.vocabulary == "characters":
            rule = "size must be given for a vocabulary that is learned"
            faults.append(Fault(rule, "write vocabulary: words or bpe, or remove it", ("size",)))
        if self.options is not None and not self.is_class:
            rule = f"options must be given for a class alone, not for {show(self.file)}"
            faults.append(Fault(rule, "remove them, or give module.Class", ("options",)))
        if self.time_gaps and self.time is None and not self.has_arrays:
            rule = "time_gaps must have a time: the column that says when each step was"
            faults.append(Fault(rule, "name it: time: COLUMN, or remove time_gaps", ("time_gaps",)))
        faults += [*self._file_faults(), *self._test_faults(), *self._column_faults()]
        if faults:
            raise refusal(faults)
        return self

    def _file_faults(self) -> list[Fault]:
        file = self.file
        local = file.isprintable() and "://" not in file and file != ""
        if local and (self.suffix in SUFFIXES or self.is_folder or self.is_class):
            return []
        rule = f"data must be the path of a folder, or of a local file in {listed(SUFFIXES, 'or')}"
        remedy = "write a table as .csv or .parquet, or the arrays with numpy.savez"
        return [Fault(f"{rule}, not {show(file)}", remedy, ("file",))]

    def _test_faults(self) -> list[Fault]:
        if self.test is None:
            return []
        if self.is_class:
            rule = "test must not be given for a class, whose array split says who is for test"
            return [Fault(rule, "remove it", ("test",))]
        suffix = PurePath(self.test).suffix.lower()
        if not self.test.isprintable() or "://" in self.test or suffix != self.suffix:
            rule = "test must be the path of a local file or folder of the same form as file"
            remedy = f"write both with the ending {self.suffix or 'of folders: none'}"
            return [Fault(f"{rule}, not {show(self.test)}", remedy, ("test",))]
        if self.split is not None:
            rule = "test must not be given with split, which says who is for test"
            return [Fault(rule, "remove one of them", ("split",))]
        return []

    def _column_faults(self) -> list[Fault]:
        named = [(role, name) for role in ROLES for name in several(getattr(self, role))]
        if self.is_folder and self.id is not None:
            rule = "id must not be given for a folder: each of its files is a sequence"
            return [Fault(rule, "remove it", ("id",))]
        if not self.is_table and not self.is_folder:
            further = [name for name in ("features", "future") if getattr(self, name) is not None]
            given = [*dict(named), *further]
            rule = (
                f"{{}} must be a column of a table ({listed(TABLES, 'or')}), not of {self.suffix}"
            )
            return [Fault(rule.format(role), "remove it", (role,)) for role in given]
        faults = []
        for name in ("features", "future"):
            if getattr(self, name) == ():
                faults.append(Fault("must not be empty", "give at least one column", (name,)))
        taken: dict[str, str] = {}
        several_of = (("features", self.features), ("future", self.future))
        columns = [*named, *((role, name) for role, names in several_of for name in names or ())]
        for role, name in columns:
            if name not in taken:
                taken[name] = role
            elif all(fault.path != (role,) for fault in faults):
                rule = f"a column must play one part; {show(name)} is {taken[name]} and {role}"
                faults.append(Fault(rule, "name another column, or remove one", (role,)))
        return faults

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> str | dict[str, Any]:
        plain = {key: value for key, value in handler(self).items() if value is not None}
        if self.missing == "refuse":
            del plain["missing"]
        if not self.time_gaps:
            del plain["time_gaps"]
        if self.vocabulary == "characters":
            del plain["vocabulary"]
        return self.file if list(plain) == ["file"] else plain

    @property
    def suffix(self) -> str:
        """The ending of the file's name, or CLASS."""
        return CLASS if self.is_class else PurePath(self.file).suffix.lower()

    @property
    def is_class(self) -> bool:
        """Whether the data is made by a class: its dotted name, whose last part is capitalised."""
        return is_class_name(PurePath(self.file).name)

    @property
    def has_arrays(self) -> bool:
        """Whether the data are arrays by name: of an .npz, or made by a class."""
        return self.suffix == ".npz" or self.is_class

    @property
    def is_table(self) -> bool:
        """Whether the file has columns."""
        return self.suffix in TABLES

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files, each one sequence: its name has no ending."""
        return not self.suffix

    @property
    def columns(self) -> dict[str, OneOrMore | None]:
        """Which columns were named for which part."""
        return {name: getattr(self, name) for name in (*ROLES, "features")}

    def files(self, base: Path) -> list[Path]:
        """Return the files that a cluster needs, as the job file would name them."""
        files: list[Path] = []
        if self.is_class:
            module = in_home(self.file).with_name(PurePath(self.file).name.split(".")[0] + ".py")
            return [module] if (base / module).is_file() else []
        for own in map(in_home, filter(None, (self.file, self.test))):
            folder = base / own
            inside = folder.rglob("*") if self.is_folder else ()
            found = sorted(path for path in inside if path.is_file())
            files += [own / path.relative_to(folder) for path in found] or [own]
        return files

    def path(self, base: Path) -> Path:
        """Return the file of a job whose relative paths start from a folder."""
        return base / in_home(self.file)

    def test_path(self, base: Path) -> Path | None:
        """Return the file of the test part, where there is one."""
        return None if self.test is None else base / in_home(self.test)

    def anywhere(self, base: Path) -> str | dict[str, Any]:
        """Return the section as a job file in any folder may have it."""
        test = self.test_path(base)
        places = {"file": str(self.path(base).resolve())}
        if test is not None:
            places["test"] = str(test.resolve())
        moved = self.model_copy(update=places)
        plain: str | dict[str, Any] = moved.model_dump(mode="json")
        return plain


#: The text that a section of data may be written as.
SHORT = ShortForm(
    "file", "the path of a file", "data.npz, or {file: data.csv, id: …}", {"type": "string"}
)


@dataclass(frozen=True)
class Feature:
    """A column that a model reads: as a number, or one-hot."""

    name: str
    categories: tuple[str, ...] | None = None  #: of text; None: the column holds numbers

    @property
    def inputs(self) -> list[str]:
        """The names of the model's inputs that the column becomes."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={category}" for category in self.categories]


@dataclass(frozen=True)
class Columns:
    """How a table was read, so that a model can be given another one."""

    features: tuple[Feature, ...]
    id: str | None = None
    time: str | None = None
    target: OneOrMore | None = None
    split: str | None = None
    group: str | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what dataclasses.asdict made plain. Raises KeyError and TypeError."""
        features = tuple(
            Feature(
                each["name"],
                None if each["categories"] is None else tuple(each["categories"]),
            )
            for each in plain["features"]
        )
        target = plain["target"]
        parts = {role: plain[role] for role in ROLES if role != "target"}
        return cls(features, target=tuple(target) if isinstance(target, list) else target, **parts)
