#!/usr/bin/env bash
# Builds partita and partita-train for NVIDIA cards on a machine that need not have one, into
# target/cuda/release. With PARTITA_NCCL=1 the trainer can train on several cards
# (--parallel nccl), and needs NCCL wherever it runs.
#
# The compiler and headers come from the Python package index, into .cuda; the libraries that the
# driver and cuBLAS bring on the machine with the card are stood in for by empty ones while linking.
# CUDA_COMPUTE_CAP (default 90: H100, H200) is the card's compute capability without the dot.
#
# Running them there needs a driver for CUDA 13 (580 or newer) and libcudart.so.13, libcublas.so.13,
# libcublasLt.so.13, libcurand.so.10 and libnvrtc.so.13 on LD_LIBRARY_PATH, for example from the
# packages nvidia-cuda-runtime, nvidia-cublas, nvidia-curand and nvidia-cuda-nvrtc; with NCCL
# also libnccl.so.2, from nvidia-nccl-cu13. Never put .cuda's stubs on it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh cc=gcc c++=g++ make cmake python3
python3 -c 'import ensurepip' 2>/dev/null || scripts/install-packages.sh python3-venv

packages=(
  nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cuda-nvrtc==13.0.88
  nvidia-curand==10.4.0.35
)
if [[ "$(cat .cuda/installed 2>/dev/null)" != "${packages[*]}" ]]; then
  python3 -m venv --clear .cuda
  .cuda/bin/python -m pip install --quiet "${packages[@]}"
  echo "${packages[*]}" > .cuda/installed
fi
cuda=$(echo "$PWD"/.cuda/lib/python3*/site-packages/nvidia/cu13)
[[ -x $cuda/bin/nvcc ]] || { echo "no nvcc in $cuda" >&2; exit 1; }

# Empty libraries with the right names, from the functions that cudarc declares.
cudarc=$(cargo metadata --format-version 1 --all-features --locked | python3 -c '
import json, os, sys
found = [p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"]
if len(found) != 1:
    sys.exit(f"{len(found)} versions of cudarc in Cargo.lock, expected one")
print(os.path.dirname(found[0]))')
mkdir -p "$cuda/lib/stubs"
ln -sf libcudart.so.13 "$cuda/lib/libcudart.so"
source=$(mktemp --suffix=.c)
trap 'rm -f "$source"' EXIT
stub() { # SONAME FOLDER_IN_CUDARC
  grep -ohE '\bfn (cu|cublas|curand|nvrtc|nccl)[A-Za-z0-9_]*' "$cudarc/src/$2/sys/mod.rs" |
    awk '{ print $2 }' | sort -u | awk '{ print "void " $1 "(void) {}" }' > "$source"
  [[ -s $source ]] || { echo "no functions in $cudarc/src/$2/sys/mod.rs" >&2; exit 1; }
  cc -shared -fPIC -w "-Wl,-soname,$1" -o "$cuda/lib/stubs/${1%.so.*}.so" "$source"
  echo "stub of $1: $(wc -l < "$source") functions"
}
stub libcuda.so.1 driver
stub libcublas.so.13 cublas
stub libcublasLt.so.13 cublaslt
stub libcurand.so.10 curand
stub libnvrtc.so.13 nvrtc
stub libnccl.so.2 nccl

export CUDA_HOME=$cuda NVCC=$cuda/bin/nvcc PATH=$cuda/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export LIBRARY_PATH=$cuda/lib:$cuda/lib/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
features=partita/cuda,partita-train/cuda
[[ ${PARTITA_NCCL:-0} == 1 ]] && features+=,partita-train/nccl
cargo build --release --locked --target-dir target/cuda --workspace --bins --features "$features"
ls -l target/cuda/release/partita target/cuda/release/partita-train
