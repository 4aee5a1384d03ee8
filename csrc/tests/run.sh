#!/usr/bin/env bash
# Build the core and its driver, and run them: csrc/tests/run.sh [FOLDER [TARGET EMULATOR...]]
#   csrc/tests/run.sh                         for this machine, in build/check
#   csrc/tests/run.sh build/arm aarch64-linux-gnu qemu-aarch64-static
# Compilers are TARGET-gcc and TARGET-g++. A core that is in FOLDER is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-build/check}
target=${2:-}
shift $(($# > 2 ? 2 : $#))
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$here/../.."
compiler=${CXX:-g++}
emulator=("$@")
if [ -n "$target" ]; then
  compiler=$target-g++
  export CC=$target-gcc CXX=$compiler
  export LDSHARED="$compiler -shared" LDCXXSHARED="$compiler -shared"
  emulator+=(-L "/usr/$target")
fi
if [ ! -e "$folder/kdgraph/ops/_core.so" ]; then
  python3 setup.py -q build_ext --build-lib "$folder" --build-temp "$folder/objects"
fi
"$compiler" -std=c++17 -O1 csrc/tests/check_core.cpp -ldl -o "$folder/check_core"
"${emulator[@]}" "$folder/check_core" "$folder/kdgraph/ops/_core.so"
