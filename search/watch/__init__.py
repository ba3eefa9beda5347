"""The live page: a job's report while the job runs, for browsers, and its stop and resume.

serve.py     `gatesearch watch`: puts the parts together, prints the address
server.py    HTTP: the page, its events, the report; asks access.py first
access.py    who may read and who may act: Host, Origin, token
token.py     the file of the token
control.py   stops a job's driver, or starts it again
board.py     what the page shows, as named items; who has seen some gets the later ones
feed.py      keeps the board up to date while the journal grows
follow.py    a journal that is read as it grows
items.py     what the page shows of trials, as plain JSON types
slots.py     what each worker does
report.py    has the report made anew, in a process of its own (reporter.py)
remote.py    a copy of the journal of a job on a cluster, which send.py prints there
live.html, live.js, live.css, login.html    what a browser gets

A page is a static file without any word of the job. All of that comes as JSON over server-sent
events, cleaned of what commands a terminal or turns text, and is shown as text alone; but for the
report, a page of its own in a frame, whose policy allows its own scripts by their hashes.
"""
