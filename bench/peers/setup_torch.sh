#!/usr/bin/env bash
# bench/peers/setup_torch.sh -- PyTorch in a virtual environment of its own, for the comparisons
set -euo pipefail
venv=$1
if "$venv/bin/python" -c 'import torch, numpy' 2>/dev/null; then exit 0; fi
echo "bench: installing PyTorch into $venv (once; the wheel and what it needs are large)"
/usr/bin/env python3 -m venv "$venv"
"$venv/bin/pip" install --quiet torch numpy
"$venv/bin/python" -c 'import torch; print("bench: PyTorch", torch.__version__)'
