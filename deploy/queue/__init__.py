"""Who runs when on a Ray cluster: one small service before its Jobs API.

entry.py      a job in the queue, and the states that it goes through
fair.py       the rule: whose job is next
store.py      what the queue knows, with one writer
database.py   where that is kept: in a file of SQLite's
postgres.py   or in PostgreSQL, packages and key included
users.py      people, and the tokens that the queue signs for them
packages.py   what was sent with the jobs, kept until it is needed no more
dispatch.py   starts, watches and resumes jobs on the cluster
notify.py     tells a webhook of a job's end
metrics.py    its figures, for Prometheus
requests.py   what a person asks of the queue, checked and carried out
gateway.py    what is passed on to the cluster: logs, results, nodes
server.py     HTTP: tokens, hosts and origins, and which request does what
serve.py      the process: `gatesearch queue serve`

A job is written down before anything is done with it, and so is the id under which it is submitted.
A queue that is killed between any two steps and started again does the step that was next: it asks
the cluster which of its ids are known, and submits those that are not.
"""
