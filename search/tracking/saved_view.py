"""The form in which MLflow's page of runs stores a view, and the address that opens it.

MLflow documents neither. The form is what version 3.17.2 writes when a person shares a view by
hand; tests/search/tracking/test_views_in_browser.py opens such views in a real browser.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

VIEW_TAG = "mlflow.sharedViewState."  #: with the view's key behind it, a tag of the experiment
RUNS_SHOWN = 100  #: that the page loads at first

_GROWING = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
_STATE: dict[str, Any] = {
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": [],
    "columnOrder": [],
    "columnWidths": {},
    "runsHiddenMode": "SHOWALL",
    "viewMaximized": False,
    "runListHidden": True,  # charts get the whole width
    "isAccordionReordered": True,  # or sections of the page's own making come first
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupsExpanded": {},
    "globalLineChartConfig": {},
}


def bars(metric: str) -> dict[str, Any]:
    """Return a chart of one bar for each run or group: the last value of a metric."""
    return {"type": "BAR", "metricKey": metric}


def curves(metric: str) -> dict[str, Any]:
    """Return a chart of one curve for each run or group, with a band where a group has several."""
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
    }


def parallel(params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """Return parallel coordinates; the last metric colours the lines. Not for grouped runs."""
    return {
        "type": "PARALLEL",
        "selectedParams": list(params),
        "selectedMetrics": list(metrics),
        "showAllRuns": False,
    }


def scatter(x_metric: str, y_metric: str) -> dict[str, Any]:
    """Return a chart of one dot for each run."""
    axes = {"xaxis": x_metric, "yaxis": y_metric}
    found = {name: {"key": metric, "type": "METRIC"} for name, metric in axes.items()}
    return {"type": "SCATTER", **found}


def view_tag(
    name: str,
    charts: Sequence[dict[str, Any]],
    *,
    runs: str,
    order: str,
    group: str | None = None,
    aggregate: str = "average",
    columns: int = 2,
    height: int = 360,
    time: int,
) -> str:
    """Return the text of the tag that makes a view.

    name: of the view, in the page's menu, and of its section of charts.
    runs: MLflow's filter of runs. order: by which metric or attribute they are loaded, the latest
    or largest first. A page nests runs that are ordered by time, and draws no nested one.
    group: the tag by whose values runs are grouped, and `aggregate` how: average, min or max.
    time: Unix time in milliseconds at which the view is said to be made.
    """
    section = {"uuid": "section", "name": name, **_GROWING, "columns": columns}
    by_tag = {"mode": "tag", "groupByData": group}
    state = {
        **_STATE,
        "searchFilter": runs,
        "orderByKey": order,
        "orderByAsc": False,
        "groupBy": group and {"aggregateFunction": aggregate, "groupByKeys": [by_tag]},
        "compareRunSections": [{**section, "cardHeight": height}],
        "compareRunCharts": [
            {
                "uuid": f"chart-{number}",
                "metricSectionId": "section",
                "runsCountToCompare": RUNS_SHOWN,
                "deleted": False,
                "isGenerated": False,
                **chart,
            }
            for number, chart in enumerate(charts)
        ],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    stored = {"name": name, "createdAt": time, "updatedAt": time, "state": f"deflate;{packed}"}
    return json.dumps(stored)


def by_metric(name: str) -> str:
    """Return the order of runs by the last value of a metric."""
    return f"metrics.`{name}`"


def view_address(server: str, experiment: str, key: str) -> str:
    """Return the address that opens a view. server: http(s)://… of an MLflow."""
    shown = {
        "workflowType": "machine_learning",
        "compareRunsMode": "CHART",
        "viewStateShareKey": key,
    }
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?{urlencode(shown)}"
