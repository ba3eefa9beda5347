"""What the live page of a large job costs: to read its journal, and to open in a browser.

    python tests/benchmarks/large_live_page.py [--trials 10000] [--repeats 5]

The journal is made, not trained: five arms of so many trials each, half of them complete after 27
epochs and half pruned after 9. Opening is measured by the browser itself, from navigation on until
arms, best values, curves and the latest trials are drawn, and has a new browser with an empty
profile each time: while the server still reads the journal, and once it has; seconds of a CPU are
those of the page's thread, which other work on the machine does not stretch. Last: what the server
sends for one more trial.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import CHROMIUM, browser
from live_page import Events, served
from written_jobs import INFO, START

from search.journal.base import encode

ARMS = ("rnn", "lstm", "gru", "mgu", "ugrnn")
_DRAWN = """new Promise((done) => {
  const there = ["#plot-best canvas", "#plot-curves canvas", "#arms tbody tr", "#latest tbody tr"];
  const look = () => there.every((each) => document.querySelector(each))
    ? requestAnimationFrame(() => done(performance.now())) : setTimeout(look, 5);
  look();
})"""


def write(folder: Path, trials: int) -> None:
    """Write a journal of so many trials of each arm."""
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_text("name: large\n")
    spec = {"name": "large", "task": {"name": "japanese-vowels"}, "arms": list(ARMS)}
    spec |= {"search": {"trials": trials + 1}, "confirm": {"finalists": 1, "seeds": 2}}
    draw, now = random.Random(0), START
    driver = {"record": "driver", "generation": 1, "pid": 1, "host": "elsewhere", "time": now}
    with (folder / "job.journal").open("wb") as journal:
        job = {"record": "job", "spec": spec, "base": "/", "task": INFO}
        journal.write(encode([job, driver]))
        for number in range(trials):
            for arm in ARMS:
                now += 100
                journal.write(encode(begun(arm, number, draw, now)))
                epochs = draw.choice((9, 27))
                key, top = f"search/{arm}/{number}", draw.uniform(0.3, 1.0)
                state = "complete" if epochs == 27 else "pruned"
                end = {"record": "end", "key": key, "state": state, "time": now}
                journal.write(encode([report(key, 1, epochs, top, now), end]))


def begun(arm: str, number: int, draw: random.Random, now: int) -> list[dict[str, object]]:
    config = {"cell": arm, "gates": "standard", "depth": 1, "max_epochs": 27}
    config |= {"hidden_size": draw.choice((8, 16, 32)), "learning_rate": 10 ** draw.uniform(-4, -1)}
    trial = {"record": "trial", "key": f"search/{arm}/{number}", "phase": "search", "arm": arm}
    control = draw.random() < 0.25
    return [
        {**trial, "number": number, "control": control, "config": config, "seed": 7, "time": now}
    ]


def report(key: str, first: int, last: int, top: float, now: int) -> dict[str, object]:
    epochs = [
        {
            **{"epoch": epoch, "train_loss": 2 / epoch, "value": top * (1 - 0.5 / epoch)},
            **{"seconds": 0.05, "time": now + epoch, "metrics": {"loss": 1 / epoch}},
        }
        for epoch in range(first, last + 1)
    ]
    return {"record": "report", "key": key, "generation": 1, "epochs": epochs, "parameters": 1234}


def opened(port: int) -> tuple[float, float]:
    """Return the seconds until a page is drawn, in a browser of its own, and those of its CPU."""
    with browser() as page:
        page.look()
        page.ask("Performance.enable", timeDomain="threadTicks")
        page.ask("Page.navigate", url=f"http://127.0.0.1:{port}/")
        took = float(page.run(_DRAWN)) / 1000
        metrics = page.ask("Performance.getMetrics")["metrics"]
        (cpu,) = (each["value"] for each in metrics if each["name"] == "TaskDuration")
        assert not page.complaints, page.complaints
        return took, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000, help="of each of five arms")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "large"
        write(folder, asked.trials)
        journal = folder / "job.journal"
        count = asked.trials * len(ARMS)
        print(f"{count:,} trials, a journal of {journal.stat().st_size / 1e6:.0f} MB")
        began, spent = time.perf_counter(), time.process_time()
        with served(folder) as site:
            page = Events(site.port)
            page.wait(lambda items: items.get("head"), "it has begun to read", seconds=900)
            if CHROMIUM is not None:
                took, cpu = opened(site.port)
                print(f"opening while it is read   {took:.2f} s ({cpu:.2f} s of a CPU)")
            whole = count
            page.wait(
                lambda items: items["head"]["trials"] == whole and items["reading"] is None,
                "it is read",
                seconds=900,
            )
            took, used = time.perf_counter() - began, time.process_time() - spent
            print(f"read to its end after      {took:.1f} s ({used:.1f} s of a CPU)")
            page.close()
            fresh = Events(site.port)
            fresh.wait(lambda items: items.get("latest"), "everything", seconds=900)
            first = len(json.dumps(fresh.messages[0]))
            print(f"a page is sent             {first / 1e3:.0f} kB at first")
            if CHROMIUM is not None:
                found = [opened(site.port) for _ in range(asked.repeats)]
                times, cpus = ([each[at] for each in found] for at in (0, 1))
                print(
                    f"opening once it is read    {statistics.median(times):.2f} s "
                    f"(worst {max(times):.2f} s), {statistics.median(cpus):.2f} s of a CPU"
                )
            seen = len(fresh.messages)
            key = f"search/gru/{asked.trials}"
            with journal.open("ab") as file:
                file.write(encode(begun("gru", asked.trials, random.Random(1), START)))
                file.write(encode([report(key, 1, 5, 0.9, START)]))
            fresh.wait(lambda items: f"curve/{key}" in items, "the curve", seconds=900)
            later = sum(len(json.dumps(message)) for message in fresh.messages[seen:])
            print(f"a trial of five epochs     {later / 1e3:.1f} kB")
            fresh.close()


if __name__ == "__main__":
    main()
