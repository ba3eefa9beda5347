"""The command line: parses, makes one call, prints. Commands import heavy libraries themselves.

app.py       the commands together; where exceptions become messages and exit codes
data.py      a user's own data: what is in it, and a job file to start from
local.py     commands on this machine
compare.py   a job's arms side by side, and several jobs across their tasks
cluster.py   commands on a cluster
queue.py     the queue before one
connect.py   how a command reaches either
claims.py    what articles claim, held against jobs that run here
watch.py     the live page, and studies for optuna-dashboard
judge.py     the verdict on results that another tool made
tables.py    tables of the commands that list
__main__.py  `python -m search.cli`: how commands start others

Exit codes: 0 done, 1 the job failed or an arm has no complete trial, 2 the input was refused,
130 interrupted (`gatesearch resume` continues the job).
"""

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's and a shell's `&` stay
            signal.signal(number, _leave)
    from search.environment import restore_warnings

    restore_warnings()
    from search.cli.app import interrupt_by_exception, run_command
    from search.cli.terminal import open_outputs

    interrupt_by_exception()
    open_outputs()
    sys.exit(run_command())


def _leave(number: int, frame: object) -> NoReturn:
    """End at once: nothing is begun while the commands are imported, and imports bear no error."""
    with suppress(OSError):
        os.write(2, b"Interrupted; nothing was started.\n")
    os._exit(130)
