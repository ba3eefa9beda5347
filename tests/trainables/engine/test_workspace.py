"""Memory to work in is used again, and threads hold no more of it than the limits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from trainables.engine.workspace import (
    MAX_FREE,
    MAX_FREE_BYTES,
    Buffer,
    Workspace,
    free_bytes,
)


def test_a_buffer_that_was_given_back_is_lent_again() -> None:
    buffer = Buffer(70_001, torch.float32)
    address, size = buffer.address, buffer.numbers.numel()
    assert 70_001 <= size <= 70_001 * 1.25
    del buffer
    assert Buffer(70_001, torch.float32).address == address


def test_a_buffer_that_is_in_use_is_lent_to_nobody_else() -> None:
    buffers = [Buffer(70_001, torch.float32) for _ in range(3)]
    assert len({buffer.address for buffer in buffers}) == 3


def test_a_buffer_serves_its_own_type_alone() -> None:
    Buffer(5_000, torch.float32)  # given back at once
    assert Buffer(5_000, torch.float64).numbers.dtype == torch.float64


def test_only_so_many_free_buffers_of_one_size_are_held() -> None:
    def held() -> tuple[int, int]:
        buffers = [Buffer(11 * 1024, torch.float32) for _ in range(MAX_FREE + 3)]
        each = buffers[0].numbers.nbytes
        buffers.clear()
        return free_bytes(), MAX_FREE * each

    with ThreadPoolExecutor(1) as thread:  # a thread of its own holds nothing of other tests
        found, expected = thread.submit(held).result()
    assert found == expected


def test_free_buffers_never_hold_more_bytes_than_the_limit() -> None:
    most = MAX_FREE_BYTES // 4  # in float32
    Buffer(most + most // 2, torch.float32)
    assert free_bytes() < MAX_FREE_BYTES
    sizes = [most // 8 + number * most // 32 for number in range(20)]
    assert 4 * sum(sizes) > 2 * MAX_FREE_BYTES
    for size in sizes:
        Buffer(size, torch.float32)
        assert 0 < free_bytes() <= MAX_FREE_BYTES


def test_each_thread_has_free_buffers_of_its_own() -> None:
    Buffer(70_001, torch.float32)
    found = []
    thread = threading.Thread(target=lambda: found.append(free_bytes()))
    thread.start()
    thread.join()
    assert found == [0] and free_bytes() > 0


def test_a_buffer_made_in_inference_mode_serves_training() -> None:
    with torch.inference_mode():
        buffer = Buffer(71_003, torch.float32)  # no other test's size
    assert not buffer.numbers.is_inference()


def test_a_name_in_a_workspace_keeps_its_memory_until_it_needs_more() -> None:
    workspace = Workspace(torch.float32)
    first = workspace.take("y", 100, 50)
    assert first.shape == (100, 50) and first.is_contiguous()
    assert workspace.take("y", 20, 7).data_ptr() == first.data_ptr()
    assert workspace.take("y", 1000, 50).shape == (1000, 50)


def test_names_in_a_workspace_share_no_memory() -> None:
    workspace = Workspace(torch.float64)
    one, other = workspace.take("x", 10, 10).fill_(1), workspace.take("y", 10, 10).fill_(2)
    assert (one == 1).all() and (other == 2).all()


def test_a_workspace_gives_its_memory_back() -> None:
    workspace = Workspace(torch.float32)
    address = workspace.take("y", 300, 301).data_ptr()
    del workspace
    assert Buffer(300 * 301, torch.float32).address == address
