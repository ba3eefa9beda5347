"""A job as an estimator of scikit-learn: arrays in, the same job folder as the command line's out.

gate_search.py  the estimator
arrays.py       X and y as sequences that lie end to end
fitting.py      the job's files, and its run in a process of its own
"""
