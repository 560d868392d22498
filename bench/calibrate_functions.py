"""Calibrate the function labels of clusters on planted worlds, and write the coefficients into the code.

    python bench/calibrate_functions.py [--clusters 6000] [--write]

Two sorts of planted clusters, DEV_SEEDS alone:

    worlds      cofire.worlds.cluster_world, half exceptions (so that the shape tells nothing), noise .03 to .2
    variable    clusters of 2 to 20 members drawn one by one (`planted`), with what real SAEs have and the worlds have
                not: activations of a spread up to .6, firing floors up to .8 of full strength, interference that fires,
                few tokens, tied children that keep a trace of their parent, members driven together

The evidence of each (cofire.analysis.functions.evidence) goes into a multinomial logistic regression with a ridge, the
three functions weighing the same; once with containment and once without. Printed: log loss, AUROC of composition
against ambiguity, expected calibration error and the accuracy of what is told, by five-fold cross-validation over the
planted clusters (`folds`), and for the worlds of the last seed with the others fitted. --write replaces
src/cofire/analysis/functions/coefficients.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.sparse as sp

from cofire.analysis.functions.evidence import Evidence, function_evidence
from cofire.analysis.functions.model import CLASSES, FEATURES, MIN_TOKENS, THRESHOLD, design, features, probabilities
from cofire.ingest.latents.histograms import fine_histograms
from cofire.ingest.latents.modes import main_modes
from cofire.worlds import DEV_SEEDS, cluster_world
from cofire.worlds.scoring import auroc, calibration_error

NOISES = (0.03, 0.06, 0.1, 0.15, 0.2)
HEADER = '''"""Made by bench/calibrate_functions.py from planted clusters of DEV_SEEDS; do not edit.

RANGES: per variant, the lower bound, upper bound, mean and standard deviation of each feature (`model`).
COEFFICIENTS: per variant and function (composition, ambiguity, hierarchy), those of the columns of the design.
"""

from __future__ import annotations
'''
TARGET = Path(__file__).parents[1] / "src/cofire/analysis/functions/coefficients.py"
MOST_EXCESS = 1.3
"""An excess above this counts as this: each member is in full, and more. The real SAEs have 1 to 3."""

RIDGE = 3e-4
"""Of the mean log loss, on standardised features. From 1e-5 to 1e-3 the held-out loss is flat; it rises above."""


def modes(values: np.ndarray, latent: np.ndarray, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mu [N] and whether it is a mode [N] of activations [nnz], as `cofire count` finds them."""
    n = len(threshold)
    high = np.zeros(n)
    np.maximum.at(high, latent, values)
    histogram = fine_histograms(threshold, high)
    histogram.add(latent.astype(np.int32), values.astype(np.float32))
    mode, _ = main_modes(histogram.counts(), threshold, high)
    mean = np.bincount(latent, values, minlength=n) / np.maximum(np.bincount(latent, minlength=n), 1)
    return np.where(np.isnan(mode), mean, mode), ~np.isnan(mode)


def evidence_of(matrix: np.ndarray, threshold: np.ndarray) -> Evidence:
    """Return the evidence of a cluster from its members' activations [tokens, n], 0 where a member does not fire."""
    row, column = np.nonzero(matrix)
    mu, is_mode = modes(matrix[row, column], column, threshold)
    number = (matrix > 0).sum(axis=1)
    return function_evidence(
        matrix[number >= 2],
        matrix[number == 1],
        tokens=int((number >= 2).sum()),
        mu=mu,
        is_mode=is_mode,
        floor=threshold,
        firings=(matrix > 0).sum(axis=0),
    )


def chosen(rng: np.random.Generator, shape: str, n: int, events: int) -> np.ndarray:
    """Return which members take part in each event, bool [events, n]."""
    on = np.zeros((events, n), np.bool_)
    if n == 2 or shape == "clique":
        most = min(n, 4)
        number = rng.integers(2, most + 1, size=events)
        return rng.random((events, n)).argsort(axis=1).argsort(axis=1) < number[:, None]
    if shape == "star":
        on[:, 0] = True
        on[np.arange(events), rng.integers(1, n, size=events)] = True
        return on
    first = rng.integers(n - 1, size=events)
    on[np.arange(events), first] = on[np.arange(events), first + 1] = True
    return on


