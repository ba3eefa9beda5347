"""What a job's folder says of its results: results.parquet, verdict.json, report.html, tables/."""

import csv
import io

from search.job.folder import REPORT, RESULTS, TABLES, VERDICT
from search.report.page import write_report
from search.results import tables
from search.results.figures import Comparison
from search.results.job_verdict import write_verdict
from search.results.parquet import write_parquet
from search.results.read import Results
from search.results.summarise import compare
from search.results.tables import Table
from trainables.files import replacing_folder, write_new


def write_files(results: Results) -> Comparison:
    """Write the files into the job's folder, each whole or not at all; return the figures.

    Raises OSError, with the file's name, where one cannot be written.
    """
    figures = compare(results)
    write_parquet(results, results.folder / RESULTS)
    write_verdict(figures, results.folder / VERDICT)
    with replacing_folder(results.folder / TABLES) as draft:
        for name, table in _tables(results, figures).items():
            write_new(draft / f"{name}.csv", _as_csv(table).encode())
    write_report(results, results.folder / REPORT, figures)
    return figures


def _tables(results: Results, figures: Comparison) -> dict[str, Table]:
    found = {
        "arms": tables.arms(figures),
        "finalists": tables.finalists(figures),
        "pairs": tables.pairs(figures.verdict, results.arms),
        "costs": tables.costs(figures),
    }
    return {name: table for name, table in found.items() if table is not None and table.rows}


def _as_csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([c.text(cell) for c, cell in zip(table.columns, row, strict=True)])
    return text.getvalue()
