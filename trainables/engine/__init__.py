"""The scan engine: the equations of a cell, compiled for this processor or a card.

A scan runs one layer over all steps of a batch. The engine reads a variant's row in
trainables/cells and writes code for its scan, forward and backward. A new variant needs
nothing here. This page is the design; the modules' docstrings have the details.

The way from a row to a gradient
    1. Graph (graph.py, trace.py). trace() runs the row's equations once on Nodes, values that
       remember how they are made. A Node is one number a unit. A Node "sum" stands for a bias plus
       matrix products; every other Node is elementwise. Equal values are one Node.
    2. Stages (trace.py). A product needs its source for all units. If the source is computed in the
       same step, as r⊙h in a GRU, the product has to wait. So the graph has stages: all products of
       a stage come first, then its elementwise code. Most cells have stage 1 only; a candidate
       behind a reset gate, or a projection, is in stage 2; stage 0 exists if a product reads a
       function of the state.
       Normalisation over units (layer norm) starts a stage in the same way.
    3. Adjoints (adjoint.py). differentiate() adds the derivative to the same graph, by reverse
       accumulation. Its stages are those of the forward pass, in reverse order. It also says which
       values the forward pass has to save; the backward pass computes the cheap ones again.
    4. Plan (cpu/plan.py). It gives each saved value a block of H numbers in a row of the tape, and
       finds the products that one call can compute: blocks that are neighbours.
    5. Code (cpu/forward.py, backward.py on function.py, ir.py, product.py). Each writes one LLVM
       function for all sizes. A step is: stage by stage, for groups of vectors of units, for chunks
       of rows: the products into `tmp`, then the elementwise code, a vector of units at a time.
       Matrices are packed once a call into panels. After the last step the backward function adds
       the gradients of the matrices, one product over all rows each.
    6. Compilation (cpu/compile.py). The LLVM code becomes an object file, which is cached on disk
       under a digest of all that it follows from: this package's source files, the row, the traced
       graph, the tape, the processor, LLVM. Code is compiled at its first use in a process.
       Functions that all variants share (shared.py: products, dropout) are compiled once.
    7. Program (cpu/program.py). A compiled scan at one size: sizes of memory, and the array of
       counts and addresses that the functions read.
    8. Callers. autograd.py runs one model as a torch.autograd.Function. layers/cohort_layer.py runs
       several models (a cohort) without autograd, with forward_each and backward_each: the same
       code, called once for each model, so that each gets the bits that it gets alone.

GPUs (gpu/)
    Steps 1 and 3 are the same; then a kernel is generated in Triton's language. A program holds all
    units of a tile of 16 sequences in registers and its matrices on chip, so that it needs no
    stages; it walks over all steps. plan.py says what kernels are given, keep and write, source.py
    and step.py write their text, kernels.py makes functions of it, paths.py says where they fit and
    over how many programs the units are split. Programs that share units meet at each step
    (functions.py). W x + b is computed before, the gradients of matrices are computed after the
    kernel, as one product each (autograd.py). Memory is padded, [scans, T, B, H]: a model in one
    direction is a scan. noise.py and optimizer.py are kernels of their own, for all models of a
    cohort. layers/stacked_model.py and training/stacked_step.py call them.

Memory
    Rows (rows.py). Batches are ragged. Memory has only the steps that exist, laid end to end by
    model, step, and sequence (the longest first): the rows. counts[t] and offsets[t] locate step t.
    One model and a cohort have the same kind of rows.
    Tape. For each row the saved values, and the state's fields but the output, which is y. The
    backward pass writes the adjoint of each sum over a saved value that nobody reads any more, so a
    second backward pass over a retained graph runs the forward pass again first.
    Workspaces (workspace.py). Scratch and tape are Buffers, lent from the thread's pool. A cohort
    holds named ones in a Workspace, which it uses again in every step of training.

Invariants
    - The same variant, float type, processor and inputs give the same bits, alone or in a cohort,
      whatever the memory held before.
    - A scan may begin with states carried from another one (truncated back-propagation): they get
      no gradient, and those after the last steps are read from y and the tape.
    - Rows beyond a sequence's end do not exist: padding changes no value and gets no gradient.
    - NaN stays NaN. The engine raises for no value; the trainer checks loss and gradient.
    - graph.py, trace.py, adjoint.py, rows.py and workspace.py know neither LLVM nor the processor.
      Another device brings a folder beside cpu/.
    - Arrays have rows of whole vectors where code writes without a mask (dx, dW, dR, dP).

Where to change what
    a new elementwise operation   cells/equations.py (on tensors), Node in graph.py,
                                  _argument_adjoints in adjoint.py, Function._apply in
                                  cpu/function.py and its code in cpu/ir.py, _CALLS in gpu/step.py,
                                  and the ONNX export
    a new term of equations       Terms in cells/equations.py, GraphTerms in trace.py
    what is saved or recomputed   SAVED_OPS in graph.py
    the place of values           Plan._tape in cpu/plan.py
    an argument of the functions  SIZES, ARRAYS, BACKWARD and COUNTS in cpu/function.py, and
                                  Program._set_memory in cpu/program.py
    blocking, cache sizes         TILE_ROWS in cpu/product.py, TMP_BYTES in cpu/program.py
    approximations of functions   cpu/ir.py
Tests: tests/conformance (every variant against its paper, the reference path and finite
differences), tests/trainables/engine (cache, rows, workspaces; gpu: interpreted kernels),
tests/benchmarks/cells.py, gpu.py (speed), gpu_compile.py (registers, spills).
"""

from trainables.engine.cpu.autograd import available, carried_scan, scan
from trainables.engine.cpu.dropout import drop
from trainables.engine.cpu.program import Program, program

__all__ = ["Program", "available", "carried_scan", "drop", "program", "scan"]
