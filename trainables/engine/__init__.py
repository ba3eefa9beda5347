"""The scan engine: the equations of a cell, compiled for this processor.

    trace.py     the equations of a step, as a graph     adjoint.py   its derivative, as a graph
    plan.py      where everything is kept                ir.py        LLVM code by the line
    product.py   matrix products                         function.py  what both functions share
    forward.py   a variant's scan                        backward.py  its backward scan
    emit.py      both as LLVM code                       compile.py   from code to functions
    program.py   a scan at one size, by addresses        run.py       as an autograd function
    steps.py     ragged batches as rows                  room.py      memory to work in
    shared.py    functions that all variants share       dropped.py   dropout over rows

A variant needs nothing of its own here: its row in the table of cells is all the engine reads.
"""

from trainables.engine.cpu.dropped import drop
from trainables.engine.cpu.program import Program, program
from trainables.engine.cpu.run import available, scan
from trainables.engine.cpu.steps import Running, Words

__all__ = ["Program", "Running", "Words", "available", "drop", "program", "scan"]
