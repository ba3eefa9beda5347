"""What may be tried. Needs pydantic and the standard library only.

cells.py              the catalogue of cells
hyperparameters.py    the table of hyperparameters; config.py is one configuration of them
domains.py            what one hyperparameter may be; space.py is the job file's `space`
arms.py               what a job compares; arm_section.py is how a job file writes it
tasks.py              tasks and their metrics
sizes.py              numbers of parameters; min_size.py finds an arm's smallest model
errors.py             the root of exceptions
fields.py, text.py    what sections are made of, and how values stand in messages
"""
