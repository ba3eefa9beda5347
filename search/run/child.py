"""A command of gatesearch in a process of its own."""

import signal
import subprocess
import sys

_MAIN = "from search.cli import main; main()"


def call(arguments: list[str], output: int = 2) -> int:
    """Run `gatesearch ARGUMENTS` to its end and return its exit code.

    output: file descriptor that its output goes to, standard error by default. The command is a
    process group of its own: a Ctrl-C reaches it once, from here.
    """
    command = [sys.executable, "-P", "-c", _MAIN, *arguments]
    errors = None if output == 2 else output
    with subprocess.Popen(command, stdout=output, stderr=errors, process_group=0) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)
            child.wait()
            raise
