#!/usr/bin/env python3
# bench/peers/torch_peer.py -- the same workloads in PyTorch, driven round by round over JSON lines
"""Reads one request a line on stdin and answers one line on stdout:

  {"work": NAME, "params": {...}}   ->  {"ms": milliseconds a call}       one round
  {"hello": true}                   ->  {"name": "torch", "version": ..., "threads": N}

A work is set up at its first request; every round warms up first. `--threads N` as Flash's. Other
modes, one process each: `--rss NAME PARAMS` runs a work a few times and prints {"mb": peak resident
memory}; `--tensors NAME PARAMS` prints {"mb": most bytes of tensors during one call in its steady
state}; `--coldstart` prints one line at the end of the first LeNet training step.
"""
import argparse
import gc
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ROUND_SECONDS = 0.05  # a round repeats its call for about so long, as Flash's harness does,
WARM_SECONDS = 0.05  # after it has warmed up the caches for so long


def uniform(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator)


# --- works: params -> a function that does one call ----------------------------------------------


def adds(params):
    n, count = params["n"], params["count"]
    x, y = uniform(1, n), uniform(2, n)

    def call():
        z = x
        for _ in range(count):
            z = z + y
        return z[0].item()

    return call


def adds_grad(params):
    """Recording cost with the tape: the same additions on a tensor that needs gradients."""
    n, count = params["n"], params["count"]
    x, y = uniform(1, n).requires_grad_(), uniform(2, n)

    def call():
        z = x
        for _ in range(count):
            z = z + y
        return z[0].item()

    return call


def elementwise(function):
    def setup(params):
        n = params["n"]
        x, y = uniform(1, n), uniform(2, n)

        def call():
            with torch.no_grad():
                return function(x, y)

        return call

    return setup


def reduction(function):
    def setup(params):
        x = uniform(1, params["rows"], params["columns"])
        return lambda: function(x)

    return setup


def matmul(params):
    a, b = uniform(1, params["m"], params["k"]), uniform(2, params["k"], params["n"])
    return lambda: a @ b


def linear_relu(params):
    x, w = uniform(1, params["m"], params["k"]), uniform(2, params["n"], params["k"])
    bias = uniform(3, params["n"])
    return lambda: F.relu_(F.linear(x, w, bias))


def conv(gradients):
    def setup(p):
        x = uniform(1, p["images"], p["in"], p["size"], p["size"])
        w = uniform(2, p["out"], p["in"] // p["groups"], p["kernel"], p["kernel"])
        layout = {"stride": p["stride"], "padding": p["padding"], "groups": p["groups"]}
        if not gradients:
            return lambda: F.conv2d(x, w, **layout)
        x.requires_grad_(), w.requires_grad_()
        y = F.conv2d(x, w, **layout)
        dy = torch.ones_like(y)
        return lambda: torch.autograd.grad(F.conv2d(x, w, **layout), (x, w), dy)

    return setup


def max_pool(_params):
    x = uniform(1, 64, 32, 28, 28)
    return lambda: F.max_pool2d(x, 2)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 512), nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class LeNet(nn.Module):
    """32 and 64 filters of 5x5 with padding 2, each with 2x2 max pooling, then 256 hidden units."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear(64 * 7 * 7, 256), nn.Linear(256, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class GeluMlp(nn.Sequential):
    """Twelve layers of width 1024, a GELU behind each."""

    def __init__(self):
        super().__init__(*[m for _ in range(12) for m in (nn.Linear(1024, 1024), nn.GELU())])


def train(model_type, *input_shape):
    def setup(params):
        torch.manual_seed(params.get("seed", 1))
        batch = params["batch"]
        model = model_type()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        x = uniform(1, batch, *input_shape)
        y = torch.arange(batch) % 10

        def call():
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    return setup


WORKS = {
    "adds": adds,
    "adds_grad": adds_grad,
    "chain": elementwise(lambda x, y: torch.tanh(torch.sqrt(torch.abs(x * y + 1)) * 0.5 - y)),
    "axpy": elementwise(lambda x, y: x * 2 + y),
    "copy": elementwise(lambda x, y: x.clone()),
    "exp": elementwise(lambda x, y: torch.exp(x)),
    "erf": elementwise(lambda x, y: torch.erf(x)),
    "sum": reduction(lambda x: x.sum()),
    "sum_dim0": reduction(lambda x: x.sum(0)),
    "sum_dim1": reduction(lambda x: x.sum(1)),
    "softmax": reduction(lambda x: torch.softmax(x, -1)),
    "layer_norm": reduction(lambda x: F.layer_norm(x, x.shape[-1:])),
    "matmul": matmul,
    "linear_relu": linear_relu,
    "conv": conv(False),
    "conv_grad": conv(True),
    "max_pool": max_pool,
    "mlp": train(Mlp, 784),
    "lenet": train(LeNet, 1, 28, 28),
    "gelu_mlp": train(GeluMlp, 1024),
}


class Rounds:
    """Works by request, each set up once, with its number of calls a round."""

    def __init__(self):
        self.ready = {}

    def measure(self, name, params):
        key = (name, json.dumps(params, sort_keys=True))
        if key not in self.ready:
            call = WORKS[name](params)
            for _ in range(3):
                call()
            start = time.perf_counter()
            call()
            once = time.perf_counter() - start
            self.ready[key] = call, max(1, min(100_000, round(ROUND_SECONDS / max(once, 1e-7))))
        call, count = self.ready[key]
        start = time.perf_counter()
        while True:
            call()
            if time.perf_counter() - start >= WARM_SECONDS:
                break
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count * 1e3


def peak_megabytes():
    """Not getrusage's, which starts from the size of the process that forked this one."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def tensor_megabytes(call):
    """What lives in between, and what the profiler saw allocated and freed during a call.

    It does not see the end of what was there before it: gradients are not counted until the first
    of its two calls has made new ones.
    """
    for _ in range(2):
        call()
    grads = {p.grad.data_ptr() for p in gc.get_objects()
             if isinstance(p, nn.Parameter) and p.grad is not None}
    storages = {t.data_ptr(): t.untyped_storage().nbytes() for t in gc.get_objects()
                if isinstance(t, torch.Tensor) and t.data_ptr() not in grads}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                profile_memory=True) as profile:
        call()
        call()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = sum(storages.values())
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak / 1e6


def answer(line):
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rss", nargs=2, metavar=("WORK", "PARAMS"))
    parser.add_argument("--tensors", nargs=2, metavar=("WORK", "PARAMS"))
    parser.add_argument("--coldstart", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    if args.coldstart:
        train(LeNet, 1, 28, 28)({"batch": 64})()
        print("first step done", flush=True)
        return
    if args.rss:
        call = WORKS[args.rss[0]](json.loads(args.rss[1]))
        for _ in range(20):
            call()
        answer({"mb": peak_megabytes()})
        return

    if args.tensors:
        answer({"mb": tensor_megabytes(WORKS[args.tensors[0]](json.loads(args.tensors[1])))})
        return

    rounds = Rounds()
    for line in sys.stdin:
        request = json.loads(line)
        if "hello" in request:
            answer({"name": "torch", "version": torch.__version__,
                    "threads": torch.get_num_threads()})
        elif request["work"] not in WORKS:
            answer({"error": f"no work {request['work']!r}; there are {', '.join(WORKS)}"})
        else:
            answer({"ms": rounds.measure(request["work"], request.get("params", {}))})


main()
