"""Job files that are refused: every mistake is named with place, rule and remedy."""

import re
from pathlib import Path
from typing import Any

import pytest
from drawn_spaces import jobs
from hypothesis import given
from hypothesis import strategies as st

from search.job.spec import JobSpec
from spaces.errors import InputError, Problem

HEAD = "name: a\ntask: {name: japanese-vowels}\narms: [lstm]\n"
ARMS = "name: a\ntask: {name: adding}\narms:\n"
TASK = "name: a\narms: [lstm]\ntask: "
TEXT = "name: a\ntask: {name: characters}\n"
JARGON = re.compile(r"(?i)pydantic|input should|union_tag|discriminator|traceback|value error|<|>")


def problems(text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        JobSpec.loads(text, "job.yaml")
    return list(caught.value.problems)


#: text, the only problem's place, parts of its rule and of its remedy
REFUSED: list[tuple[str, str, str, str]] = [
    # classes
    (
        TASK + "{name: adding}\ntraining: {class_weights: balanced}\n",
        "job.yaml:4: training.class_weights",
        "must be null for regression, which has no classes",
        "remove the key",
    ),
    (
        TASK + "{name: adding}\nspace: {class_weights: {choices: [balanced, null]}}\n",
        "job.yaml:4: space.class_weights",
        "this task has no classes",
        "remove the key",
    ),
    (
        HEAD + "training: {class_weights: [1, 0]}\n",
        "job.yaml:4: training.class_weights",
        "must be balanced, a number above 0 for each class",
        "write balanced",
    ),
    # states that are carried
    (
        HEAD + "training: {carry_state: always}\n",
        "job.yaml:4: training.carry_state",
        "must be never for classification, whose sequences are no text",
        "remove the key",
    ),
    (
        TEXT + "arms: [lstm, transformer]\ntraining: {carry_state: evaluation}\n",
        "job.yaml:3: arms[1]",
        "transformer-encoder has none",
        "remove carry_state, or the arm",
    ),
    (
        TEXT + "arms: [lstm]\nspace: {carry_state: {choices: [never, always]}}\n",
        "job.yaml:4: space.carry_state",
        "scored alike",
        "remove never",
    ),
    (
        TEXT + "arms: [lstm, {cell: gru, space: {carry_state: always}}]\n",
        "job.yaml:3: arms[1]",
        "all arms must be scored alike",
        "for all arms",
    ),
    (
        TEXT + "arms: [lstm]\nspace: {bidirectional: true}\ntraining: {carry_state: always}\n",
        "job.yaml:4: space.bidirectional",
        "must not see the future",
        "bidirectional: false",
    ),
    (
        TEXT + "arms: [lstm]\ntraining: {carry_state: sometimes}\n",
        "job.yaml:4: training.carry_state",
        "never, evaluation or always",
        "",
    ),
    # text and structure
    ("", "job.yaml", "empty", "name, task and arms"),
    ("# nothing\n", "job.yaml", "empty", "name, task and arms"),
    ("null\n", "job.yaml", "empty", "name, task and arms"),
    ("- a\n", "job.yaml:1", "a mapping, not a list", "name, task and arms"),
    ("hello\n", "job.yaml:1", "not 'hello'", "name, task and arms"),
    ("name: a\n\ttask: b\n", "job.yaml:2", "must be YAML", "spaces"),
    ("name: a\narms: [lstm\ntask: {}\n", "job.yaml:3", "must be YAML", "brackets"),
    ("name: \x01\n", "job.yaml:1", "without the character '\\x01'", "remove"),
    (HEAD + "---\n" + HEAD, "job.yaml:4", "one document", "---"),
    ("? [a, b]\n: 1\n", "job.yaml:1", "a key must be plain text", "brackets"),
    ("a: &x 1\nb: *x\n", "job.yaml:1: a", "anchors such as &x", "wherever"),
    ("a: *x\n", "job.yaml:1: a", "aliases such as *x", "wherever"),
    (
        HEAD + "search:\n  seed: !!int 3\n",
        "job.yaml:5: search.seed",
        "tags such as '!!int'",
        "plain value",
    ),
    (
        HEAD + "search: !!python/object/apply:os.system [ls]\n",
        "job.yaml:4: search",
        "'!!python/object/apply:os.system'",
        "plain value",
    ),
    (HEAD + "x:\n " + "[" * 30 + "]" * 30, "job.yaml:5: x" + "[0]" * 19, "20 deep", "ten"),
    (HEAD + "confirm: {seeds: 1}\nconfirm: {seeds: 2}\n", "job.yaml:5: confirm", "line 4", "one"),
    # replicates
    (HEAD + "confirm: {design: split}\n", "job.yaml:4: confirm.design", "'split'", "splits?"),
    (HEAD + "confirm: {replicates: many}\n", "job.yaml:4: confirm.replicates", "auto", "auto, or"),
    (HEAD + "confirm: {replicates: -1}\n", "job.yaml:4: confirm.replicates", "least 0", "0"),
    (HEAD + "confirm: {replicates: auto}\n", "job.yaml:4: confirm.replicates", "one arm", "add an"),
    (
        HEAD + "confirm: {seeds: 3, design: splits}\n",
        "job.yaml:4: confirm.seeds",
        "without design",
        "write replicates: 3 in place of seeds: 3",
    ),
    (HEAD + "confirm: {seeds: 3, replicates: 3}\n", "job.yaml:4: confirm.seeds", "without rep", ""),
    (
        HEAD + "search: {constraints: {latency_ms: 5}}\nconfirm: {design: nested}\n",
        "job.yaml:5: confirm.design",
        "not be nested beside search.constraints.latency_ms",
        "use design splits",
    ),
    (HEAD + "confirm: {margin: -0.1}\n", "job.yaml:4: confirm.margin", "at least 0", "0"),
    (HEAD + "confirm: {confidence: 1}\n", "job.yaml:4: confirm.confidence", "below 1", "1"),
    (HEAD + "confirm: {max_replicates: 0}\n", "job.yaml:4: confirm.max_replicates", "least 1", "1"),
    (HEAD + "confirm: {configurations: 0}\n", "job.yaml:4: confirm.configurations", "least 1", "1"),
    # keys
    ("task: {name: adding}\narms: [lstm]\n", "job.yaml:1: name", "name is missing", "add"),
    (HEAD + "serach: {}\n", "job.yaml:4: serach", "unknown key 'serach'", "mean search?"),
    (HEAD + "trials: 3\n", "job.yaml:4: trials", "unknown key", "mean search.trials?"),
    (HEAD + "space: {lr: 1}\n", "job.yaml:4: space.lr", "unknown key", "mean learning_rate?"),
    (
        HEAD + "training:\n  epochs: 3\n",
        "job.yaml:5: training.epochs",
        "unknown key",
        "mean max_epochs?",
    ),
    (
        HEAD + "space: {max_epochs: 3}\n",
        "job.yaml:4: space.max_epochs",
        "unknown key",
        "mean training.max_epochs?",
    ),
    (HEAD + '"\\e[1m": 1\n', "job.yaml:4: '\\x1b[1m'", "unknown key '\\x1b[1m'", "valid here"),
    (HEAD + "models: [gru]\n", "job.yaml:4: models", "unknown key", "mean arms?"),
    (HEAD + "epochs: 3\n", "job.yaml:4: epochs", "unknown key", "training.max_epochs or search"),
    (HEAD + "<<: {}\n", "job.yaml:4: <<", "unknown key '<<'", "valid here: name, task"),
    # types
    ("name: 5\n" + HEAD[8:], "job.yaml:1: name", "text, not 5", '"5"'),
    ("name: yes\n" + HEAD[8:], "job.yaml:1: name", "text, not true", "quotes"),
    ("name: My Job\n" + HEAD[8:], "job.yaml:1: name", "a-z, 0-9 and -, not 'My Job'", "my-job"),
    ("name: --root\n" + HEAD[8:], "job.yaml:1: name", "begin with a letter", "write root"),
    ("name: '-'\n" + HEAD[8:], "job.yaml:1: name", "begin with a letter", "another name"),
    ("name: ''\n" + HEAD[8:], "job.yaml:1: name", "1 to 63", "another name"),
    (HEAD + "search: {trials: '12'}\n", "job.yaml:4: search.trials", "not '12'", "quotes: 12"),
    (HEAD + "search: {trials: 012}\n", "job.yaml:4: search.trials", "not '012'", "quotes: 12"),
    (HEAD + "search: {trials: true}\n", "job.yaml:4: search.trials", "not true", "whole number"),
    (HEAD + "search: {trials: 1.5}\n", "job.yaml:4: search.trials", "not 1.5", "whole number"),
    (HEAD + "search: {trials: 0}\n", "job.yaml:4: search.trials", "at least 1, not 0", "least 1"),
    (HEAD + "search: {trials: .nan}\n", "job.yaml:4: search.trials", "not nan", "whole number"),
    (HEAD + "search: {wall_clock: .inf}\n", "job.yaml:4: search.wall_clock", "finite", "number"),
    (HEAD + "search: {wall_clock: 1:00}\n", "job.yaml:4: search.wall_clock", "'1:00'", "number"),
    (HEAD + "search: {seed: 1e400}\n", "job.yaml:4: search.seed", "not inf", "whole number"),
    (
        HEAD + "space: {learning_rate: 1e-4..1e-2}\n",
        "job.yaml:4: space.learning_rate",
        "'1e-4..1e-2'",
        "{low: …, high: …}",
    ),
    (HEAD + "search: [1]\n", "job.yaml:4: search", "a mapping, not a list", "key: value"),
    (HEAD + "space:\n", "job.yaml:4: space", "a mapping, not null", "remove the key"),
    (HEAD + "search: {control_fraction: 2}\n", "job.yaml:4: search.control_fraction", "1", "most"),
    (HEAD + "training: {optimizer: Adam}\n", "job.yaml:4: training.optimizer", "'Adam'", "adam?"),
    (HEAD + "resources: {gpus_per_trial: 1.5}\n", "job.yaml:4: resources.gpus_per_trial", "", "2"),
    (
        HEAD + "resources: {gpus_per_trial: all}\n",
        "job.yaml:4: resources.gpus_per_trial",
        "must be a number or auto, not 'all'",
        "write auto",
    ),
    (
        HEAD + "resources: {gpus_per_trial: true}\n",
        "job.yaml:4: resources.gpus_per_trial",
        "",
        "number",
    ),
    (
        HEAD + "resources: {gpus_per_trial: -1}\n",
        "job.yaml:4: resources.gpus_per_trial",
        "at le",
        "0",
    ),
    (
        HEAD + "resources: {cpu_trials: true}\n",
        "job.yaml:4: resources.cpu_trials",
        "must come with gpus_per_trial: auto, not 0",
        "gpus_per_trial: auto, or remove",
    ),
    # task
    (TASK + "adding\n", "job.yaml:3: task", "mapping, not 'adding'", "{name: adding}"),
    (TASK + "{name: vowels}\n", "job.yaml:3: task", "a built-in task, not 'vowels'", "kind: …"),
    (TASK + "{name: ading}\n", "job.yaml:3: task", "a built-in task, not 'ading'", "mean adding?"),
    (TASK + "{}\n", "job.yaml:3: task", "a name, or kind and data", "{name: japanese-vowels}"),
    (TASK + "{data: a.npz}\n", "job.yaml:3: task.kind", "kind is missing", "add"),
    (TASK + "{kind: next, data: a.npz}\n", "job.yaml:3: task.kind", "not 'next'", "next-token"),
    (
        TASK + "{kind: next-step, data: a.xls}\n",
        "job.yaml:3: task.data",
        "'a.xls'",
        "numpy.savez",
    ),
    (
        TASK + "{kind: next-step, data: {file: a.npz, split: part}}\n",
        "job.yaml:3: task.data.split",
        "split must be a column of a table (.csv or .parquet), not of .npz",
        "remove it",
    ),
    (
        TASK + "{kind: regression, data: {file: a.csv, id: p}}\n",
        "job.yaml:3: task.data",
        "target must name the column",
        "`gatesearch init a.csv` finds it",
    ),
    (
        TASK + "{kind: next-step, data: {file: a.csv, target: p}}\n",
        "job.yaml:3: task.data.target",
        "must not be given for next-step",
        "remove it",
    ),
    (
        TASK + "{kind: regression, data: {file: a.csv, id: p, target: q, features: [p, q]}}\n",
        "job.yaml:3: task.data.features",
        "a column must play one part; 'p' is id and features",
        "name another column",
    ),
    (
        TASK + "{kind: regression, data: {file: a.csv, key: p}}\n",
        "job.yaml:3: task.data.key",
        "unknown key 'key'",
        "id",
    ),
    (
        TASK + "{name: mine, kind: next-step, data: a.npz}\n",
        "job.yaml:3: task",
        "'mine'",
        "remove the name",
    ),
    (
        TASK + "{name: symbolic}\n",
        "job.yaml:3: task.complexity",
        "missing",
        "add the key complexity: ",
    ),
    (
        TASK + "{name: adding, metric: acc}\n",
        "job.yaml:3: task.metric",
        "the metric of a regression task must be mse, loss, mae or rmse, not 'acc'",
        "mse, loss, mae or rmse",
    ),
    (
        TASK + "{name: symbolic, complexity: 9, length: 50}\n",
        "job.yaml:3: task",
        "a window of 100 must be below the length of 50",
        "below the length",
    ),
    # arms
    (ARMS[:-1] + " lstm\n", "job.yaml:3: arms", "a list, not 'lstm'", "[lstm]"),
    (ARMS[:-1] + " []\n", "job.yaml:3: arms", "empty", "at least one"),
    (ARMS[:-1] + " {lstm: , gru: }\n", "job.yaml:3: arms", "a list, not a mapping", "[lstm, gru]"),
    (ARMS + "- lstm\n- ltsm\n", "job.yaml:5: arms[1]", "no cell 'ltsm'", "mean lstm?"),
    (ARMS + "- 3\n", "job.yaml:4: arms[0]", "a cell's name or a mapping, not 3", "{cell: lstm}"),
    (ARMS + "- lstm: {}\n", "job.yaml:4: arms[0].lstm", "unknown key", "{cell: lstm, …}"),
    (ARMS + "- lstm\n- lstm\n", "job.yaml:5: arms[1]", "arms[0] has it", "name of its own"),
    (ARMS + "- {name: x}\n", "job.yaml:4: arms[0]", "either cell or cells", "cells: [lstm, gru]"),
    (ARMS + "- {name: x, cell: gru, cells: [gru]}\n", "job.yaml:4: arms[0]", "either", "cell"),
    (ARMS + "- cells: [gru, lstm]\n", "job.yaml:4: arms[0]", "must have a name", "name: any"),
    (ARMS + "- {name: x, cells: []}\n", "job.yaml:4: arms[0].cells", "empty", "at least one"),
    (
        ARMS + "- name: x\n  cells:\n  - gru\n  - gru-reset-after\n",
        "job.yaml:7: arms[0].cells[1]",
        "listed once",
        "gates",
    ),
    (
        ARMS + "- {name: x, cells: [gru], gates: reset-after}\n",
        "job.yaml:4: arms[0].gates",
        "beside each cell",
        "cells: [{cell",
    ),
    (
        ARMS + "- cell: gru\n  gates: [reset-after, reset-aftr]\n",
        "job.yaml:5: arms[0].gates[1]",
        "no gate variant 'reset-aftr'",
        "mean reset-after?",
    ),
    (
        ARMS + "- {cell: rnn, gates: [tanh, tanh]}\n",
        "job.yaml:4: arms[0].gates[1]",
        "tanh must be listed once",
        "remove",
    ),
    (
        ARMS + "- {cell: rnn-tanh, gates: tanh}\n",
        "job.yaml:4: arms[0].gates",
        "which names its own",
        "cell: rnn",
    ),
    (
        ARMS + "- cell: lstm\n  space:\n    depth: {low: 3, high: 2}\n",
        "job.yaml:6: arms[0].space.depth",
        "low 3 must not be above high 2",
        "exchange",
    ),
    # rules across sections
    (
        HEAD + "space: {batch_size: 8}\ntraining: {batch_size: 8}\n",
        "job.yaml:5: training.batch_size",
        "in space or in training, not in both",
        "leave it in",
    ),
    (
        HEAD + "search: {trials: 1, worker_seconds: 5}\n",
        "job.yaml:4: search.worker_seconds",
        "trials and worker_seconds must not be given together",
        "all but one",
    ),
    (
        HEAD + "search: {epochs: 5}\n",
        "job.yaml:4: search.epochs",
        "at least training.max_epochs 27, not 5",
        "max_epochs",
    ),
    (
        HEAD + "training: {max_epochs: 3}\nsearch:\n  pruner: {kind: median, min_epochs: 4}\n",
        "job.yaml:6: search.pruner.min_epochs",
        "at most training.max_epochs 3, not 4",
        "pruner: none",
    ),
    (
        "name: a\ntask: {name: characters}\narms: [gru]\nspace:\n  bidirectional: true\n",
        "job.yaml:5: space.bidirectional",
        "see the future",
        "false",
    ),
    (
        ARMS + "- lstm\n- transformer\nspace:\n  hidden_size: {low: 8, high: 9}\n",
        "job.yaml:7: space.hidden_size",
        "hidden_size 9 of arm transformer must be divisible by its 4 heads",
        "{choices: [16, 32]}",
    ),
    (
        ARMS + "- cell: transformer\n  space: {heads: 3}\n",
        "job.yaml:5: arms[0].space",
        "must be divisible by its 3 heads",
        "{choices: [12, 24]}",
    ),
    (
        HEAD.replace("lstm", "lstm, rnn") + "space:\n  forget_bias: chrono\n",
        "job.yaml:5: space.forget_bias",
        "forget_bias must be left out in arm rnn: no gate with a bias",
        "space: {forget_bias: default} in this arm",
    ),
    (
        ARMS + "- cell: rnn-irnn\n  space: {recurrent_init: xavier}\n",
        "job.yaml:5: arms[0].space.recurrent_init",
        "no recurrent matrix whose start can be chosen is in rnn-irnn",
        "remove recurrent_init",
    ),
    (HEAD + "space: {forget_bias: 1}\n", "job.yaml:4: space.forget_bias", "zero, one", "default"),
    # search, tracking and storage
    (HEAD + "search: {sampler: TPE}\n", "job.yaml:4: search.sampler", "'TPE'", "mean tpe?"),
    (HEAD + "search: {sampler: os/x}\n", "job.yaml:4: search.sampler", "'os/x'", "package.module"),
    (HEAD + "search: {pruner: asha}\n", "job.yaml:4: search.pruner", "'asha'", "successive"),
    (HEAD + "search: {pruner: null}\n", "job.yaml:4: search.pruner", "not null", "none"),
    (HEAD + "search: {pruner: {}}\n", "job.yaml:4: search.pruner", "kind is missing", "median"),
    (
        HEAD + "search: {pruner: {kind: median, patience: 3}}\n",
        "job.yaml:4: search.pruner.patience",
        "unknown key",
        "another kind",
    ),
    (HEAD + "tracking: {uri: file:///x}\n", "job.yaml:4: tracking.uri", "file:///x", "https://…"),
    (HEAD + "tracking: {uri: 'http://'}\n", "job.yaml:4: tracking.uri", "name a host", "http://…"),
    (
        HEAD + "tracking: {uri: 'http://Host:5000/', also: 'http://host:5000'}\n",
        "job.yaml:4: tracking.also",
        "also must be another server than uri, not 'http://host:5000'",
        "remove also",
    ),
    (HEAD + "storage: {study: sqlite:///x}\n", "job.yaml:4: storage.study", "sqlite", "null"),
    (
        HEAD + "storage: {checkpoints: 's3:/b'}\n",
        "job.yaml:4: storage.checkpoints",
        "'s3:/b'",
        "s3://…",
    ),
]


@pytest.mark.parametrize(("text", "place", "rule", "remedy"), REFUSED)
def test_a_mistake_is_reported_with_place_rule_and_remedy(
    text: str, place: str, rule: str, remedy: str
) -> None:
    (problem,) = problems(text)
    assert problem.place == place
    assert rule in problem.rule
    assert remedy in problem.remedy
    assert not JARGON.search(f"{problem.rule} {problem.remedy}".replace("'<<'", ""))


def test_all_mistakes_of_a_file_are_reported_at_once_in_its_order() -> None:
    text = """\
name: A
name: b
task: {name: japanese-vowels, sed: 1}
arms: [ltsm, {name: B, cell: lstm, gate: [x]}]
space:
  depth: {low: 3, high: 1}
  learning_rate: "1e-3"
  batch_size: 8
training: {batch_size: 0}
search:
  trials: many
confirm: {seeds: -1}
tracking: {uri: ftp://x}
"""
    places = [problem.place for problem in problems(text)]
    assert places == [
        "job.yaml:2: name",
        "job.yaml:3: task.sed",
        "job.yaml:4: arms[0]",
        "job.yaml:4: arms[1].name",
        "job.yaml:4: arms[1].gate",
        "job.yaml:6: space.depth",
        "job.yaml:7: space.learning_rate",
        "job.yaml:9: training.batch_size",
        "job.yaml:11: search.trials",
        "job.yaml:12: confirm.seeds",
        "job.yaml:13: tracking.uri",
    ]


def test_a_file_of_mistakes_is_answered_with_a_page_of_them() -> None:
    found = problems(HEAD + "".join(f"key{number}: 1\n" for number in range(9000)))
    assert len(found) == 51
    assert found[-1].rule == "there are 8950 more problems"


KEYS = ["low", "high", "log", "choices", "cell", "cells", "gates", "kind", "name", "space", "depth"]
GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["lstm", "adding", "a", "median", "x.npz", "s3://b", "http://h"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(KEYS),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def replaced(data: Any, path: list[int], value: Any) -> Any:
    """Return a copy of nested data in which the item that path leads to is replaced."""
    if not path or not isinstance(data, dict | list) or not data:
        return value
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    chosen = keys[path[0] % len(keys)]
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[chosen] = replaced(data[chosen], path[1:], value)
    return copy


@given(jobs(), st.lists(st.integers(0, 20), max_size=4), GARBAGE)
def test_a_job_with_one_value_replaced_is_accepted_or_refused_in_plain_words(
    written: dict[str, Any], path: list[int], value: Any
) -> None:
    broken = replaced(written, path, value)
    try:
        JobSpec.from_dump(broken, Path("/base"))
    except InputError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.rule
            assert problem.remedy
            assert len(str(problem)) < 2000
            assert "Input should" not in str(problem)
