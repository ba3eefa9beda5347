"""Networks of cells: a layer around one cell, batched layers, the whole model.

layer.py        the tensors of one cell in one direction, their first values
scan.py         a cell over whole sequences: the compiled engine, torch's kernels, the reference
batch_norm.py   batch norm folded into W and b
cohort_layer.py one layer of several models at once
model.py        the network that a TrialConfig describes
transformer.py  the encoder, as a baseline
"""
