"""What each part of the adaptation is worth: one transfer, adapted with parts taken away, over several seeds.

    python benchmarks/ablation.py --data sample --seeds 3           # Human3.6M layout, detector-like 2D
    python benchmarks/ablation.py --data sample -k gt               # exact 2D
    python benchmarks/ablation.py --data sample --transfer 3dhp     # to MPI-INF-3DHP's layout
    python benchmarks/ablation.py --data data/cmu -k gt -str S1 -sun S5 -e 250   # other flags go to the script

Every row is a run of the transfer script at the size of --sample. Runs that are done are not done again; the source
model and the oracle of a seed are trained once and shared. Writes benchmarks/results/NAME.json and a table, and draws
fig/ablation.png from all results there.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.errors import InputError, run_script
from common.run.report import gap_closed, write_json
from common.sample.files import make_sample

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURE = ROOT / "benchmarks" / "results", ROOT / "fig" / "ablation.png"
SCRIPTS = {"h36m": "h36m_transfer.py", "3dhp": "h36m_3dhp_transfer.py"}
TARGETS = {"h36m": "S5,S6,S7,S8"}
LEGEND = (
    "Millimetres, mean +- standard deviation over seeds, root estimated. MPJPE and P-MPJPE: adapted rows refined, the",
    "others J-Agg; gap: from the first row to the target oracle, so measured. J-Agg, refined: MPJPE of every row so,",
    "each with its own gap. worst: the largest change of a subject's MPJPE against the first row. s: seconds of",
    "training, source included, on one thread. * marks rows whose training loss still falls.",
)
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}
LEVEL = 0.03  # a loss that falls less than this from its last tenth but one to its last tenth has levelled off


@dataclass(frozen=True)
class Row:
    """A run: what it is, its flags, and which source model it starts from."""

    title: str
    flags: tuple[str, ...] = ()
    base: str = "source"


# Source models. The oracle of the first is trained in the same run.
BASES = {
    "source": Row("source only"),
    "source_plain": Row("source only, no virtual camera", ("--no-virtual-camera",), "source_plain"),
    "source_regression": Row("source only, regression", ("--deterministic",), "source_regression"),
}
ROWS = {
    "default": Row("adapted, the default"),
    "no_refine": Row("- refinement", ("--refine", "none")),
    "snap": Row("rebone, then snap instead", ("--refine", "snap")),
    "map": Row("- shoulder limits", ("--refine", "map")),
    "no_teacher": Row("- teacher", ("--no-teacher",)),
    "pseudo_labels": Row("pseudo-labels, no own motion", ("--own-motion", "0", "--pseudo-weight", "1")),
    "both": Row("+ pseudo-labels", ("--pseudo-weight", "1")),
    "no_yaw": Row("- turning", ("--yaw", "0")),
    "no_ratios": Row("- bone ratios", ("--no-bone-ratios",)),
    "no_synthesis": Row(
        "- synthesis (teacher alone)",
        ("--no-source-augmentation", "--teacher-start", "0", "--pseudo-weight", "1"),
    ),
    "no_augmentation": Row("- synthesis, - teacher", ("--no-source-augmentation", "--no-teacher")),
    "lora16": Row("LoRA, rank 16", ("--lora", "--rank", "16")),
    "lora4": Row("LoRA, rank 4", ("--lora", "--rank", "4")),
    "paper": Row(
        "as in the paper",
        (
            *("--lora", "--rank", "4", "--teacher-start", "0", "--relabel", "1", "--pseudo-weight", "1"),
            *("--own-motion", "0", "--yaw", "0", "--no-bone-ratios", "--refine", "none"),
        ),
        "source_plain",
    ),
    "plain": Row("- virtual camera", (), "source_plain"),
    "regression": Row("regression", (), "source_regression"),
}
ORACLE, BOTH_TITLE = "oracle: target labels", "oracle: source and target labels"
BOTH = {"h36m": (), "3dhp": ("--oracle-epochs", "30")}  # flags of the oracle on both; its data is the source's and more


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], epilog="Further flags are given to the transfer script."
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder in Human3.6M's layout")
    parser.add_argument("--transfer", choices=SCRIPTS, default="h36m")
    parser.add_argument("-k", "--keypoints", default="cpn_ft_h36m_dbb")
    parser.add_argument("-str", "--subjects-train", default=None, metavar="LIST")
    parser.add_argument("-sun", "--subjects-unlabeled", default=None, metavar="LIST")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: %(default)s)")
    parser.add_argument(
        "--rows", default=",".join(ROWS), metavar="LIST", help=f"of {', '.join(ROWS)} (default: all of them)"
    )
    parser.add_argument("--both", action="store_true", help="also the oracle on source and target labels")
    parser.add_argument("--name", help="of the result files; made from the data when left out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at a time")
    parser.add_argument("--runs", type=Path, default=ROOT / "checkpoint" / "ablation", metavar="DIR")
    parser.add_argument("--plot", action="store_true", help="only draw the figure again")
    args, further = parser.parse_known_args()
    if args.seeds < 1:
        raise InputError(f"--seeds: expected 1 or more, found {args.seeds}")
    if not args.plot:
        wanted = [name for name in args.rows.split(",") if name]
        unknown = [name for name in wanted if name not in ROWS]
        if unknown:
            raise InputError(f"--rows: no row {unknown[0]!r}, there are {', '.join(ROWS)}")
        study = Study(args, further, wanted)
        study.run()
        record = study.record()
        RESULTS.mkdir(exist_ok=True)
        write_json(RESULTS / f"{study.name}.json", record)
        (RESULTS / f"{study.name}.txt").write_text(table(record) + "\n")
        print(f"\n{table(record)}")
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    draw([record for record in records if "seeds" in record], FIGURE)  # other benchmarks write here too


class Study:
    """The runs of one transfer."""

    def __init__(self, args: argparse.Namespace, further: list[str], rows: list[str]):
        self.args, self.rows = args, rows
        sample = args.data == "sample"
        parts = ["sample" if sample else Path(args.data).name, "gt" if args.keypoints == "gt" else "detector"]
        if args.transfer == "3dhp":
            parts.insert(1, "3dhp")
        elif args.subjects_train:
            parts.append(f"{args.subjects_train}-{args.subjects_unlabeled}".replace(",", ""))
        self.name = args.name or "_".join(parts)
        self.common = ["--sample", "--nolog", "-k", args.keypoints, *further]
        if not sample:
            self.common += ["--data-dir", args.data]
        self.source = args.subjects_train or "S1"
        self.target = args.subjects_unlabeled or TARGETS.get(args.transfer, "")

    def folder(self, row: str, seed: int) -> Path:
        return self.args.runs / self.name / f"{row}-{seed}"

    def run(self) -> None:
        """Everything that is not there yet, source models and oracles first."""
        sample = ROOT / "data" / "sample"
        if self.args.data == "sample" and not sample.exists():  # once, not by several runs at a time
            make_sample(sample)
        seeds = range(self.args.seeds)
        bases = {"source", *(ROWS[row].base for row in self.rows)}
        subjects = ["-str", self.source, "-sun", self.target] if self.args.transfer == "h36m" else []
        first, second = [], []
        for seed in seeds:
            for base in BASES:
                if base in bases:
                    flags = [*subjects, *BASES[base].flags, "--source-only"]
                    first.append((base, seed, flags + (["--supervised-target"] if base == "source" else [])))
        for row in self.rows:
            for seed in seeds:
                second.append((row, seed, [*subjects, *ROWS[row].flags, *self._from(ROWS[row].base, seed)]))
        for seed in seeds if self.args.both else ():
            flags = ["--source-only", "--supervised-target", "both", *BOTH[self.args.transfer]]
            second.append(("both", seed, [*subjects, *flags, *self._from("source", seed)]))
        for phase in (first, second):
            with ThreadPoolExecutor(self.args.jobs) as pool:
                list(pool.map(lambda job: self._one(*job), phase))

    def _from(self, base: str, seed: int) -> list[str]:
        return ["--source-checkpoint", str(self.folder(base, seed) / "source_latest_epoch.bin")]

    def _one(self, row: str, seed: int, flags: list[str]) -> None:
        folder = self.folder(row, seed)
        command = [SCRIPTS[self.args.transfer], *self.common, *flags, "--seed", str(seed), "-c", str(folder)]
        said = folder / "command.txt"
        if (folder / "metrics.json").exists() and said.exists() and said.read_text() == " ".join(command):
            return
        print(f"{row}, seed {seed}", flush=True)
        threads = max((os.cpu_count() or 1) // self.args.jobs, 1)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise InputError(f"{' '.join(command)}: ended with {done.returncode}: {lines[-1] if lines else ''}")
        said.write_text(" ".join(command))

    def record(self) -> dict[str, Any]:
        """The numbers of every row, per seed."""
        seeds = list(range(self.args.seeds))

        def metrics(row: str, seed: int) -> dict[str, Any]:
            return json.loads((self.folder(row, seed) / "metrics.json").read_text())

        bases = [metrics("source", seed) for seed in seeds]
        # Per aggregation where the way begins and ends. The ends are means: of one seed they can lie close together.
        ends = {
            name: [mean(_mpjpe(base, stage, name) for base in bases) for stage in ("source_only", "oracle")]
            for name in ("headline", "J_Agg", "Refined")
            if all(name in base["rows"]["source_only"] for base in bases)
        }
        rows: dict[str, Any] = {}

        def add(name: str, title: str, runs: list[dict[str, Any]], stage: str, before: list[dict[str, Any]]) -> None:
            errors = {
                name: [_mpjpe(run, stage, name) for run in runs]
                for name in ("headline", "J_Agg", "Refined")
                if name in ends and all(name in run["rows"][stage] for run in runs)
            }
            histories = [run["history"].get(stage, []) for run in runs]
            spent = [sum(e["seconds"] for e in history) for history in histories]
            if before:  # what the source model took counts too
                spent = [own + sum(e["seconds"] for e in b["history"]["source_only"]) for own, b in zip(spent, before)]
            rows[name] = {
                "title": title,
                "mpjpe_mm": errors,
                "p_mpjpe_mm": [_mpjpe(run, stage, metric="p_mpjpe_mm") for run in runs],
                "gap_closed": {
                    name: gap_closed(ends[name][0], mean(values), ends[name][1]) for name, values in errors.items()
                },
                "worst_subject_change_mm": [_worst(run, stage, base) for run, base in zip(runs, bases)],
                "training_seconds": spent,
                "converged": [_level(history) for history in histories],
            }

        add("source", BASES["source"].title, bases, "source_only", [])
        for base in BASES:
            if base != "source" and any(ROWS[row].base == base for row in self.rows):
                add(base, BASES[base].title, [metrics(base, seed) for seed in seeds], "source_only", [])
        for row in self.rows:
            before = [metrics(ROWS[row].base, seed) for seed in seeds]
            add(row, ROWS[row].title, [metrics(row, seed) for seed in seeds], "adapted", before)
        add("oracle", ORACLE, bases, "oracle", [])
        if self.args.both:
            add("both", BOTH_TITLE, [metrics("both", seed) for seed in seeds], "oracle", [])
        first = bases[0]
        return {
            "name": self.name,
            "protocol": first["protocol"],
            "data": first["data"],
            "synthetic": first["synthetic"],
            "keypoints": first["keypoints"],
            "flags": self.common,
            "seeds": seeds,
            "versions": first["versions"],
            "rows": rows,
        }


def _mpjpe(run: dict[str, Any], stage: str, name: str = "headline", metric: str = "mpjpe_mm") -> float:
    content = run["rows"][stage]
    return content[content["headline"] if name == "headline" else name][metric]["overall"]


def _worst(run: dict[str, Any], stage: str, base: dict[str, Any]) -> float:
    """The largest change of a subject's error against source only; below zero when every subject got better."""
    content, before = run["rows"][stage], base["rows"]["source_only"]["J_Agg"]["mpjpe_mm"]["by_subject"]
    after = content[content["headline"]]["mpjpe_mm"]["by_subject"]
    return max(after[subject] - before[subject] for subject in before)


