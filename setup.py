"""Build of the compiled core. All else is in pyproject.toml.

The core is a plain shared library that Python loads by ctypes: it includes headers of
neither Python nor torch, so that one build, and one wheel, serves every version of
both. Without a compiler, or with one that fails, the package installs all the same and
computes in plain torch.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = (
    "choices.cpp",
    "core.cpp",
    "lookups.cpp",
    "plan.cpp",
    "repeats.cpp",
    "rounding.cpp",
    "sample.cpp",
    "subgraph.cpp",
    "unpacking.cpp",
    "kernels_portable.cpp",
    "kernels_avx2.cpp",
    "kernels_avx512.cpp",
    "kernels_neon.cpp",
)
HEADERS = ("edges.h", "layout.h", "plan.h", "tasks.h", "kernels.inc", "choices.inc")
FLAGS = (
    "-g0",
    "-std=c++17",
    "-O3",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-Wno-psabi",
    "-pthread",
)


class BuildCore(build_ext):
    """Build the core where that is possible, and say so where it is not."""

    def get_ext_filename(self, fullname: str) -> str:
        """A name without the version of Python, of which the core knows nothing."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; a failure is told, and no more."""
        try:
            super().build_extension(ext)
        except Exception as error:
            # What an earlier build left is not what these sources say.
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
            self.warn(
                f"the compiled core was not built ({error}); kdgraph will compute in "
                "plain torch, which is slower"
            )


class BuildWheel(bdist_wheel):
    """One wheel for all Pythons: of a platform with the core, of any without."""

    def run(self) -> None:
        """Build first: whether there is a core decides what the wheel is for."""
        self.run_command("build")
        builder = self.get_finalized_command("build_ext")
        if not any(Path(path).exists() for path in builder.get_outputs()):
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """The platform alone."""
        return "py3", "none", super().get_tag()[2]


# More flags, such as those of a sanitizer.
extra = os.environ.get("KDGRAPH_CXXFLAGS", "").split()
links = ["-pthread", *extra]
if "CC" in os.environ and "CXX" not in os.environ:
    # Who names one compiler means it for this too; it may not know C++'s own library.
    os.environ["CXX"] = os.environ["CC"]
    links += ["-lstdc++"] if sys.platform == "linux" else []
core = Extension(
    "kdgraph.ops._core",
    sources=[f"csrc/{name}" for name in SOURCES],
    depends=[f"csrc/{name}" for name in HEADERS],
    include_dirs=["csrc"],
    extra_compile_args=[*FLAGS, *extra],
    extra_link_args=links,
    language="c++",
    optional=True,
)
setup(
    # The sources are for GCC and Clang, which on Windows make nothing that is tested.
    ext_modules=[] if sys.platform == "win32" else [core],
    cmdclass={"build_ext": BuildCore, "bdist_wheel": BuildWheel},
)
