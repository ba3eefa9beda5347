"""What articles repeat about these cells, held against jobs that were run here.

finding.py   what a claim comes to on one task
table.py     the claims: sentence, source, jobs, the rule that reads an answer
duels.py     rules that read pairs of arms: test values, generalisation gaps
speed.py     rules that read how fast arms train
constrained.py  rules that compare arms within the same training time
failing.py   rules that read whether an arm has learned anything
shown.py     all findings as a table, as Markdown and as JSON
"""
