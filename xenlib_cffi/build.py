"""Builds the extension modules: cffi writes the glue, our own C is compiled beside it.

`pyproject.toml` names the two modules and this module's `BuildExt`; everything else about
them stands in `MODULES`. A new C file or declaration file is one more word in a tuple there.
Nothing compiled may be imported here: this runs before anything is.
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

OURS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-pthread"]
# cffi's glue: a declaration that no longer agrees with its header is an error, not a guess.
GLUE = [
    *("-std=gnu11", "-O2", "-fvisibility=hidden", "-Wall", "-Werror", "-pthread"),
    *("-Wno-unused-function", "-Wno-unused-variable", "-Wno-error=deprecated-declarations"),
]


@dataclass(frozen=True)
class Module:
    """What one extension module is made of.

    Attributes:
        declarations: files of `decl/`, without `.h`, in the order cffi reads them.
        headers: headers that hold what `declarations` declare, in the order C reads them.
        sources: files of `csrc/`, without `.c`.
        libraries: libraries to link with.
        includes: modules whose types these declarations use.
    """

    declarations: tuple[str, ...]
    headers: tuple[str, ...]
    sources: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()

    def ffi(self, name: str) -> FFI:
        """Return the cffi builder of this module, ready to write its C.

        Args:
            name: the module's full name.
        """
        ffi = FFI()
        for included in self.includes:
            ffi.include(MODULES[included].ffi(included))
        for declaration in self.declarations:
            ffi.cdef((DECL / f"{declaration}.h").read_text(encoding="utf-8"))
        ffi.set_source(name, self.preamble())
        return ffi

    def preamble(self) -> str:
        """Return the `#include` lines the glue starts with."""
        return includes(self.headers)

    def system_headers(self) -> list[str]:
        """Return the headers that are not our own."""
        return [header for header in self.headers if not (CSRC / header).exists()]


def includes(headers: Iterable[str]) -> str:
    """Return the lines of C that include `headers`."""
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
            "kept_log.h",
            "grant_ops.h",
            "empty_domain.h",
            "hypfs_numbers.h",
            "loop.h",
        ),
        sources=(
            "histogram",
            "kept_log",
            "grant_ops",
            "empty_domain",
            "hypfs_numbers",
            "loop",
            "hypercall_engine",
            "gntdev_engine",
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
    """Writes each module's glue with cffi, then compiles it with our C, in the build directory.

    A module whose headers are not on the machine is left out, with a line that says so: without
    Xen's development files the histogram still builds. A module whose headers are there must
    compile, so that a broken binding is never shipped as an absent one.
    """

    def build_extensions(self) -> None:
        """Build the modules this machine has the headers of."""
        self.extensions = [ext for ext in self.extensions if self._has_headers(ext)]
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Write the glue of one module, compile our C, and link both.

        Args:
            ext: the module to build, named as in `MODULES`.
        """
        module = MODULES[ext.name]
        work = Path(self.build_temp, ext.name)
        work.mkdir(parents=True, exist_ok=True)
        glue = work / "glue.c"
        module.ffi(ext.name).emit_c_code(str(glue))
        ext.sources = [str(glue)]
        ext.include_dirs = [str(CSRC)]
        ext.libraries = list(module.libraries)
        ext.extra_compile_args = GLUE
        ext.extra_link_args = ["-pthread"]
        ext.extra_objects = self.compiler.compile(
            [str(CSRC / f"{source}.c") for source in module.sources],
            output_dir=str(work),
            include_dirs=[str(CSRC)],
            extra_postargs=OURS,
            depends=[str(header) for header in CSRC.glob("*.h")],
        )
        super().build_extension(ext)

    def _has_headers(self, ext: Extension) -> bool:
        """Return whether the compiler finds every header that is not our own."""
        headers = MODULES[ext.name].system_headers()
        probe = Path(self.build_temp, ext.name, "headers.c")
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text(includes(headers), encoding="utf-8")
        try:
            self.compiler.preprocess(str(probe), output_file=str(probe.with_suffix(".i")))
        except CompileError:
            self.warn(f"{ext.name} is left out: not all of {headers} are here (package libxen-dev)")
            return False
        return True
