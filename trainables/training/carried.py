"""Training and scoring with states that are carried from window to window of a text."""

from dataclasses import dataclass

import torch

from spaces.config import TrialConfig
from trainables.cells.noise import NONE, Noise
from trainables.data.sequences import Data, Sequences
from trainables.data.streams import Streams, Window
from trainables.layers.model import Model
from trainables.training.example_scores import ExampleScores
from trainables.training.metrics import SCORES, Scored, Totals

#: Steps of a window when a text is scored: what is computed does not depend on it.
SCORED_STEPS = 4096


def trained_streams(config: TrialConfig, data: Data) -> Streams | None:
    """Return the streams that a training reads; None where it reads its sequences one by one."""
    if config.carry_state != "always":
        return None
    steps = data.info.longest - 1 if config.truncation is None else config.truncation
    return Streams(data.train, config.batch_size, steps)


def scored_in_one(config: TrialConfig, sequences: Sequences) -> bool:
    """Return whether a part is scored as one text.

    A sequence that is no window of a text is read from its first step on in any case.
    """
    return config.carry_state != "never" and sequences.offsets is not None


@dataclass
class Carried:
    """A model that reads some streams, and the states that it has reached in each of them."""

    model: Model
    streams: int

    def __post_init__(self) -> None:
        self._states = self.model.initial_states(self.streams)
        self._begin = self.model.initial_states(1)

    def score(self, window: Window, noise: Noise = NONE) -> Scored:
        """Read the next window of some streams and score it; gradients go back to its start."""
        device = next(self.model.parameters()).device
        streams_B, first_B1 = window.streams.to(device), window.first.to(device).unsqueeze(1)
        states = [
            {
                name: torch.where(first_B1, begin[name], value.index_select(0, streams_B))
                for name, value in state.items()
            }
            for state, begin in zip(self._states, self._begin, strict=True)
        ]
        batch = window.batch.to(device)
        outputs, after = self.model.carried(batch.x, batch.lengths, states, noise)
        for state, new in zip(self._states, after, strict=True):
            for name, value in state.items():
                value.index_copy_(0, streams_B, new[name])
        return SCORES[self.model.info.kind](outputs, batch)


def evaluate(
    model: Model, data: Data, sequences: Sequences, examples: ExampleScores | None = None
) -> dict[str, float]:
    """Return all metrics on a part of a text that is read from its beginning to its end.

    Every target is scored once, and all that comes before it in its stretch is known.
    """
    streams, totals = Streams(sequences, 1, SCORED_STEPS), Totals(data.info, data.unit(sequences))
    carried = Carried(model, 1)
    model.eval()
    with torch.inference_mode():
        for window in streams:
            scored = carried.score(window)
            totals.add(scored)
            if examples is not None:
                assert scored.predicted is not None
                examples.add_targets(streams.targets.sequence[window.targets], *scored.predicted)
    return totals.metrics()
