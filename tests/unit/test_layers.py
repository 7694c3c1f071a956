"""The order of the packages of xengt: each imports only those below it."""

import ast
from pathlib import Path

import pytest

import xengt
import xenlib_cffi

#: from the bottom to the top; the packages of one line do not import each other
LAYERS = (
    {"errors"},
    {"documents", "statistics"},
    {"xen"},
    {"sharing"},
    {"recovery"},
    {"bench", "plan", "usage"},
    {"runs"},
    {"compare", "break_even", "scaling"},
    {"report", "serve"},
    {"check"},
    {"cli"},
    {"__main__"},
)
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}


def modules(package: object) -> list[Path]:
    return sorted(Path(package.__file__).parent.rglob("*.py"))


def imported(module: Path) -> set[str]:
    """The packages directly below xengt that a module imports from."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "xengt":
            found |= {f"xengt.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return {name.split(".")[1] for name in found if name.startswith("xengt.")} - {"__version__"}


@pytest.mark.parametrize("module", modules(xengt), ids=lambda path: "/".join(path.parts[-3:]))
def test_a_module_imports_only_what_is_below_its_package(module):
    package = module.relative_to(Path(xengt.__file__).parent).parts[0].removesuffix(".py")
    if package == "__init__":
        assert not imported(module)
        return
    above = {other for other in imported(module) - {package} if LEVEL[other] >= LEVEL[package]}
    assert not above


def test_the_bindings_do_not_import_xengt():
    assert not [path for path in modules(xenlib_cffi) if imported(path)]
