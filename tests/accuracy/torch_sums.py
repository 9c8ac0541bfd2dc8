#!/usr/bin/env python3
# tests/accuracy/torch_sums.py -- PyTorch's sums and means of the addends that sums.cpp writes
"""usage: torch_sums.py ADDENDS ANSWER

Says its version. For each line, a number N, reads N x N floats from the file ADDENDS and writes
into ANSWER their sum, their mean, and the sums over dim 1 and dim 0.
"""
import signal
import sys

import numpy as np
import torch

print(f"PyTorch {torch.__version__}", flush=True)
signal.signal(signal.SIGINT, signal.SIG_DFL)
for line in sys.stdin:
    side = int(line)
    x = torch.from_numpy(np.fromfile(sys.argv[1], dtype=np.float32)).view(side, side)
    parts = [x.sum().view(1), x.mean().view(1), x.sum(1), x.sum(0)]
    torch.cat(parts).numpy().tofile(sys.argv[2])
    print("done", flush=True)
