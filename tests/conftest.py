"""For all tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("hbd", deadline=None)  # how long an example takes is a matter of the machine
settings.load_profile("hbd")
