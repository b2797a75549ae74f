"""State_dicts saved by version 0.1.0 load, and the networks give the numbers that they gave."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.fixtures.make_old_state import FILES, FOLDER, inputs

CASES = [(file, name) for file, cases in FILES.items() for name in cases]
_GRAPHS: dict = {}


@pytest.fixture(scope="module")
def saved():
    return {file: load_file(FOLDER / f"{file}.safetensors") for file in FILES}


def test_every_case_is_saved_and_every_saved_one_is_a_case(saved):
    for file, cases in FILES.items():
        assert {key.split("|")[0] for key in saved[file]} == set(cases)


@pytest.mark.parametrize(("file", "name"), CASES, ids=lambda s: s)
def test_loads_and_gives_the_same_numbers(saved, file, name):
    case, stored = FILES[file][name], {}
    for key, value in saved[file].items():
        owner, _, rest = key.partition("|")
        if owner == name:
            stored[rest] = value
    expected = stored.pop("")
    net = case.make()
    net.load_state_dict(stored, strict=True)
    # Batches are counted since: states without a count are averages of many.
    kept = {key: v.shape for key, v in net.state_dict().items() if key in stored or not key.endswith("num_batches_tracked")}
    assert kept == {key: v.shape for key, v in stored.items()}
    with torch.no_grad():
        out = net.double().eval()(*inputs(case, _GRAPHS))
    assert out.dtype == torch.float64 and out.shape == expected.shape
    assert float((out - expected).abs().max()) <= 1e-10 * float(expected.abs().max())
