"""What is on the board: who has seen a number gets the later changes, and no others."""

import threading

from search.watch.board import GONE, Board


def test_only_what_changed_since_is_told() -> None:
    board = Board()
    board.put({"a": 1, "b": [1]})
    first, items, _ = board.since(0)
    assert items == {"a": 1, "b": [1]}
    board.put({"a": 1, "b": [1, 2]})
    second, items, gone = board.since(first)
    assert (items, gone) == ({"b": [1, 2]}, [])
    board.put({"a": 1, "b": [1, 2]})
    assert board.since(second) == (second, {}, [])


def test_what_is_left_out_of_a_whole_is_gone() -> None:
    board = Board()
    board.put({"slot/0": "x", "slot/1": "y", "curve/0": "z"}, whole="slot/")
    seen, _, _ = board.since(0)
    board.put({"slot/1": "y"}, whole="slot/")
    assert board.since(seen)[1:] == ({}, ["slot/0"])
    assert board.since(0)[1:] == ({"slot/1": "y", "curve/0": "z"}, [])
    board.put({"slot/0": "x", "slot/1": "y"}, whole="slot/")
    assert board.since(seen)[1:] == ({"slot/0": "x"}, [])


def test_who_has_missed_too_much_begins_again() -> None:
    board = Board()
    board.put({f"slot/{n}": n for n in range(GONE + 5)}, whole="slot/")
    seen, _, _ = board.since(0)
    for number in range(GONE + 5):
        board.put({f"slot/{n}": n for n in range(number + 1, GONE + 5)}, whole="slot/")
    assert board.since(seen)[1] is None
    assert board.since(0)[1] == {}
    assert board.since(10**6)[1] is None


def test_a_change_wakes_who_waits() -> None:
    board = Board()
    threading.Timer(0.05, lambda: board.put({"a": 1})).start()
    assert board.wait(0, 60)
    assert not board.wait(1, 0.01)
