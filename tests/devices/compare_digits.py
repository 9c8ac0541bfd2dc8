#!/usr/bin/env python3
# tests/devices/compare_digits.py -- trains digits on a device and on the CPU alike
"""usage: compare_digits.py FLASH DEVICE [FLAGS of `flash train digits`...]

Both runs get the same flags. Says how many weights differ, by how much the worst does, and both
accuracies. Fails where a weight differs at all on CUDA and HIP, which promise the CPU's bits (they
are not kept on CPUs without AVX2, where OpenBLAS multiplies), or on Vulkan by more than 1e-3 of the
largest of its tensor; or an accuracy by more than 0.3 points."""
import array
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

WEIGHT, POINTS = {"cuda": 0, "hip": 0, "vulkan": 1e-3}, 0.3


def tensors(path):
    """Name to values, of a file of f32 in the format safetensors."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    out = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        begin, end = about["data_offsets"]
        out[name] = array.array("f", data[8 + size + begin : 8 + size + end])
    return out


def train(flash, device, flags, folder):
    report = folder / "report.json"
    command = [flash, "train", "digits", "--device", device, "--out", folder, "--report", report]
    subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
    return tensors(folder / "model.safetensors"), json.loads(report.read_text())


def main():
    if len(sys.argv) < 3 or sys.argv[2].split(":")[0] not in WEIGHT:
        sys.exit(f"{__doc__}\n\nDEVICE is one of {', '.join(WEIGHT)}, or NAME:N.")
    flash, device, *flags = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="flash_digits_") as folder:
        folder = pathlib.Path(folder)
        want, host = train(flash, "cpu", flags, folder / "cpu")
        got, there = train(flash, device, flags, folder / "device")
    if not want or want.keys() != got.keys():
        sys.exit(f"digits on {device}: {sorted(got)} are there; the CPU's are {sorted(want)}")
    worst, different, count = 0.0, 0, 0
    for name, values in want.items():
        scale = max(map(abs, values)) or 1.0
        gaps = [abs(a - b) for a, b in zip(values, got[name], strict=True)]
        if any(gap != gap for gap in gaps):
            sys.exit(f"digits on {device}: {name} has a NaN")
        worst = max(worst, max(gaps) / scale)
        different += sum(gap > 0 for gap in gaps)
        count += len(gaps)
    points = 100 * abs(host["test_accuracy"] - there["test_accuracy"])
    print(
        f"digits on {device} {' '.join(flags)}: {there['steps']} steps; {different} of {count}"
        f" weights differ, at worst by {worst:.2g} of their tensor's largest; accuracy"
        f" {100 * there['test_accuracy']:.2f} % (CPU {100 * host['test_accuracy']:.2f} %)"
    )
    return worst > WEIGHT[device.split(":")[0]] or points > POINTS


sys.exit(main())
