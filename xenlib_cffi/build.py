"""Build the extension modules: cffi generates the glue code, `csrc/` is compiled beside it.

`pyproject.toml` names the two modules and `BuildExt`; `MODULES` has everything else. To add a C
file or a declaration file, add its name to a tuple there. This module must not import compiled
modules, because it runs before they exist.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

PACKAGE = Path("xenlib_cffi")
CSRC = PACKAGE / "csrc"
DECL = PACKAGE / "decl"

# Warnings are errors only in our tests (CFLAGS=-Werror): another compiler may warn of more.
CSRC_FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-pthread"]
# A declaration that does not agree with its header is an error with every compiler.
GLUE_FLAGS = [
    *("-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-pthread"),
    *("-Werror=incompatible-pointer-types", "-Werror=int-conversion"),
    *("-Wno-unused-function", "-Wno-unused-variable", "-Wno-error=deprecated-declarations"),
]
#: what compiles nothing but the C library's and Python's headers
REQUIRED = "xenlib_cffi._histogram"


@dataclass(frozen=True)
class Module:
    """The parts of one extension module.

    Attributes:
        declarations: names of files in `decl/`, without `.h`, in the order cffi reads them.
        headers: headers with the declared types and functions, in the order of inclusion.
        sources: names of files in `csrc/`, without `.c`.
        libraries: libraries to link with.
        includes: modules whose types the declarations use.
    """

    declarations: tuple[str, ...]
    headers: tuple[str, ...]
    sources: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()

    def ffi(self, name: str) -> FFI:
        """Return a cffi builder that can generate the C code of this module.

        Args:
            name: the full name of the module.
        """
        ffi = FFI()
        for included in self.includes:
            ffi.include(MODULES[included].ffi(included))
        for declaration in self.declarations:
            ffi.cdef((DECL / f"{declaration}.h").read_text(encoding="utf-8"))
        ffi.set_source(name, self.preamble())
        return ffi

    def preamble(self) -> str:
        """Return the `#include` lines of the glue code."""
        return include_lines(self.headers)

    def system_headers(self) -> list[str]:
        """Return the headers that are not in `csrc/`."""
        return [header for header in self.headers if not (CSRC / header).exists()]


def include_lines(headers: Iterable[str]) -> str:
    """Return an `#include` line for each header."""
    return "".join(f"#include <{header}>\n" for header in headers)


MODULES = {
    "xenlib_cffi._histogram": Module(
        declarations=("histogram",),
        headers=("histogram.h",),
        sources=("histogram", "histogram_codec"),
        libraries=("m",),
    ),
    "xenlib_cffi._xen": Module(
        declarations=(
            "toollog",
            "call",
            "gnttab",
            "foreignmemory",
            "evtchn",
            "ctrl",
            "hypfs",
            "loop",
        ),
        headers=(
            "stdlib.h",
            "sys/mman.h",
            "xenctrl.h",
            "xencall.h",
            "xengnttab.h",
            "xenforeignmemory.h",
            "xenevtchn.h",
            "xenhypfs.h",
            "last_message.h",
            "page.h",
            "grant_ops.h",
            "empty_domain.h",
            "hypfs_numbers.h",
            "loop.h",
        ),
        sources=(
            "histogram",
            "last_message",
            "grant_ops",
            "empty_domain",
            "hypfs_numbers",
            "loop",
            "mapped_pages",
            "marks",
            "call_arrays",
            "hypercall_engine",
            "gntdev_engine",
            "copy_engine",
            "gntdev_copy_engine",
            "persistent_engine",
            "foreign_engine",
            "empty_engine",
        ),
        libraries=(
            "xencall",
            "xengnttab",
            "xenforeignmemory",
            "xenevtchn",
            "xenctrl",
            "xentoollog",
            "xenhypfs",
            "m",
        ),
        includes=("xenlib_cffi._histogram",),
    ),
}


class BuildExt(build_ext):
    """The `build_ext` command: generates and compiles each module in the build directory.

    Without Xen's development files, `_xen` is left out with a warning. The histogram is always
    built, because no command works without it, and a module that does not compile is an error.
    """

    def get_source_files(self) -> list[str]:
        """Return the C files and headers, which a source distribution includes."""
        return sorted(str(path) for directory in (CSRC, DECL) for path in directory.glob("*.[ch]"))

    def build_extensions(self) -> None:
        """Build the modules whose headers are installed."""
        self._require_compiler()
        self.extensions = [ext for ext in self.extensions if self._has_headers(ext)]
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Generate the glue code of one module, compile it and `csrc/`, and link both.

        Args:
            ext: the module to build; its name is a key of `MODULES`.
        """
        module = MODULES[ext.name]
        work = Path(self.build_temp, ext.name)
        work.mkdir(parents=True, exist_ok=True)
        glue = work / "glue.c"
        module.ffi(ext.name).emit_c_code(str(glue))
        ext.sources = [str(glue)]
        ext.include_dirs = [str(CSRC)]
        ext.libraries = list(module.libraries)
        ext.extra_compile_args = GLUE_FLAGS
        ext.extra_link_args = ["-pthread"]
        ext.extra_objects = self.compiler.compile(
            [str(CSRC / f"{source}.c") for source in module.sources],
            output_dir=str(work),
            include_dirs=[str(CSRC)],
            extra_postargs=CSRC_FLAGS,
            depends=[str(header) for header in CSRC.glob("*.h")],
        )
        super().build_extension(ext)

    def _require_compiler(self) -> None:
        """Check what every module needs.

        Raises:
            CompileError: there is no working C compiler, no Python.h, or no C file of ours.
        """
        missing = [name for name in MODULES[REQUIRED].sources if not (CSRC / f"{name}.c").exists()]
        if missing:
            raise CompileError(
                f"{REQUIRED} cannot be built, because this source tree lacks "
                f"{', '.join(str(CSRC / f'{name}.c') for name in missing)}: "
                "use a complete source distribution or a clone"
            )
        if not self._finds(REQUIRED, ["Python.h"]):
            raise CompileError(
                f"{REQUIRED} cannot be built: {self.compiler.preprocessor[0]} does not run, or "
                "does not find Python.h: install a C compiler and Python's headers "
                "(Debian: apt install gcc libc6-dev python3-dev)"
            )

    def _finds(self, module: str, headers: Iterable[str]) -> bool:
        """Return whether the compiler runs and finds all of these headers."""
        probe = Path(self.build_temp, module, "headers.c")
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text(include_lines(headers), encoding="utf-8")
        try:
            self.compiler.preprocess(str(probe), output_file=str(probe.with_suffix(".i")))
        except (CompileError, OSError):
            return False
        return True

    def _has_headers(self, ext: Extension) -> bool:
        """Return whether the compiler finds every system header of a module."""
        headers = MODULES[ext.name].system_headers()
        if ext.name != REQUIRED and not self._finds(ext.name, headers):
            self.warn(
                f"{ext.name} is left out, because not all of its headers are installed "
                f"(package libxen-dev): {', '.join(headers)}"
            )
            return False
        return True