def planted(rng: np.random.Generator, function: str) -> tuple[Evidence, dict[str, float | str]]:
    """Return the evidence of one cluster of variable members, and what was planted."""
    n = int(rng.choice([2, 3, 4, 5, 6, 8, 12, 20], p=[0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05, 0.05]))
    shape = str(rng.choice(["star", "clique", "path"], p=[0.45, 0.45, 0.1]))
    spread = float(rng.choice([0.03, 0.08, 0.15, 0.25, 0.4, 0.6]))
    noise = float(rng.choice([0.02, 0.04, 0.06, 0.1, 0.15, 0.2]))
    threshold = float(max(rng.choice([0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8]), 1.5 * noise))
    events = int(np.exp(rng.uniform(np.log(30), np.log(3000))))
    together = float(rng.choice([0.0, 0.0, 0.4, 0.8]))
    on = chosen(rng, "star" if function == "hierarchy" else shape, n, events)
    common = rng.standard_normal((events, 1))
    own = rng.standard_normal((events, n))
    strength = np.exp(spread * (np.sqrt(together) * common + np.sqrt(1 - together) * own) - spread**2 / 2)
    if function == "ambiguity":
        share = rng.gamma(rng.uniform(1.5, 8.0), 1.0, on.shape) * on
        amount = share / share.sum(axis=1, keepdims=True) * np.exp(spread * common - spread**2 / 2)
        amount *= rng.uniform(0.85, 1.15)
    else:
        # Events that make members fire more, or less, than they do alone.
        amount = on * strength * np.exp(rng.normal(0.05, 0.2))
    per_member = np.maximum(on.sum(axis=0), 10)
    # Widely spread, so that how much of a member's firing is alone tells a hierarchy and nothing else.
    alone_number = np.minimum(per_member * 2 ** (rng.uniform(-2, 4) + rng.uniform(-1, 1, n)), 20_000).astype(np.int64)
    if function == "hierarchy":
        # A child is within its parent; some leave a few tokens to it alone.
        alone_number[1:] = rng.binomial(per_member[1:], float(rng.choice([0.0, 0.0, 0.05, 0.15])))
        alone_number[0] = max(int(events * 2 ** rng.uniform(-1, 2)), 10)
    alone = np.zeros((int(alone_number.sum()), n))
    member = np.repeat(np.arange(n), alone_number)
    alone[np.arange(len(alone)), member] = np.exp(spread * rng.standard_normal(len(alone)) - spread**2 / 2)
    if function == "hierarchy" and rng.random() < 0.4:
        # Tied children: on their parent's tokens they show the cosine of the two directions.
        trace = rng.uniform(0.1, 0.5, n)
        trace[0] = 0
        every = np.concatenate([amount, alone])
        every += (every == 0) * every[:, :1] * trace
        amount, alone = every[:events], every[events:]
    odd = int(events * rng.choice([0.0, 0.0, 0.05, 0.2]))
    # Tokens on which two members fire in full by chance, whatever the cluster is for.
    pair = rng.random((odd, n)).argsort(axis=1) < 2
    by_chance = pair * np.exp(spread * rng.standard_normal((odd, n)) - spread**2 / 2)
    clean = np.concatenate([amount, alone, by_chance])
    everything = np.concatenate([clean, np.zeros((int(len(clean) * rng.choice([0.0, 0.0, 2.0])), n))])
    loud = float(rng.choice([0.0, 1.0]))
    everything += noise * rng.standard_normal(everything.shape) * np.where(everything > 0, 1.0, loud)
    matrix = np.where(everything > threshold, everything, 0) * rng.lognormal(0, 0.3, n)
    scale = matrix.max(axis=0) / np.maximum(everything.max(axis=0), 1e-9)
    live = matrix.max(axis=0) > 0
    info: dict[str, float | str] = {
        "function": function,
        "shape": shape,
        "n": n,
        "planted_spread": spread,
        "noise": noise,
        "floor": threshold,
    }
    return evidence_of(matrix[:, live], threshold * scale[live]), info