def _level(history: list[dict[str, float]]) -> bool:
    """Whether the training loss has levelled off: its last tenth is little below the tenth before."""
    losses = [e.get("training_mm", e.get("source_mm")) for e in history]
    tenth = max(len(losses) // 10, 1)
    if len(losses) < 2 * tenth:
        return False
    last, before = mean(losses[-tenth:]), mean(losses[-2 * tenth : -tenth])
    return before - last < LEVEL * last


def table(record: dict[str, Any]) -> str:
    """The rows as text: mean and spread over the seeds."""

    def spread(values: list[float], form: str = ".1f") -> str:
        wide = f" +- {stdev(values):{form}}" if len(values) > 1 else ""
        return f"{mean(values):{form}}{wide}"

    def percent(gap: float | None) -> str:
        return "-" if gap is None else f"{gap:.0%}"

    width = max(len(content["title"]) for content in record["rows"].values()) + 1
    lines = [
        f"{record['protocol']}, 2D {record['keypoints']}, seeds {', '.join(map(str, record['seeds']))}",
        f"{'SYNTHETIC DATA. ' if record['synthetic'] else ''}{record['data']}",
        *LEGEND,
        "",
        f"{'':{width}}  {'MPJPE':13} {'P-MPJPE':13} {'gap':>5}   {'J-Agg':>6} {'gap':>5}   {'refined':>7} {'gap':>5}"
        f"   {'worst':>6} {'s':>6}",
    ]
    for content in record["rows"].values():
        star = "" if all(content["converged"]) else "*"
        errors, gaps = content["mpjpe_mm"], content["gap_closed"]
        cells = []
        for name, wide in (("J_Agg", 6), ("Refined", 7)):
            values = (f"{mean(errors[name]):.1f}", percent(gaps[name])) if name in errors else ("-", "-")
            cells.append(f"{values[0]:>{wide}} {values[1]:>5}")
        lines.append(
            f"{content['title'] + star:{width}}  {spread(errors['headline']):13} {spread(content['p_mpjpe_mm']):13} "
            f"{percent(gaps['headline']):>5}   {'   '.join(cells)}   "
            f"{max(content['worst_subject_change_mm']):+6.1f} {mean(content['training_seconds']):6.0f}"
        )
    return "\n".join(lines)


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """A panel per transfer, synthetic data first: every row's error, its seeds as dots, between source and oracle."""
    from matplotlib.figure import Figure

    if not records:
        raise InputError(f"{RESULTS}: no results to draw; run the ablation first")
    records = sorted(records, key=lambda record: (not record["synthetic"], record["name"]))
    sizes = [len(record["rows"]) for record in records]
    figure = Figure(figsize=(8, sum(0.27 * size + 1 for size in sizes)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(records), 1, squeeze=False, height_ratios=[size + 2 for size in sizes])[:, 0]
    for ax, record in zip(panels, records):
        contents = list(record["rows"].values())
        for place, (name, content) in enumerate(record["rows"].items()):
            end = name.startswith(("source", "oracle", "both"))
            values = content["mpjpe_mm"]["headline"]
            ax.barh(place, mean(values), color="#BBBBBB" if end else "#56B4E9", height=0.7)
            ax.plot(values, [place] * len(values), ".", color="black", markersize=4)
            ax.annotate(
                f"{mean(values):.1f}", (max(values), place), (6, 0), textcoords="offset points", va="center",
                fontsize=8, bbox=LABEL,
            )  # fmt: skip
        for name in ("source", "oracle"):
            ax.axvline(
                mean(record["rows"][name]["mpjpe_mm"]["headline"]), color="#D55E00", linewidth=0.8, linestyle="--"
            )
        ax.set_yticks(range(len(contents)), [content["title"] for content in contents], fontsize=8)
        ax.invert_yaxis()
        ax.set_xlim(0, 1.08 * max(max(content["mpjpe_mm"]["headline"]) for content in contents))
        ax.tick_params(axis="x", labelsize=8)
        label = "SYNTHETIC data" if record["synthetic"] else record["data"].split(";")[0]
        seen = "exact" if record["keypoints"] == "gt" else "detector-like"
        way = record["protocol"].removeprefix("Human3.6M ")  # that is the layout; the label says whose data
        title = f"{way} ({label})\n{seen} 2D, {len(record['seeds'])} seeds (dots)"
        ax.set_title(title, fontsize=9, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("MPJPE (mm); dashed: source only and oracle", fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    run_script(main)
