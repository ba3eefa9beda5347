"""URLs in job files: none carries a password, and no message repeats one."""

import pytest

from search.job.spec import JobSpec
from search.job.urls import same_server, url_fault
from spaces.errors import InputError, Problem

HEAD = "name: a\ntask: {name: japanese-vowels}\narms: [lstm]\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        JobSpec.loads(text, "job.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "section",
    [
        "storage: {study: 'postgresql://u:s3cret@db/x'}",
        "storage: {study: 'postgresql://u:s3/cr@et@db/x'}",
        "storage: {study: 'postgresql://u@db/x?password=s3cret'}",
        "storage: {study: 'postgresql://u@db/x?%70assword=s3cret'}",
        "storage: {study: 'postgresql://u@db/x?a=b%26password=s3cret'}",
        "storage: {study: 'postgresql://u%3As3cret@db/x'}",
        "storage: {study: 'postgresql://u%3As3cret/@:@[::1/'}",
        "storage: {study: 'postgresql://s3cret/@::@host:'}",
        "storage: {study: 'mysql://u:s3cret@db/x'}",
        "storage: {checkpoints: 's3://KEY:s3cret/x@bucket/p'}",
        "storage: {checkpoints: 's3://s3cret@bucket/p'}",
        "storage: 'postgresql://u:s3cret@db/x'",
        "storage: ['postgresql://u:s3cret@db/x']",
        "tracking: {uri: 'https://u:s3cret@host'}",
        "tracking: {uri: 'https://s3cret@host'}",
        "tracking: {uri: 'https://host/?token=s3cret'}",
        "tracking: {uri: 'https://u:s3cret@host:port'}",
        "tracking: 'https://u:s3cret@host'",
        "task: {kind: classification, data: 'https://u:s3cret@host/x.npz'}",
        "search: {sampler: 'https://u:s3cret@host'}",
    ],
)
def test_a_password_is_refused_and_never_repeated(section: str) -> None:
    key = section.split(":")[0]
    rest = "".join(line for line in HEAD.splitlines(True) if not line.startswith(key))
    found = problems(rest + section + "\n")
    assert any(problem.place.startswith(f"job.yaml:{rest.count(chr(10)) + 1}") for problem in found)
    assert "s3" not in "".join(map(str, found)).replace("s3://", "")


@pytest.mark.parametrize(
    "section",
    [
        "storage: {study: 'postgresql://user@db.example.org:5432/studies?sslmode=require'}",
        "storage: {study: 'postgresql:///studies?host=/run/postgresql'}",
        "storage: {study: 'postgresql://a:1,b:2/studies'}",
        "storage: {checkpoints: 's3://bucket/some/prefix'}",
        "storage: {checkpoints: 's3://bucket/a@b'}",
        "tracking: {uri: 'http://[::1]:5000'}",
        "tracking: {uri: http://localhost:5000/}",
    ],
)
def test_urls_without_passwords_are_accepted(section: str) -> None:
    JobSpec.loads(HEAD + section + "\n")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("http://HOST:5000/mlflow/", True),
        ("https://host:5000/mlflow", False),
        ("http://host:5001/mlflow", False),
        ("http://host:5000/MLflow", False),
        ("http://host:5000", False),
        ("http://[:::::]:5000", False),
    ],
)
def test_one_server_may_be_written_in_several_ways(other: str, same: bool) -> None:
    assert same_server("http://host:5000/mlflow", other) is same


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://host:5000", None),
        ("sqlite:///mlflow.db", None),
        ("sqlite:////runs/mlflow.db", None),
        ("http://host:port", "must name a host"),
        ("http://", "must name a host"),
        ("ftp://host", "must be http://… or sqlite://…, not 'ftp://host'"),
        ("http://ho st", "must be http://… or sqlite://…"),
        ("http://me@host", "must carry no user's password or token"),
        ("http://host/?%74oken=s3cret", "must carry no user's password or token"),
    ],
)
def test_a_url_must_keep_the_one_rule(url: str, rule: str | None) -> None:
    fault = url_fault(url, "http", "sqlite")
    if rule is None:
        assert fault is None
    else:
        assert fault is not None
        assert rule in fault.rule
        assert "s3cret" not in fault.rule + fault.remedy
