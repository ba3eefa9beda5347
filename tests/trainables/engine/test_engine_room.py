"""Room to work in comes back, and no more of it is kept than was said."""

import torch

from trainables.engine.cpu import room


def test_a_buffer_that_was_given_back_is_lent_again() -> None:
    lent = room.Lent(70_001, torch.float32)
    address, size = lent.buffer.data_ptr(), lent.buffer.numel()
    assert 70_001 <= size <= 70_001 * 1.25
    del lent
    assert room.take(70_001, torch.float32).data_ptr() == address


def test_a_buffer_serves_its_own_type_alone() -> None:
    single = room.take(5_000, torch.float32)
    room.give_back(single)
    assert room.take(5_000, torch.float64).dtype == torch.float64


def test_no_more_is_kept_than_was_said() -> None:
    buffers = [torch.empty(1024) for _ in range(room.KEPT + 3)]
    for buffer in buffers:
        room.give_back(buffer)
    taken = [room.take(1024, torch.float32) for _ in range(room.KEPT + 1)]
    assert taken[-1].data_ptr() not in {buffer.data_ptr() for buffer in buffers}
    for size in [*range(40), room.MOST_BYTES // 4]:
        room.give_back(torch.empty(room.MOST_BYTES // 64 + size))
        kept = [buffer for same in room._kept.free.values() for buffer in same]
        assert sum(buffer.nbytes for buffer in kept) == room._kept.bytes <= room.MOST_BYTES
