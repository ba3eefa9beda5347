"""What a model reads at a step: the values of its features, and what it is told of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """What the last inputs of a step tell: which features are there, how long ago they last were.

    They come behind the values in this order: for each feature 1 where it is there and 0 where it
    is missing, for each feature the time since it last was, and the time since the step before.
    """

    features: int = 0  #: those of which it is told; 0 where nothing can be missing
    gap: bool = False  #: whether the last input is the time since the step before

    @property
    def width(self) -> int:
        """How many inputs tell this."""
        return 2 * self.features + self.gap

    @property
    def since(self) -> int:
        """How many inputs a decay with time reads: one for each feature, or the step's own gap."""
        return self.features or int(self.gap)


#: Where every input is a value.
NOTHING = Told()


@dataclass(frozen=True)
class Inputs:
    """How many inputs a step has."""

    values: int
    told: Told = NOTHING

    @property
    def total(self) -> int:
        """All of them."""
        return self.values + self.told.width

    @classmethod
    def of(cls, inputs: "int | Inputs") -> "Inputs":
        """Return a number of inputs as values alone."""
        return cls(inputs) if isinstance(inputs, int) else inputs
