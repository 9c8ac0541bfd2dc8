#!/usr/bin/env bash
# .ci/setup_nvrtc.sh -- NVIDIA's run-time compiler for tests, in a virtual environment of its own
#
# usage: setup_nvrtc.sh BUILD_DIR; from PyPI: nvidia-cuda-nvrtc, a download of 56 MB and 145 MB
# installed. The library lies at BUILD_DIR/nvrtc/lib afterwards.
set -euo pipefail
dir=$1/nvrtc
version=13.5.37  # knows sm_75 to sm_121
if ! [[ -e $dir/lib/libnvrtc.so.13 ]]; then
  echo "setup: installing NVRTC into $dir (PyPI's nvidia-cuda-nvrtc $version, 56 MB)"
  rm -rf "$dir"
  mkdir -p "$1"
  /usr/bin/env python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --retries 1 --disable-pip-version-check \
    "nvidia-cuda-nvrtc==$version"
  for file in "$dir"/lib/python3*/site-packages/nvidia/cu13/lib/libnvrtc*; do
    ln -sfn "$(realpath --relative-to="$dir/lib" "$file")" "$dir/lib/${file##*/}"
  done
fi
