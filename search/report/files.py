"""What a job's folder says of its results: results.parquet, verdict.json, report.html."""

from search.job.folder import REPORT, RESULTS, VERDICT
from search.report.page import write_report
from search.results.figures import Comparison
from search.results.job_verdict import write_verdict
from search.results.parquet import write_parquet
from search.results.read import Results
from search.results.summarise import compare


def write_files(results: Results) -> Comparison:
    """Write the three files into the job's folder, each whole or not at all; return the figures.

    Raises OSError, with the file's name, where one cannot be written.
    """
    figures = compare(results)
    write_parquet(results, results.folder / RESULTS)
    write_verdict(figures, results.folder / VERDICT)
    write_report(results, results.folder / REPORT, figures)
    return figures
