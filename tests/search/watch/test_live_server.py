"""The live page over real HTTP: who is let in, what is told, and what the buttons do."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_page import TOKEN, Events, asked, served
from server_process import free_ports
from written_jobs import WrittenJob

from search.journal.base import encode
from search.watch.server import Site
from search.watch.token import read_token
from spaces.errors import InputError

HOST = socket.gethostname()
HOSTILE = "</script><img src=x onerror=alert(1)>\u202egnp"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/", "/live.js", "/live.css", "/events", "/report", "/nothing")


@pytest.fixture
def job(tmp_path: Path) -> WrittenJob:
    return WrittenJob(tmp_path / "vowels")


@pytest.fixture
def site(job: WrittenJob) -> Iterator[Site]:
    with served(job.folder) as site:
        yield site


@pytest.fixture
def guarded(job: WrittenJob) -> Iterator[Site]:
    """A page that others than this machine may reach."""
    with served(job.folder, "0.0.0.0", allowed=["page.example"]) as site:
        yield site


def tell(port: int, path: str, **headers: str) -> tuple[int, str]:
    status, _, body = asked(port, path, "POST", headers)
    return status, body


# What is told


def test_two_people_see_the_same_and_later_only_what_changes(job: WrittenJob, site: Site) -> None:
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 3)
    both = [Events(site.port), Events(site.port)]
    for one in both:
        one.wait(lambda items: "curve/search/rnn/0" in items, "the first curve")
        assert one.messages[0]["all"]
    before = [len(one.messages) for one in both]
    job.report("search/rnn/0", 4, 5)
    job.trial("search/lstm/0")
    for one, number in zip(both, before, strict=True):
        curve = one.wait(lambda items: len(items["curve/search/rnn/0"]["y"]) == 5, "it has grown")
        assert curve
        one.wait(lambda items: items["standing"]["arms"][1]["states"]["running"] == 1, "the second")
        later = one.messages[number:]
        assert not any(message["all"] for message in later)
        assert sum("head" in message["set"] for message in later) <= 1  # trials: 1, then 2
    assert both[0].items == both[1].items
    for one in both:
        one.close()


def test_a_page_that_comes_back_is_told_what_it_has_missed(job: WrittenJob, site: Site) -> None:
    job.trial("search/rnn/0")
    page = Events(site.port)
    page.wait(lambda items: items.get("standing"), "it is there")
    page.close()
    job.report("search/rnn/0", 1, 1)
    again = Events(site.port, {"Last-Event-ID": page.last})
    again.wait(lambda items: "curve/search/rnn/0" in items, "what it has missed")
    assert not any(message["all"] for message in again.messages)
    assert "best/1" not in again.items  # which has not changed
    again.close()
    other = Events(site.port, {"Last-Event-ID": "00000000-5"})  # of a server before this one
    other.wait(lambda items: "best/1" in items, "everything")
    other.close()


def test_the_report_and_the_verdict_come_with_the_end(job: WrittenJob, site: Site) -> None:
    assert asked(site.port, "/report")[0] == 404
    job.trial("search/rnn/0")
    page = Events(site.port)
    report = page.wait(lambda items: items.get("report"), "a report")
    assert report["sentence"].startswith("No verdict")
    job.report("search/rnn/0", 1, 6)
    job.end("search/rnn/0")
    job.trial("search/lstm/0")
    job.report("search/lstm/0", 1, 6)
    job.end("search/lstm/0")
    job.confirm()
    job.finish()
    report = page.wait(lambda items: items["report"]["phase"] == "done" and items["report"], "end")
    assert "pair" in report["sentence"]
    page.wait(lambda items: items["head"]["finished"], "the head says so")
    status, headers, body = asked(site.port, "/report")
    assert status == 200 and report["sentence"][:30] in body
    policy = headers["Content-Security-Policy"]
    assert re.search(r"script-src 'sha256-[^']+' 'sha256-[^']+';", policy)
    page.close()


def test_a_driver_that_is_killed_is_missed_and_its_successor_seen(tmp_path: Path) -> None:
    driver = sleeping()
    job = WrittenJob(tmp_path / "vowels", pid=driver.pid, host=HOST)
    job.trial("search/rnn/0")
    holder = held(job)
    with served(job.folder) as site:
        page = Events(site.port)
        page.wait(lambda items: items.get("head") and items["head"]["driven"], "it is driven")
        holder.kill()
        holder.wait()
        head = page.wait(lambda items: not items["head"]["driven"] and items["head"], "it is gone")
        assert head["resume"].startswith("gatesearch resume vowels")
        job.driver(driver.pid, socket.gethostname())
        job.report("search/rnn/0", 1, 2)
        holder = held(job)
        page.wait(lambda items: items["head"]["driven"], "the next one")
        page.wait(lambda items: len(items["curve/search/rnn/0"]["y"]) == 2, "it goes on")
        page.close()
    for process in (holder, driver):
        process.kill()
        process.wait()


def test_what_workers_do_is_told_by_the_driver_alone(job: WrittenJob, site: Site) -> None:
    job.trial("search/rnn/0")
    job.trial("search/lstm/0")
    page = Events(site.port)
    page.wait(lambda items: items.get("slots", {}).get("held") == 2, "a line for each trial")
    assert page.items["slots"]["told"] is False
    now = {"pid": 2, "waits": ["x"], "slots": [[]], "could_begin": 9}
    (job.folder / "now.json").write_text(json.dumps(now))  # of a driver before
    now |= {"pid": 1, "slots": [["search/rnn/0", "search/lstm/0", "search/no/3"], []]}
    now["waits"] = ["waiting for postgresql://ann:s3cret@db/x (3 of 120 s)"]
    (job.folder / "now.json.new").write_text(json.dumps(now))
    (job.folder / "now.json.new").replace(job.folder / "now.json")
    page.wait(lambda items: items["slots"]["told"], "the driver's word")
    assert [each["key"] for each in page.items["slot/000"]["trials"]] == now["slots"][0][:2]
    assert page.items["slot/001"]["trials"] == []
    page.wait(lambda items: items["waits"], "what it waits for")
    assert page.items["waits"] == ["waiting for postgresql://***@db/x (3 of 120 s)"]
    for text in ("[]", "{", json.dumps({**now, "slots": 3}), "[" * 10_000):
        (job.folder / "now.json").write_text(text)
        page.wait(lambda items: not items["slots"]["told"], "nothing can be read of it")
        (job.folder / "now.json").write_text(json.dumps(now))
        page.wait(lambda items: items["slots"]["told"], "it can be read again")
    page.close()


def test_a_database_that_is_away_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    (port,) = free_ports(1)
    (tmp_path / "vowels").mkdir()
    (tmp_path / "vowels" / "job.yaml").write_text(
        "name: vowels\ntask: {name: japanese-vowels}\narms: [rnn, gru]\n"
        f"storage: {{study: 'postgresql://ann@127.0.0.1:{port}/studies'}}\n"
    )
    with served(tmp_path / "vowels") as site:
        page = Events(site.port)
        problem = page.wait(lambda items: items.get("problem"), "why nothing is shown")
        assert "database is away" in problem and "s3cret" not in problem
        assert page.items["head"] is None
        page.close()


def test_texts_of_a_job_cannot_end_an_element_or_turn_text(job: WrittenJob, site: Site) -> None:
    job.trial("search/rnn/0")
    job.end("search/rnn/0", "failed", reason=HOSTILE)
    (job.folder / "tracking.jsonl").write_text(
        json.dumps({"error": f"https://ann:s3cret@mlflow.example/x {HOSTILE}"}) + "\n"
    )
    page = Events(site.port)
    page.wait(lambda items: items.get("latest") and items.get("waits"), "both are told")
    assert page.items["latest"][0]["reason"] == HOSTILE.replace("\u202e", "\\u202e")
    assert "s3cret" not in json.dumps(page.items)
    page.close()
    with socket.create_connection(("127.0.0.1", site.port)) as raw:
        raw.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode())
        seen = b""
        while seen.partition(b"\r\n\r\n")[2].count(b"\n\n") < 2:  # when to try again, and all
            seen += raw.recv(2**16)
    assert b"<" not in seen and b"onerror" in seen


def test_another_job_in_the_folders_place_is_told_from_its_beginning(
    job: WrittenJob, site: Site
) -> None:
    job.whole()
    page = Events(site.port)
    page.wait(lambda items: (items.get("report") or {}).get("phase") == "done", "its report")
    shutil.rmtree(job.folder)
    again = WrittenJob(job.folder, pid=2)
    again.trial("search/rnn/0")
    again.end("search/rnn/0", "failed", reason="x" * 200_000)  # longer than all before
    page.wait(lambda items: items["head"]["phase"] == "search", "the new one")
    assert (page.items.get("report") or {"phase": "search"})["phase"] == "search"
    assert not page.items.get("best/0", {}).get("x")
    report = page.wait(lambda items: items.get("report"), "a report of its own")
    assert report["phase"] == "search" and report["trials"] == 1
    assert asked(site.port, "/report")[0] == 200
    page.close()


def test_a_reader_that_has_ended_says_so(job: WrittenJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("arm")

    with served(job.folder) as site:
        page = Events(site.port)
        page.wait(lambda items: items.get("head"), "it is read")
        monkeypatch.setattr("search.watch.feed.is_driver_at_work", broken)
        problem = page.wait(lambda items: items.get("problem"), "that it stands still")
        assert "has ended: KeyError" in problem and "again" in problem
        page.close()


def test_a_report_that_cannot_be_begun_is_tried_again(
    job: WrittenJob, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.watch.report.SOONEST", 0.1)
    monkeypatch.setattr("search.watch.report.SHARE", 0.1)
    monkeypatch.setattr(sys, "executable", "/nothing")
    job.trial("search/rnn/0")
    page = Events(site.port)
    page.wait(lambda items: "No such file" in items.get("report", {}).get("error", ""), "why")
    monkeypatch.setattr(sys, "executable", "/bin/echo")  # which answers with no JSON
    job.report("search/rnn/0", 1, 1)
    page.wait(lambda items: "No such file" not in items["report"]["error"], "the next try")
    page.close()


def test_who_reads_slowly_gets_the_whole_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.watch.server._Handler.timeout", 0.4)
    monkeypatch.setattr("search.watch.server._script", lambda: b"x" * 12_000_000)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        slow.connect(("127.0.0.1", site.port))
        slow.sendall(f"GET /live.js HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode())
        got = 0
        while got < 12_000_000 and (part := slow.recv(2**17)):
            got += len(part)
            time.sleep(0.01)
    assert got > 12_000_000


# Who is let in


def test_a_foreign_name_or_page_is_refused_even_with_the_token(site: Site) -> None:
    own = f"127.0.0.1:{site.port}"
    for host in ("evil.example", f"evil.example:{site.port}", "", "127.0.0.1.evil.example", "[x"):
        assert asked(site.port, "/", headers={"Host": host, **BEARER})[0] == 403, host
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"http://evil@{own}"):
        assert asked(site.port, "/events", headers={"Origin": origin})[0] == 403, origin
        assert tell(site.port, "/stop", Origin=origin, **BEARER)[0] == 403, origin
    assert asked(site.port, "/", headers={"Origin": f"http://{own}"})[0] == 200
    assert asked(site.port, "/", headers={"Host": "localhost:9000"})[0] == 200  # a tunnel's end


def test_on_loopback_reading_is_open_and_acting_takes_the_token(site: Site) -> None:
    assert asked(site.port, "/")[0] == 200
    for path in ("/stop", "/resume", "/login", "/nothing"):
        assert tell(site.port, path)[0] == 401, path
        for wrong in ("Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \u00e9".strip()):
            found = asked(
                site.port, path, "POST", {"Authorization": wrong.encode().decode("latin1")}
            )
            assert found[0] == 401, (path, wrong)
    assert tell(site.port, "/nothing", **BEARER)[0] == 404
    assert asked(site.port, "/stop", headers=BEARER)[0] == 404  # nothing is done by a link


def test_beyond_loopback_everything_takes_the_token(guarded: Site) -> None:
    for path in PATHS:
        status, headers, body = asked(guarded.port, path)
        assert status == 401, path
        assert headers["WWW-Authenticate"] == "Bearer"
        assert "vowels" not in body
    status, headers, _ = asked(guarded.port, "/login", "POST", BEARER)
    assert status == 204
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    sent = {"Cookie": cookie.partition(";")[0]}
    assert asked(guarded.port, "/", headers=sent)[0] == 200
    assert asked(guarded.port, "/live.js", headers={"Cookie": "gatesearch-watch=no"})[0] == 401
    assert tell(guarded.port, "/stop", **sent)[0] == 401  # the cookie reads alone
    named = {"Host": f"page.example:{guarded.port}", **sent}
    assert asked(guarded.port, "/", headers=named)[0] == 200
    assert asked(guarded.port, "/", headers={**named, "Host": "other.example"})[0] == 403


def test_behind_a_proxy_on_loopback_reading_takes_the_token(job: WrittenJob) -> None:
    with served(job.folder, allowed=["https://page.example"]) as site:
        proxied = {"Host": "page.example", "X-Forwarded-For": "127.0.0.1"}
        for path in PATHS:
            assert asked(site.port, path, headers=proxied)[0] == 401, path
        assert asked(site.port, "/live.js", headers=proxied | BEARER)[0] == 200
        assert asked(site.port, "/live.js")[0] == 200


def test_no_answer_may_be_kept_framed_or_run_what_is_not_ours(site: Site) -> None:
    for path in ("/", "/live.js", "/nothing"):
        _, headers, _ = asked(site.port, path)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
    _, headers, body = asked(site.port, "/")
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "vowels" not in body and " style=" not in body


def test_long_and_odd_requests_are_refused(site: Site) -> None:
    assert tell(site.port, "/stop", **{"Content-Length": "1001", **BEARER})[0] == 413
    assert tell(site.port, "/stop", **{"Content-Length": "-1", **BEARER})[0] == 413
    assert tell(site.port, "/stop", **{"Transfer-Encoding": "chunked", **BEARER})[0] == 413


def test_a_token_is_made_once_and_others_may_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "watch.token"
    token = read_token(path)
    assert len(token) > 40 and read_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(InputError, match="mode 600"):
        read_token(path)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(InputError, match="16 to"):
        read_token(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(InputError, match="plain file"):
        read_token(tmp_path / "link")


# What the buttons do


def sleeping() -> "subprocess.Popen[bytes]":
    """A process that lives until it is killed."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def held(job: WrittenJob) -> "subprocess.Popen[bytes]":
    """A process that holds the journal's lock, as a driver does."""
    program = (
        "import sys, time; from pathlib import Path; from search.journal.file import FileJournal\n"
        "journal = FileJournal(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    path = str(job.folder / "job.journal")
    process = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    process.stdout.close()
    return process


def append(job: WrittenJob, record: dict[str, object]) -> None:
    """Add a record to a journal whose lock another process holds."""
    with (job.folder / "job.journal").open("ab") as journal:
        journal.write(encode([record]))


def test_stop_asks_the_driver_and_nobody_else(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    bystander = sleeping()
    # A record of long ago: the process that has its number now is another one.
    old = {"record": "driver", "generation": 2, "pid": bystander.pid, "host": HOST, "time": 1}
    job.write(old)
    holder = held(job)
    with served(job.folder) as site:
        page = Events(site.port)
        page.wait(lambda items: items.get("head"), "it is read")
        status, body = tell(site.port, "/stop", **BEARER)
        assert (status, bystander.poll()) == (409, None)
        assert "another one has its number" in body
        job_state_time = round(1000 * time.time())
        append(job, {**old, "generation": 3, "pid": holder.pid, "time": job_state_time})
        page.wait(lambda _: tell(site.port, "/stop", **BEARER)[0] == 200, "it is asked")
        assert holder.wait(60) == -signal.SIGTERM
        page.wait(lambda items: not items["head"]["driven"], "it has gone")
        assert tell(site.port, "/stop", **BEARER) == (409, '{"text":"the job does not run"}')
        page.close()
    bystander.kill()
    bystander.wait()


def test_what_is_finished_or_runs_is_not_resumed(job: WrittenJob, site: Site) -> None:
    page = Events(site.port)
    page.wait(lambda items: items.get("head"), "it is read")
    assert tell(site.port, "/resume", **BEARER)[0] == 409
    job.finish()
    page.wait(lambda items: items["head"]["finished"], "it is finished")
    status, body = tell(site.port, "/resume", **BEARER)
    assert status == 409 and "extend" in body
    page.close()
