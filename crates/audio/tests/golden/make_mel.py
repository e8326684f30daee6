#!/usr/bin/env python3
"""Writes mel-80.f32 and mel-128.f32: log-mel spectrograms by an independent implementation.

The front end is Hugging Face's way of computing Whisper's features, in numpy (float64): frames cut
out of a reflect-padded signal, a dense filter matrix, log10, clamping 8 under the maximum. Give
--check to compare it with faster-whisper's own extractor, where that package is installed.

The signal is made anew in tests/mel.rs from the same formula: 2.5 s (40,037 samples) at 16 kHz of

    x[n] = 0.4 sin(2 pi (100 t + 800 t^2)) + 0.05 u[n]   where t = n / 16000, if 3000 <= n < 30000
    x[n] = 0.001 u[n]                                    elsewhere

with u[n] = s[n] / 2^31 - 1 from the generator s[n] = (1664525 s[n-1] + 1013904223) mod 2^32,
s[-1] = 1. It is rounded to float32.

Each file holds little-endian float32: the natural spectrogram [bins, 251], and, of the spectrogram
padded to 30 s [bins, 3000], the frames 0, 10, 20 ... 290 and 2999 [bins, 31].
"""
import sys
from pathlib import Path

import numpy as np


def signal(count=40_037):
    state, noise = 1, np.empty(count)
    for n in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        noise[n] = state / 2**31 - 1
    n = np.arange(count)
    t = n / 16000
    loud = 0.4 * np.sin(2 * np.pi * (100 * t + 800 * t * t)) + 0.05 * noise
    return np.where((n >= 3000) & (n < 30000), loud, 0.001 * noise).astype(np.float32)


def filters(bins):
    """librosa.filters.mel(sr=16000, n_fft=400, n_mels=bins), Slaney scale and norm."""

    def to_mel(f):
        return f * 3 / 200 if f < 1000 else 15 + np.log(f / 1000) / (np.log(6.4) / 27)

    def to_hz(m):
        return np.where(m < 15, m * 200 / 3, 1000 * np.exp((np.log(6.4) / 27) * (m - 15)))

    edges = to_hz(np.linspace(to_mel(0), to_mel(8000), bins + 2))
    ramps = edges[:, None] - np.fft.rfftfreq(400, 1 / 16000)[None]
    widths = np.diff(edges)
    lower = -ramps[:-2] / widths[:-1, None]
    upper = ramps[2:] / widths[1:, None]
    return np.maximum(0, np.minimum(lower, upper)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def log_mel(x, bins):
    x = np.pad(x.astype(np.float64), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1])) ** 2
    mel = np.log10(np.maximum(filters(bins) @ power[:-1].T, 1e-10))
    return (np.maximum(mel, mel.max() - 8) + 4) / 4


def main():
    x = signal()
    natural = np.pad(x, (0, -len(x) % 160))
    padded = np.pad(x, (0, 480_000 - len(x)))
    for bins in (80, 128):
        a, b = log_mel(natural, bins), log_mel(padded, bins)
        assert a.shape == (bins, 251) and b.shape == (bins, 3000)
        if "--check" in sys.argv:
            from faster_whisper.feature_extractor import FeatureExtractor

            theirs = FeatureExtractor(feature_size=bins)(padded, padding=0)
            print(bins, "largest difference from faster-whisper", np.abs(theirs - b).max())
        kept = b[:, [*range(0, 300, 10), 2999]]
        path = Path(__file__).with_name(f"mel-{bins}.f32")
        path.write_bytes(np.concatenate([a.ravel(), kept.ravel()]).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
