"""What sections of a job file are made of: base model, scalar types, short forms and faults."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from spaces.text import show

NAME = "^[a-z0-9][a-z0-9-]{0,62}$"  #: a hyphen in front would make it an option of a command

Integer = Annotated[int, Field(strict=True)]  #: no text, no true or false
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]
Name = Annotated[str, Field(strict=True, pattern=NAME)]  #: of a job or an arm

AUTO: Literal["auto"] = "auto"


class Section(BaseModel):
    """A mapping of the job file: immutable, and every key of it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: "<...>" where a key may hold one of several sections; no key looks like that in error paths.
    form: ClassVar[str] = ""


@dataclass(frozen=True, eq=False)
class ShortForm:
    """Lets a section be written as a single text, the value of one of its keys.

    what: the section as a message names it. example: how it may be written.
    schema: the JSON Schema of the text.
    """

    key: str
    what: str
    example: str
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [self.schema, handler(core)]}

    def _read(self, written: Any) -> Any:
        if isinstance(written, str):
            return {self.key: written}
        if isinstance(written, dict | Section):
            return written
        rule = f"must be {self.what} or a mapping, not {show(written)}"
        raise refusal([Fault(rule, f"write {self.example}")])


@dataclass(frozen=True, eq=False)
class OrAuto:
    """Has a key take a number, or the word auto; a fault is told once.

    number: the annotated type of the number. what, example: the number as a message names it, and
    how the key may be written.
    """

    number: Any
    what: str
    example: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(
            self._read, handler.generate_schema(self.number), serialization=as_it_is
        )

    def __get_pydantic_json_schema__(
        self, core: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": AUTO}, handler(core["schema"])]}

    def _read(self, written: Any, number: core_schema.ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(written, str):
            return number(written)
        if written == AUTO:
            return AUTO
        raise refusal([Fault(f"must be {self.what} or auto, not {show(written)}", self.example)])


@dataclass(frozen=True, eq=False)
class OneOrSeveral:
    """Has a key take a text or a list of two and more; a list of one is that text.

    what: the text as a message names it.
    """

    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

    def _read(self, written: Any) -> str | tuple[str, ...]:
        if isinstance(written, str):
            return written
        listed = written if isinstance(written, list | tuple) else ()
        if listed and all(isinstance(each, str) for each in listed):
            return listed[0] if len(listed) == 1 else tuple(listed)
        rule = f"must be {self.what} or a list of them, not {show(written)}"
        raise refusal([Fault(rule, "write a, or [a, b]")])


@dataclass(frozen=True)
class Fault:
    """A broken rule: the rule with the value that broke it, what to do about it, and where it is.

    path: below the value that is being validated; with top, from the job file's top instead.
    """

    rule: str
    remedy: str
    path: tuple[str | int, ...] = ()
    top: bool = False

    def below(self, *path: str | int) -> "Fault":
        """Return the same fault as seen from a value that holds this one."""
        return self if self.top else replace(self, path=(*path, *self.path))


def refusal(faults: Iterable[Fault]) -> PydanticCustomError:
    """Return the error by which a validator reports faults."""
    found = tuple(faults)
    text = "; ".join(fault.rule for fault in found).replace("{", "(").replace("}", ")")
    return PydanticCustomError("refused", text, {"faults": found})
