"""On which device a worker trains."""

import pytest
import torch

from trainables.worker.device import DeviceError, choose_device

#: GPUs given, whether torch sees one, whether Triton's kernels are interpreted -> the device
CHOICES = [
    (0.0, True, True, "cpu"),
    (0.0, False, False, "cpu"),
    (0.5, True, False, "cuda"),
    (1.0, True, True, "cuda"),
    (1.0, False, True, "cpu"),
    (1.0, False, False, None),
]


@pytest.mark.parametrize(("gpus", "seen", "interpreted", "device"), CHOICES)
def test_the_device_follows_from_gpus_given_and_gpus_seen(
    gpus: float, seen: bool, interpreted: bool, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    monkeypatch.setenv("TRITON_INTERPRET", str(int(interpreted)))
    if device is None:
        with pytest.raises(DeviceError, match="gatesearch doctor"):
            choose_device(gpus)
    else:
        assert choose_device(gpus) == device
