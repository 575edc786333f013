"""Movements that a network can tell apart, from subjects who move a little differently."""

import numpy as np

from img2imu.recordings import Windows


def movements(subjects=5, each=6, samples=100, noise=0.3, seed=0):
    """Three classes, swings of 1, 2 and 4 Hz, `each` windows of every class and subject."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 50
    X, y, subject = [], [], []
    for person in range(subjects):
        pace = rng.normal(1, 0.05)
        for label, hertz in (("fast", 4), ("slow", 1), ("walk", 2)):
            for _ in range(each):
                phase = rng.uniform(0, 2 * np.pi, (3, 1))
                swing = np.sin(2 * np.pi * hertz * pace * t + phase)
                X.append(swing + rng.normal(0, noise, swing.shape))
                y.append(label)
                subject.append(f"s{person}")
    names = np.array(subject)
    return Windows(np.array(X, np.float32), np.array(y), names, names, np.zeros(len(X)), 50.0)
