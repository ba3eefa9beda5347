"""The scan engine: the equations of a cell, compiled for this processor.

    trace.py    the equations of a step, as a graph      adjoint.py  its derivative, as a graph
    ir.py       LLVM code by the line, gate functions    product.py  matrix products
    emit.py     a variant's forward and backward scan    compile.py  from code to functions
    cache.py    compiled code on disk                 steps.py    ragged batches as rows
    room.py     memory to work in                     run.py      the scan as an autograd function

A variant needs nothing of its own here: its row in the table of cells is all the engine reads.
"""

from trainables.cells.engine.run import available, scan

__all__ = ["available", "scan"]
