"""Comparison of the type stubs with the declarations that cffi reads (decl/*.h)."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from xenlib_cffi.build import MODULES
from xenlib_cffi.library import PAGE_SIZE, load

PACKAGE = Path(__file__).parents[3] / "xenlib_cffi"
NAMES = list(MODULES)
SCALARS = {"void": "None", "bool": "bool", "double": "float"}  # all others are integers


@dataclass
class Declared:
    """What the declaration files of a module declare, as C text."""

    functions: dict[str, tuple[str, list[str]]]  # result and parameters, without their names
    structures: dict[str, set[str]]
    constants: set[str]


def declared(module):
    files = [PACKAGE / "decl" / f"{name}.h" for name in MODULES[module].declarations]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    constants = set(re.findall(r"^#define (\w+) \.\.\.$", text, re.MULTILINE))
    text = " ".join(re.sub(r"^#.*$", "", text, flags=re.MULTILINE).split())
    structures = {}
    for tag, body, name in re.findall(r"struct (\w*) ?\{(.*?)\} ?(\w*);", text):
        fields = (field.strip() for field in body.split(";"))
        structures[name or tag] = {
            re.search(r"(\w+)(\[\w*\])?$", field)[1] for field in fields if field.strip(" .")
        }
    for body in re.findall(r"enum \w+ \{(.*?)\};", text):
        constants |= {name.strip() for name in body.split(",") if name.strip()}
    functions = {}
    for statement in re.sub(r"(typedef )?(struct|enum) \w* ?\{.*?\} ?\w*;", "", text).split(";"):
        if found := re.match(r"static const \w+ (\w+)$", statement.strip()):
            constants.add(found[1])
        elif found := re.match(r"(?!typedef)(.*?)(\w+)\((.*)\)$", statement.strip()):
            parameters = [] if found[3] == "void" else found[3].split(", ")
            functions[found[2]] = (found[1].strip(), [nameless(each) for each in parameters])
    return Declared(functions, structures, constants)


def nameless(parameter):
    """The type of a parameter; an array is a pointer."""
    pointer = "*" if "[" in parameter else ""
    return re.sub(r"\w+(\[\w*\])?$", "", parameter).strip() + pointer


def stub(module):
    """The classes of a stub, by name."""
    text = (PACKAGE / f"{module.rpartition('.')[2]}.pyi").read_text(encoding="utf-8")
    return {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


def methods(node):
    return {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}


def attributes(node):
    return {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}


def class_name(structure):
    return "C" + "".join(part.capitalize() for part in structure.removesuffix("_t").split("_"))


def python_types(c_type, classes):
    """The annotations that a stub may have for a type of C; None if any class may be right."""
    base = re.sub(r"\b(const|struct|enum|unsigned)\b", "", c_type).replace("*", "").strip()
    if "*" not in c_type:
        return {SCALARS.get(base, "int")}
    name = class_name(base)
    if name not in classes:
        return None
    arrays = {each for each, node in classes.items() if f"CArray[{name}]" in bases(node)}
    return {name, f"CArray[{name}]"} | arrays


def bases(node):
    return {ast.unparse(base) for base in node.bases}


@pytest.mark.parametrize("module", NAMES)
def test_the_stub_has_the_declared_functions_with_their_parameters(module):
    functions = declared(module).functions
    stubs = methods(stub(module)["Lib"])
    assert len(functions) > 10
    assert {name: len(parameters) for name, (_, parameters) in functions.items()} == {
        name: len(method.args.args) - 1 for name, method in stubs.items()
    }


@pytest.mark.parametrize("module", NAMES)
def test_parameters_and_results_have_the_declared_types(module):
    classes = stub("xenlib_cffi._histogram") | stub(module)
    stubs = methods(classes["Lib"])
    for name, (result, parameters) in declared(module).functions.items():
        annotations = [each.annotation for each in stubs[name].args.args[1:]]
        for c_type, annotation in zip(
            [result, *parameters], [stubs[name].returns, *annotations], strict=True
        ):
            accepted = python_types(c_type, classes)
            python_type = ast.unparse(annotation)
            if accepted is None:
                assert python_type not in {"Any", "None", "bool", "float", "int"}, (name, c_type)
            else:
                assert python_type in accepted, (name, c_type)


@pytest.mark.parametrize("module", NAMES)
def test_the_stub_has_the_declared_constants(module):
    constants = declared(module).constants
    assert constants
    assert attributes(stub(module)["Lib"]) == constants


@pytest.mark.parametrize("module", NAMES)
def test_the_stub_has_the_declared_structures_with_their_fields(module):
    structures = declared(module).structures
    classes = stub(module)
    assert structures
    for name, fields in structures.items():
        assert attributes(classes[class_name(name)]) == fields, name


@pytest.mark.parametrize("module", NAMES)
def test_the_stub_does_not_use_any(module):
    text = (PACKAGE / f"{module.rpartition('.')[2]}.pyi").read_text(encoding="utf-8")
    assert not re.search(r"\bAny\b", text)


def test_the_compiled_module_has_the_declared_functions_and_constants():
    expected = declared("xenlib_cffi._xen")
    _, lib = load()
    assert set(dir(lib)) == set(expected.functions) | expected.constants


def test_the_page_size_of_python_and_c_are_equal():
    _, lib = load()
    assert lib.XENLIB_PAGE_SIZE == PAGE_SIZE
