"""One record per epoch: to the terminal, to TensorBoard, to the history that checkpoints and figures share."""

import sys
import time
from pathlib import Path
from types import TracebackType

from ..processes import is_main

Record = dict[str, float]  # one epoch: `epoch`, `lr`, `seconds` and the epoch's mean losses
BAR_WIDTH = 24
REFRESH_SECONDS = 0.2


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Steps done and time left: a bar on a terminal, nothing elsewhere (the epochs' lines are enough there)."""

    def __init__(self, title: str, total: int, done: int = 0):
        self.title, self.total, self.done = title, total, done
        self._first, self._begin, self._drawn = done, time.monotonic(), 0.0
        self._shown = sys.stderr.isatty() and is_main()

    def step(self) -> None:
        """One more step is done."""
        self.done += 1
        now = time.monotonic()
        if self._shown and (now - self._drawn > REFRESH_SECONDS or self.done == self.total):
            self._drawn = now
            left = (now - self._begin) / (self.done - self._first) * (self.total - self.done)
            filled = BAR_WIDTH * self.done // self.total
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            sys.stderr.write(f"\r{self.title} [{bar}] {self.done}/{self.total}, {clock(left)} left \x1b[K")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for a line of text."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class RunLog:
    """Writes epoch records. `directory` None writes no TensorBoard files."""

    def __init__(self, directory: Path | None):
        self._writer = None
        if directory is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(directory))

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def epoch(self, stage: str, record: Record, epochs: int) -> None:
        """Print and store one epoch of a stage: `record` has `epoch`, `lr`, `seconds` and the epoch's mean losses."""
        values = " ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in ("epoch", "seconds"))
        left = record["seconds"] * (epochs - record["epoch"])
        print(
            f"{stage} {record['epoch']}/{epochs}: {values} ({record['seconds']:.1f} s, {clock(left)} left)", flush=True
        )
        if self._writer is not None:
            for name, value in record.items():
                if name != "epoch":
                    self._writer.add_scalar(f"{stage}/{name}", value, record["epoch"])
