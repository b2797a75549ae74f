"""What tests share lies in tests/helpers: no test module imports from another one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported_test_modules(source: str, package: list[str]) -> list[str]:
    """The test modules that a file of ``package`` imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts = [name.split(".") for name in names]
        found += [".".join(p) for p in parts if p[0] == "tests" and any(part.startswith("test_") for part in p)]
    return found


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("from tests.nn.test_linear import case", 2),
        ("from .test_linear import case", 2),
        ("from ..test_fields import case", 2),
        ("from tests.nn import test_linear", 1),
        ("import tests.nn.test_linear", 1),
        ("def f():\n    from .test_linear import case", 2),
        ("from tests.helpers.graphs import random_graph\nfrom gaugenet.nn import test_things", 0),
    ],
)
def test_the_check_sees_imports(line, count):
    assert len(imported_test_modules(line, ["tests", "nn"])) == count


def test_no_test_imports_from_another_test():
    found = {}
    for path in sorted(TESTS.rglob("*.py")):
        package = ["tests", *path.relative_to(TESTS).parts[:-1]]
        if modules := imported_test_modules(path.read_text(encoding="utf-8"), package):
            found[str(path.relative_to(TESTS))] = modules
    assert not found, f"move what they share to tests/helpers: {found}"
