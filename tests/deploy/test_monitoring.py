"""What is drawn and alerted of is exported: every query is valid and names a metric of today."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from manifests import DEPLOY
from ray_head import RayHead, exported_metrics
from waiting import wait_until

from deploy.client.connection import is_loopback
from deploy.queue.metrics import METRICS as QUEUE_METRICS
from deploy.queue.metrics import STATES as QUEUE_STATES
from search.run.budgets import STATES
from search.run.metrics import METRICS, PHASES

FOLDER = DEPLOY / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PROMETHEUS = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
#: Of Ray's own metrics, those that are used; a slow test looks for them on a node.
OF_RAY = {
    "ray_node_cpu_utilization",
    "ray_node_cpu_count",
    "ray_node_mem_used",
    "ray_node_mem_total",
}
OURS = {f"ray_{name}": ("name", *one.labels) for name, one in METRICS.items()}
OF_QUEUES = {name: one.labels for name, one in QUEUE_METRICS.items()}
#: What a label of which metrics may be.
KNOWN = {"state": STATES, "phase": PHASES}
KNOWN_OF_QUEUES = {"state": QUEUE_STATES}


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
        ours, known = (OF_QUEUES, KNOWN_OF_QUEUES) if selector.name in OF_QUEUES else (OURS, KNOWN)
        assert selector.name in ours or selector.name in OF_RAY, title
        for matcher in selector.matchers.matchers:
            assert matcher.name in ours[selector.name]
            allowed = known.get(matcher.name)
            assert allowed is None or set(matcher.value.split("|")) <= set(allowed)


def test_every_figure_is_drawn() -> None:
    drawn = {
        s.name
        for _, q in queries()
        for s in selectors(promql_parser.parse(q.replace("$job", ".*")))
    }
    assert {*OURS, *OF_QUEUES} <= drawn


def test_all_that_export_are_scraped_and_a_queue_with_a_token() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    [compose] = jobs["ray-compose"]["static_configs"]
    exporting = {
        f"{name}:8080"
        for file in ("compose.yaml", "gpu.yaml")
        for name, service in yaml.safe_load((DEPLOY / "compose" / file).read_text())[
            "services"
        ].items()
        if "--metrics-export-port=8080" in service.get("command", [])
    }
    assert set(compose["targets"]) == exporting
    assert jobs["queue"]["authorization"].keys() == {"credentials_file"}
    [queue] = jobs["queue"]["static_configs"]
    assert all(is_loopback(f"http://{target}") for target in queue["targets"])


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
