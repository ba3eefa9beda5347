"""What the note of a job's own run says of the metrics and tags below it."""

from spaces.kinds import Metric

_NOTE = """\
One run per trial; this run is their parent. gatesearch writes them from the job's journal.

| metric of a trial | meaning |
|---|---|
| `train_loss`, `seconds` | training loss and time of each epoch |
| `{metric}` | what the job is decided by, on validation data, each epoch ({direction}) |
| other plain names | further metrics on validation data, each epoch |
| `learning_rate`, `gradient_norm` | of each epoch; the norm is a mean over steps, before clipping |
| `sequences_per_second` | training sequences over the time of an epoch, validation included |
| `best_{metric}` | its best epoch |
| `test_…` | confirm phase only: on test data, with the best epoch's weights |
| `training_…` | on training data, as it is scored there: without dropout |
| `gap` | how much better training data is scored than test data, in `{metric}` |
| `parameters`, `train_seconds` | size of the model, training time in all |
| `flops_per_step` | of a forward pass, estimated: two for each parameter |
| `arm_number` | place of its arm in the job file, from 0 |
| `latency_ms` | of one typical sequence before training, where the job limits it |

`trials_ended`, `trials_complete` (pruned, …) and `training_seconds` on this run grow with the
search, `confirm_seconds` with its replicates; `training_seconds/ARM` is an arm's part.
`best_{metric}/ARM` on this run is the best complete trial of an arm after so many trials;
`test_{metric}_mean/ARM`, `_std`, `_low` and `_high` (the least and the largest) are over the
replicates of its finalist. Of the finished job, `difference/A over B` is by how much A's test
results are larger, `win_probability/A over B` how often A wins a pair, both with the verdict's
intervals (`_low`, `_high`).
`baseline_NAME` and `test_baseline_NAME` are what is reached without a model.

Tags: `verdict` of the finished job (decided, undecided, nothing-learned, too-easy or none) and its
`winner`, on this run; `phase` search or confirm, `state` complete, pruned, diverged, failed,
running or interrupted, `arm`, `cell`, `gates`, `control`, `generation` (of the driver), `reason`,
`path` and `latency_path` (code, device and precision that times are of).
"""


def runs_note(metric: Metric) -> str:
    """Return the note, in Markdown."""
    return _NOTE.format(metric=metric.name, direction=metric.direction)
