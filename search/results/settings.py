"""The settings in which configurations differ: what tables and tooltips show of a configuration."""

from collections.abc import Sequence

from spaces.config import TrialConfig


def varying(configs: Sequence[TrialConfig]) -> tuple[str, ...]:
    """Return the fields of TrialConfig that differ between configurations."""
    return tuple(
        name
        for name in TrialConfig.model_fields
        if any(getattr(config, name) != getattr(configs[0], name) for config in configs)
    )
