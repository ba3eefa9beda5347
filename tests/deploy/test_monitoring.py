"""What is drawn and alerted of is exported: every query is valid and names a metric of today."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from installed import wait_until
from manifests import DEPLOY
from ray_head import RayHead, exported_metrics

from search.run.budgets import STATES
from search.run.metrics import METRICS, PHASES

FOLDER = DEPLOY / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
#: Of Ray's own metrics, those that are used; a slow test looks for them on a node.
OF_RAY = {
    "ray_node_cpu_utilization",
    "ray_node_cpu_count",
    "ray_node_mem_used",
    "ray_node_mem_total",
}
OURS = {f"ray_{name}": one.labels for name, one in METRICS.items()}


def queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            inner = variable["query"]["query"].removeprefix("label_values(").partition(",")[0]
            yield variable["name"], inner
    for group in ALERTS["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


def selectors(expression: Any) -> Iterator[Any]:
    """Yield what an expression selects, wherever in it that stands."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(expression, "args", ()):
        yield from selectors(inner)


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_every_query_names_a_metric_that_exists_and_labels_that_it_has(
    title: str, query: str
) -> None:
    parsed = promql_parser.parse(query.replace("$job", ".*"))
    found = list(selectors(parsed))
    assert found, title
    for selector in found:
        assert selector.name in OURS or selector.name in OF_RAY, title
        for matcher in selector.matchers.matchers:
            assert matcher.name in ("name", *OURS[selector.name])
            known = {"state": STATES, "phase": PHASES}.get(matcher.name)
            assert known is None or set(matcher.value.split("|")) <= set(known)


def test_every_figure_is_drawn() -> None:
    drawn = {
        s.name
        for _, q in queries()
        for s in selectors(promql_parser.parse(q.replace("$job", ".*")))
    }
    assert set(OURS) <= drawn


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not own & taken, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.slow
def test_ray_exports_what_is_drawn_of_it(ray_head: RayHead) -> None:
    def names() -> set[str]:
        return {line.partition("{")[0] for line in exported_metrics(ray_head)}

    wait_until(lambda: names() >= OF_RAY, "Ray's agent exports figures of its node")
