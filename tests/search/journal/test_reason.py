"""Whatever Python or Ray say at length, the cause comes first, in one line without commands."""

import pytest

from search.journal.reason import cause, with_cause_first
from search.run.tune_bridge import shortened

#: As Ray 2 writes them, with its colours.
IN_SETUP = """\
The actor died because of an error raised in its creation task, \x1b[36mray::T()\x1b[39m (pid=1)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/lib/ray/tune/trainable/trainable.py", line 151, in __init__
    self.setup(copy.deepcopy(self.config))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
MemoryError: Unable to allocate 7.45 PiB for an array with shape (1024, 1099511627776)
"""
IN_A_STEP = """\
\x1b[36mray::T.train()\x1b[39m (pid=14413, ip=192.0.2.2)
         ^^^^^^^^^^^^^^^^^^
KeyError: 'a'

The above exception was the direct cause of the following exception:

\x1b[36mray::T.train()\x1b[39m (pid=14413, ip=192.0.2.2)
  File "/lib/ray/tune/trainable/trainable.py", line 326, in train
    result = self.step()
             ^^^^^^^^^^^
RuntimeError: [enforce fail at alloc_cpu.cpp:127] you tried to allocate 4000000000000000 bytes.
Exception raised from alloc_cpu
"""
WITHOUT_FRAMES = """\
\x1b[36mray::T.train()\x1b[39m (pid=14413, ip=192.0.2.2)
         ^^^^^^^^^^^^^^^^^^
KeyError: 'a'
"""
KILLED = """\
The actor died unexpectedly before finishing this task.
\tclass_name: T
\tactor_id: b7ebeb87c8d76c26c7f2c20401000000
\tpid: 14186
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes \
include: (1) the process was killed by the OOM killer due to high memory usage
"""
NODE_GONE = """\
The actor died unexpectedly before finishing this task.
\tclass_name: T
The actor died because its node has died. Node Id: 1f
\tthe actor's node was terminated expectedly
"""
LITTLE_MEMORY = """\
Task was killed due to the node running low on memory.
Memory on the node (IP: 192.0.2.2) where the task was running was 7.5GB / 7.9GB (0.95).
"""
OURS = "too few of the memory: give the job a smaller hidden_size"
REASONS = {
    IN_SETUP: "MemoryError: Unable to allocate 7.45 PiB for an array with shape (1024, 109",
    IN_A_STEP: "RuntimeError: [enforce fail at alloc_cpu.cpp:127] you tried to allocate 40000",
    WITHOUT_FRAMES: "KeyError: 'a'",
    KILLED: "the worker died: Worker unexpectedly exits with a connection error code 2.",
    NODE_GONE: "the worker died: its node has died.",
    LITTLE_MEMORY: "Task was killed due to the node running low on memory.",
    OURS: OURS,
    "": "",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07": r"red\x1b]0;title\x07",
    '  File "cut off': 'File "cut off',
}


@pytest.mark.parametrize(("reason", "expected"), REASONS.items(), ids=range(len(REASONS)))
def test_the_cause_is_one_line_without_commands(reason: str, expected: str) -> None:
    found = cause(reason)
    assert found.startswith(expected) and found.isprintable()


@pytest.mark.parametrize("reason", REASONS, ids=range(len(REASONS)))
def test_the_cause_stands_first_and_is_found_again_in_what_a_journal_keeps(reason: str) -> None:
    first = cause(reason)
    kept = shortened(with_cause_first(reason))
    assert kept.startswith(first)
    assert cause(kept).startswith(first)
    assert all(word in kept for word in ("pid", "actor_id") if word in reason)
