"""Trained models as ONNX files.

convert.py     a model as a graph, and its comparison with torch
operators.py   cells that are one of ONNX's own operators: a table row each
loop.py        every other cell: a Scan over its equations
transformer.py the baseline that is no cell
graph.py, expression.py, steps.py   nodes, arithmetic and values that these files share
"""

from trainables.export.onnx.convert import (
    OUTPUTS,
    TOLERANCE,
    Comparison,
    ExportError,
    Scaling,
    compare,
    convert,
)

__all__ = ["OUTPUTS", "TOLERANCE", "Comparison", "ExportError", "Scaling", "compare", "convert"]
