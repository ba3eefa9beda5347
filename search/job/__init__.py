"""What a job file says, and what is refused.

spec.py             the job, checked: load one here
sections.py         the file's sections and rules; pruner_sections.py for `search.pruner`
samplers.py         the table of samplers; feasibility.py says which can search which space
objectives.py       what may be optimized together, and dominance
urls.py             the rule for URLs
yaml_lines.py       from YAML to plain data, with lines; messages.py reports faults with them
folder.py           a job's folder; commands.py writes the commands that messages offer
"""
