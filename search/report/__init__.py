"""The report: one HTML file that a researcher can read on its own, without a network.

write_report(results, path)   writes it whole or not at all
"""

from search.report.page import write_report

__all__ = ["write_report"]
