"""A command of gatesearch in a process of its own."""

import os
import signal
import subprocess
import sys

from search.supervisor import END_WITH


def call(arguments: list[str], output: int = 2) -> int:
    """Run `gatesearch ARGUMENTS` to its end and return its exit code.

    output: file descriptor that its output goes to, standard error by default. The command is a
    process group of its own: a Ctrl-C reaches it once, from here. It ends with this process.
    """
    command = [sys.executable, "-P", "-m", "search.cli", *arguments]
    errors = None if output == 2 else output
    environment = {**os.environ, END_WITH: str(os.getpid())}
    with subprocess.Popen(
        command, stdout=output, stderr=errors, env=environment, process_group=0
    ) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)
            child.wait()
            raise
