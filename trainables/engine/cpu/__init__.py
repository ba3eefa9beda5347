"""The engine for CPUs with AVX2 or AVX-512: LLVM code for the graphs of trace.py and adjoint.py."""