def variable(clusters: int, seed: int) -> pd.DataFrame:
    """Return the evidence of so many clusters of variable members, the three functions in turn."""
    rng = np.random.default_rng([seed, 21])
    rows = []
    for number in range(clusters):
        evidence, info = planted(rng, CLASSES[number % 3])
        rows.append(asdict(evidence) | info | {"sort": "variable", "seed": seed, "cluster": number})
    return pd.DataFrame(rows)


def of_world(seed: int, noise: float, exceptions: float = 0.5) -> pd.DataFrame:
    """Return the evidence of the planted clusters of one world in true space."""
    world = cluster_world(seed, noise=noise, exceptions=exceptions)
    activations = world.values  # noqa: PD011 - no pandas object
    table = sp.csr_array((activations, world.indices, world.indptr), (len(world.document), world.n_latents)).tocsc()
    rows = []
    for number, cluster in enumerate(world.clusters):
        if cluster.function == "none":
            continue
        members = np.array(cluster.members)
        matrix = table[:, members].toarray().astype(np.float64)
        info = {"function": cluster.function, "shape": cluster.structure, "n": len(members), "noise": noise}
        evidence = evidence_of(matrix[matrix.any(axis=1)], world.threshold[members])
        rows.append(asdict(evidence) | info | {"sort": "world", "seed": seed, "cluster": number})
    return pd.DataFrame(rows)


