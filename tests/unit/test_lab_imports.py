"""What the lab's tests import from xengt exists: only dom0 runs them, and mypy skips them."""

import ast
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"xengt", "xenlib_cffi"}
#: what a test adds to a copy of the tree (tests/lab/test_lab_snapshot.py)
ADDED = {"xengt.check.outcome.CHANGED"}
FILES = sorted(
    path
    for directory in ("tests/lab", "tests/fleet", "deploy")
    for path in (ROOT / directory).rglob("*.py")
)


def programs(tree: ast.Module) -> Iterator[ast.Module]:
    """Yield a module, and the programs that it contains as strings."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not any(f"import {name}" in node.value or f"from {name}" in node.value
                       for name in PACKAGES):  # fmt: skip
                continue
            try:
                yield ast.parse(textwrap.dedent(node.value))
            except SyntaxError:  # a sentence, or a program with blanks to fill
                continue


def imports(tree: ast.Module) -> Iterator[tuple[str, str | None, str]]:
    """Yield module, name (None: the module itself) and the name it is bound to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            yield from ((str(node.module), each.name, each.asname or each.name)
                        for each in node.names)  # fmt: skip
        elif isinstance(node, ast.Import):
            for each in node.names:
                if each.name.split(".")[0] in PACKAGES:
                    yield each.name, None, each.asname or each.name


def resolved(module: str, name: str | None) -> object:
    """Return what an import statement binds; raise ImportError if it does not exist."""
    found = import_module(module)
    if name is None:
        return found
    if hasattr(found, name):
        return getattr(found, name)
    return import_module(f"{module}.{name}")


def rebound(tree: ast.Module) -> set[str]:
    """Return the names that are also those of variables or parameters."""
    return {
        node.arg if isinstance(node, ast.arg) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.arg)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    }


def missing(source: str) -> list[str]:
    """Return the imports, and the attributes of imported modules, that do not exist."""
    wrong = []
    for tree in programs(ast.parse(source)):
        modules = {}
        for module, name, bound in imports(tree):
            try:
                modules[bound] = resolved(module, name)
            except ImportError:
                wrong.append(f"{module}.{name}" if name else module)
        for name in rebound(tree):
            modules.pop(name, None)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = modules.get(node.value.id)
                if isinstance(owner, type(ast)) and not hasattr(owner, node.attr):
                    wrong.append(f"{node.value.id}.{node.attr}")
    return wrong


def using() -> list[Path]:
    """Return the files that mention a package."""
    return [path for path in FILES if any(name in path.read_text() for name in PACKAGES)]


@pytest.mark.parametrize("path", using(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_from_xengt_exist(path):
    assert set(missing(path.read_text(encoding="utf-8"))) <= ADDED


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from xengt.errors import Exit", []),
        ("from xengt.xen import kernel\nkernel.dom0_kind()", []),
        ("from xengt.errors import Gone", ["xengt.errors.Gone"]),
        ("import xengt.gone", ["xengt.gone"]),
        ("from xengt.gone import errors", ["xengt.gone.errors"]),
        ("from xengt.xen import kernel\nkernel.gone()", ["kernel.gone"]),
        ('run("""\n    from xengt.errors import Gone\n""")', ["xengt.errors.Gone"]),
    ],
)
def test_an_import_that_does_not_exist_is_found(source, wrong):
    assert missing(source) == wrong
