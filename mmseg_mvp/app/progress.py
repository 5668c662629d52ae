"""Progress of work on files that take several steps each."""
import sys
from collections.abc import Hashable, Mapping

from mmengine.utils import ProgressBar


class FileProgress:
    """Progress bar with the time left, over the steps of all files.

    Args:
        counts (Mapping[Hashable, int]): Expected steps of each file. A single step, or none, shows no bar.
    """

    def __init__(self, counts: Mapping[Hashable, int]) -> None:
        self._counts, self._done, total = counts, 0, sum(counts.values())
        self.bar = ProgressBar(total, file=sys.stdout) if total > 1 else None

    def update(self) -> None:
        """Count a step."""
        self._done += 1
        if self.bar:
            self.bar.update()

    def end(self, file: Hashable) -> None:
        """End a file and correct the total, since a video can have other steps than its header says."""
        if self.bar:
            self.bar.task_num += self._done - self._counts[file]
        self._done = 0
