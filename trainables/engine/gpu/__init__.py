"""The scan for GPUs: kernels that Triton compiles, written from the graph of a cell's equations."""
