"""The rule of the queue: shares are kept, nobody starves, a user's own order is kept."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.queue.fair import Share, Waiting, choose, in_own_order, order

NOW = 1000.0


def job(name: str, priority: int = 0, since: float = 900.0) -> Waiting:
    """A job whose name is its user's and its place among all, as in ann3."""
    return Waiting(name, name[:3], priority, int(name[3:]), since)


#: What waits, whose jobs run, what users are due, and which job is next.
CASES = {
    "nothing waits": ([], ["ann"], {}, None),
    "the first in": ([job("ann2"), job("ann1")], [], {}, "ann1"),
    "the higher priority of one's own": ([job("ann1"), job("ann2", 5)], [], {}, "ann2"),
    "priority buys no share": ([job("ann1", 100), job("bob2")], ["ann"], {}, "bob2"),
    "fewest slots": ([job("ann1"), job("bob2")], ["ann", "ann", "bob"], {}, "bob2"),
    "fewest slots for the weight": (
        [job("ann1"), job("bob2")],
        ["ann", "ann", "bob"],
        {"ann": Share(weight=3)},
        "ann1",
    ),
    "no slot before any share": ([job("ann1"), job("bob2")], ["ann"], {"ann": Share(100)}, "bob2"),
    "longest without a slot": (
        [job("ann1", since=0), job("bob2", since=0)],
        [],
        {"ann": Share(served=990.0), "bob": Share(served=500.0)},
        "bob2",
    ),
    "longest since it was submitted": (
        [job("ann1", since=950), job("bob2", since=900)],
        [],
        {},
        "bob2",
    ),
    "waiting counts by weight": (
        [job("ann1", since=0), job("bob2", since=0)],
        [],
        {"ann": Share(3, served=950.0), "bob": Share(1, served=900.0)},
        "ann1",
    ),
    "a clock that was set back": (
        [job("ann1", since=5000), job("bob2", since=6000)],
        [],
        {},
        "ann1",
    ),
}


@pytest.mark.parametrize(("waiting", "running", "shares", "expected"), CASES.values(), ids=CASES)
def test_the_next_slot_goes_to(
    waiting: list[Waiting], running: list[str], shares: dict[str, Share], expected: str | None
) -> None:
    chosen = choose(waiting, running, shares, NOW)
    assert (None if chosen is None else chosen.id) == expected


USERS = ("ann", "bob", "cid")
WEIGHTS = st.dictionaries(st.sampled_from(USERS), st.builds(Share, st.integers(1, 100)))
JOBS = st.lists(
    st.tuples(st.sampled_from(USERS), st.integers(-3, 3), st.integers(0, 1000)), max_size=12
).map(
    lambda drawn: [
        Waiting(f"{user}{place}", user, priority, place, float(since))
        for place, (user, priority, since) in enumerate(drawn)
    ]
)


@given(JOBS, st.lists(st.sampled_from(USERS), max_size=4), WEIGHTS, st.integers(1, 4))
def test_the_order_has_every_job_once_and_keeps_each_users_own(
    waiting: list[Waiting], running: list[str], shares: dict[str, Share], limit: int
) -> None:
    found = order(waiting, running, shares, limit, NOW)
    assert Counter(found) == Counter(waiting)
    for user in USERS:
        own = [one for one in found if one.user == user]
        assert own == in_own_order(one for one in waiting if one.user == user)
    if found:
        free = running[max(0, len(running) - limit + 1) :] if len(running) >= limit else running
        assert found[0] == choose(waiting, free, shares, NOW)


@pytest.mark.parametrize("users", [1, 1000], ids=["one user", "a thousand users"])
def test_a_long_queue_is_put_in_order_in_time_that_grows_with_its_length(users: int) -> None:
    def seconds(jobs: int) -> float:
        waiting = [job(f"{number % users:03}{number}", since=number) for number in range(jobs)]
        tries = []
        for _ in range(3):
            before = time.thread_time()
            assert len(order(waiting, [], {}, 4, NOW)) == jobs
            tries.append(time.thread_time() - before)
        return min(tries)

    assert seconds(10_000) < 40 * seconds(1_000)  # 100 times, if each job were held against all


@given(JOBS, st.lists(st.sampled_from(USERS), max_size=4), WEIGHTS, st.integers(1, 4))
def test_the_order_is_that_of_choosing_job_after_job(
    waiting: list[Waiting], running: list[str], shares: dict[str, Share], limit: int
) -> None:
    found, slots, left = order(waiting, running, shares, limit, NOW), list(running), list(waiting)
    for step, expected in enumerate(found):
        del slots[: max(0, len(slots) - limit + 1)]
        chosen = choose(left, slots, shares, NOW + step)
        assert chosen == expected
        left.remove(expected)
        slots.append(expected.user)
        weight = shares.get(expected.user, Share()).weight
        shares = {**shares, expected.user: Share(weight, NOW + step)}


@given(JOBS, st.lists(st.sampled_from(USERS), max_size=4), WEIGHTS)
def test_nobody_gets_a_second_slot_before_one_who_waits_has_a_first(
    waiting: list[Waiting], running: list[str], shares: dict[str, Share]
) -> None:
    chosen = choose(waiting, running, shares, NOW)
    if chosen is not None and chosen.user in running:
        assert {one.user for one in waiting} <= set(running)


@given(st.lists(st.sampled_from(USERS), max_size=12), st.integers(2, 4))
def test_equal_users_differ_by_one_slot_at_most_while_all_of_them_wait(
    running: list[str], limit: int
) -> None:
    waiting = [Waiting(f"{u}{i}", u, 0, i, 0.0) for u in USERS for i in range(40)]
    slots: list[str] = []
    for step in range(30):
        chosen = choose(waiting, slots, {}, NOW + step)
        assert chosen is not None
        waiting.remove(chosen)
        slots.append(chosen.user)
        counts = [slots.count(user) for user in USERS]
        if len(slots) == limit:
            assert max(counts) - min(counts) <= 1
            # Whoever falls free is drawn, as ends come in any order.
            slots.remove(running[step % len(running)] if _has(running, step, slots) else slots[0])


def _has(running: list[str], step: int, slots: list[str]) -> bool:
    return bool(running) and running[step % len(running)] in slots


@settings(deadline=None)
@given(
    st.fixed_dictionaries({user: st.integers(1, 100) for user in USERS}),
    st.integers(1, 3),
    st.integers(0, 10),
)
def test_nobody_starves_whatever_the_weights(
    weights: dict[str, int], limit: int, late: int
) -> None:
    """Others always have more jobs; cid's one job comes later and starts all the same."""
    shares = {user: Share(weight) for user, weight in weights.items()}
    endless = [Waiting(f"{u}{i}", u, 9, i, 0.0) for u in ("ann", "bob") for i in range(600)]
    slots: list[str] = []
    now = NOW
    arrival: float | None = None
    for step in range(500):
        now += 1
        if step == late:
            arrival = now
            endless.append(Waiting("cid0", "cid", -100, 10_000, now))
        if len(slots) == limit:
            slots.pop(0)
        chosen = choose(endless, slots, shares, now)
        assert chosen is not None
        endless.remove(chosen)
        slots.append(chosen.user)
        shares[chosen.user] = Share(weights[chosen.user], now)
        if chosen.user == "cid":
            break
    assert arrival is not None and chosen.user == "cid"
    # It waits at most until its wait times its weight is that of the others since their last slot.
    assert now - arrival <= 2 * max(weights.values()) + 2
