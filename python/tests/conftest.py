"""Both ways into torch are tested: the C ABI, and Python attributes as under older versions."""

from collections.abc import Iterator

import pytest
from rusttorch import _rusttorch


@pytest.fixture(params=["c_abi", "attributes"])
def torch_path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _rusttorch._attributes_only(request.param == "attributes")
    yield request.param
    _rusttorch._attributes_only(before)
