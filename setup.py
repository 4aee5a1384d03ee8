"""Build of the compiled core. All else is in pyproject.toml.

The core is a plain shared library that Python loads by ctypes: it includes headers of
neither Python nor torch, so that one build serves every version of both. Without a
compiler, or with one that fails, the package installs all the same and computes in
plain torch.
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = (
    "core.cpp",
    "plan.cpp",
    "sample.cpp",
    "signals.cpp",
    "subgraph.cpp",
    "kernels_portable.cpp",
    "kernels_avx2.cpp",
    "kernels_avx512.cpp",
)
HEADERS = ("edges.h", "layout.h", "plan.h", "tasks.h", "kernels.inc")
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

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; a failure is told, and no more."""
        try:
            super().build_extension(ext)
        except Exception as error:
            self.warn(
                f"the compiled core was not built ({error}); kdgraph will compute in "
                "plain torch, which is slower"
            )


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
setup(ext_modules=[core], cmdclass={"build_ext": BuildCore})
