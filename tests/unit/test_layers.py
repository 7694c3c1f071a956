"""The order of the packages of xengt: each imports only those below it."""

import ast
from graphlib import TopologicalSorter
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


def children(package: Path) -> dict[str, set[str]]:
    """Return the modules and packages in a package, and which of them each imports."""
    name = ".".join(package.relative_to(Path(xengt.__file__).parents[1]).parts)
    graph = {}
    for module in package.rglob("*.py"):
        child = module.relative_to(package).parts[0].removesuffix(".py")
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and child != "__init__":
                names = [f"{node.module}.{each.name}" for each in node.names]
                found = {each.removeprefix(f"{name}.").split(".")[0] for each in names
                         if each.startswith(f"{name}.")}  # fmt: skip
                graph.setdefault(child, set()).update(found - {child})
    return graph


@pytest.mark.parametrize(
    "package",
    sorted(path.parent for path in modules(xengt) if path.name == "__init__.py"),
    ids=lambda path: path.name,
)
def test_what_is_in_a_package_does_not_import_each_other_in_a_circle(package):
    TopologicalSorter(children(package)).prepare()  # raises CycleError


def test_the_bindings_do_not_import_xengt():
    assert not [path for path in modules(xenlib_cffi) if imported(path)]
