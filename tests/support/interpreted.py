"""Kernels for GPUs on any machine: Triton runs them in Python where TRITON_INTERPRET=1 is set.

It reads the variable at its import, so a whole run of pytest is interpreted, or none of it is: then
a module of tests that imports this one is skipped, before it imports Triton.
"""

import importlib.util
import os

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton must be installed: pip install '.[gpu-test]'", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") != "1":
    reason = "generated kernels must be interpreted: run make test-gpu-interpreted"
    pytest.skip(reason, allow_module_level=True)

#: Marks of a module of tests that run kernels.
needs_interpreter = [
    pytest.mark.interpreted,
    # The interpreter computes lanes beyond a layer's width with NumPy, which warns of 0 / 0.
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning"),
]
