"""The fixtures of the tests serve here too."""

from tests.conftest import anyio_backend, state_folder, virtual_time

__all__ = ["anyio_backend", "state_folder", "virtual_time"]