def fit(x: np.ndarray, truth: np.ndarray, variant: str) -> np.ndarray:
    """Return the coefficients, [classes, columns], of a multinomial logistic regression with a ridge.

    Without containment composition and hierarchy have the same coefficients: in both each member fires in full, and
    what else parts them in the planted worlds is a matter of how they were planted.
    """
    classes, columns = len(CLASSES), x.shape[1]
    weight = (1 / np.bincount(truth, minlength=classes))[truth]
    weight /= weight.sum()
    target = np.eye(classes)[truth]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        b = flat.reshape(classes, columns)
        z = x @ b.T
        z -= z.max(axis=1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        gradient = ((np.exp(logp) - target) * weight[:, None]).T @ x
        penalty = b.copy()
        penalty[:, 0] = 0
        gradient += 2 * RIDGE * penalty
        if variant == "alone":
            gradient[[0, 2]] = gradient[[0, 2]].mean(axis=0)
        return float(-(logp[target > 0] * weight).sum() + RIDGE * (penalty**2).sum()), gradient.ravel()

    found = scipy.optimize.minimize(
        loss, np.zeros(classes * columns), jac=True, method="L-BFGS-B", options={"maxiter": 3000}
    )
    return found.x.reshape(classes, columns)


def ranges(values: np.ndarray) -> np.ndarray:
    """Return the bounds, mean and standard deviation of each feature, [4, f]."""
    low, high = np.quantile(values, [0.005, 0.995], axis=0)
    # The first two are the excesses: far above full strength they tell no more, and a square would turn back.
    high[:2] = np.minimum(high[:2], MOST_EXCESS)
    clipped = np.clip(values, low, high)
    return np.stack([low, high, clipped.mean(axis=0), np.maximum(clipped.std(axis=0), 1e-6)])


def folds(data: pd.DataFrame) -> np.ndarray:
    """Return the fold, 0 to 4, of each row.

    A world has the same plan at every noise, so all rows of one planted cluster go into one fold.
    """
    planted_cluster = data.groupby(["sort", "seed", "cluster"]).ngroup().to_numpy()
    return np.random.default_rng(0).integers(5, size=planted_cluster.max() + 1)[planted_cluster]


def told(name: str, p: np.ndarray, truth: np.ndarray) -> None:
    """Print how good probabilities are."""
    either = truth < 2
    score = p[either, 0] / (p[either, 0] + p[either, 1])
    area = auroc(score, truth[either] == 0)
    if name.startswith("alone"):
        # Two functions then, each member in full or shares of one weight.
        p, truth = np.stack([p[:, 0] + p[:, 2], p[:, 1]], axis=1), (truth == 1).astype(int)
    sure = p.max(axis=1) >= THRESHOLD
    right = p.argmax(axis=1) == truth
    print(
        f"{name:34} n {len(p):6}  AUROC {area:.3f}  ECE {calibration_error(p.max(axis=1), right):.3f}  "
        f"log loss {-np.log(p[np.arange(len(p)), truth]).mean():.3f}  told {sure.mean():.2f}, of these right "
        f"{right[sure].mean() if sure.any() else float('nan'):.3f}"
    )


def main() -> None:
    """Fit, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=6_000, help="variable clusters in all")
    parser.add_argument("--write", action="store_true", help=f"replace {TARGET.name}")
    arguments = parser.parse_args()
    parts = [of_world(seed, noise) for seed in DEV_SEEDS for noise in NOISES]
    parts += [variable(arguments.clusters // len(DEV_SEEDS), seed) for seed in DEV_SEEDS]
    data = pd.concat(parts, ignore_index=True)
    names = [field.name for field in fields(Evidence)]
    found = []
    for row in data[names].to_dict("records"):
        one = features(Evidence(**{name: None if pd.isna(value) else value for name, value in row.items()}))
        found.append([np.nan] * len(FEATURES["with"]) if one is None else list(one.values()))
    values, enough = np.array(found), (data["tokens"] >= MIN_TOKENS).to_numpy()
    known = np.isfinite(values).all(axis=1) & enough
    print(
        f"{len(data)} clusters, {int((~enough).sum())} with too few tokens, {int((enough & ~known).sum())} without "
        "evidence"
    )
    data, values = data[known].reset_index(drop=True), values[known]
    truth = np.array([CLASSES.index(name) for name in data["function"]])
    fold = folds(data)
    text = [HEADER]
    coefficients, bounds = {}, {}
    for variant, used in FEATURES.items():
        x = values[:, : len(used)]
        p = np.zeros((len(x), len(CLASSES)))
        for k in range(5):
            scale = ranges(x[fold != k])
            p[fold == k] = probabilities(
                x[fold == k], scale, fit(design(x[fold != k], scale), truth[fold != k], variant)
            )
        for sort, rows in data.groupby("sort").groups.items():
            told(f"{variant}: {sort}", p[rows], truth[rows])
        for name in ("noise", "floor", "spread"):
            part = data[data["sort"] == "variable"]
            cut = pd.cut(part[name], 4) if name != "spread" else part["planted_spread"]
            for value, rows in part.groupby(cut, observed=True).groups.items():
                told(f"{variant}: {name} {value}", p[rows], truth[rows])
        last = (data["seed"] == DEV_SEEDS[-1]).to_numpy()
        scale = ranges(x[~last])
        p = probabilities(x[last], scale, fit(design(x[~last], scale), truth[~last], variant))
        told(f"{variant}: the last seed held out", p, truth[last])
        bounds[variant] = ranges(x)
        coefficients[variant] = fit(design(x, bounds[variant]), truth, variant)
    for name, tables in (("RANGES", bounds), ("COEFFICIENTS", coefficients)):
        text.append(f"{name}: dict[str, list[list[float]]] = {{")
        for variant, table in tables.items():
            text.append(f'    "{variant}": [')
            text += ["        [" + ", ".join(f"{value:.5g}" for value in row) + "]," for row in table.tolist()]
            text.append("    ],")
        text.append("}")
        text.append("")
    if arguments.write:
        TARGET.write_text("\n".join(text), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(TARGET)], check=True)
        print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
