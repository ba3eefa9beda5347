"""What a user's data looks like before a job is written: its parts, its figures, its pitfalls.

source     any file as a table, one row a step
rows       which rows are of which sequence, and what values do along them
roles      which column plays which part, and which kind of task that makes
findings   sequences, features and classes in figures
pitfalls   leakage, gaps and too little data, in sentences

It takes what `validate` would refuse, and says so.
"""
