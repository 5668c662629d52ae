"""The commands of a job: tools/train.py, tools/test.py, or a script, in processes of their own."""
import csv
import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmseg_mvp.engine import find_complete_checkpoint
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.shipped import DOCS, ROOT

from .banks import bank_of
from .missing import config_path
from .records import FREE, read_json
from .rows import Job

_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))


class Commands:
    """Runs the commands of jobs; what they print goes to a log file of the job.

    Args:
        options (Mapping): Settings for all jobs, as in :attr:`Row.options`.
        processes (int): Processes per job, by torchrun if more than one.
        docs (Path): Folder in which scripts write their pages.
        skip_data_check (bool): True starts without a look for every image.
        feature_bank (Path, optional): Folder that keeps the features of the test images.
    """

    def __init__(self, options: Mapping[str, Any], processes: int = 1, docs: Path = DOCS,
                 skip_data_check: bool = False, feature_bank: Path | None = None) -> None:
        self.options, self.processes, self.docs, self.skip_data_check = options, processes, docs, skip_data_check
        self.feature_bank = feature_bank
        self._running: list[subprocess.Popen] = []

    def run(self, job: Job, gpus: str, started: Callable[[int], None]) -> dict[str, Any]:
        """Train, if the row says so, and test a job, or run its script.

        Args:
            job (Job): The job.
            gpus (str): For ``CUDA_VISIBLE_DEVICES``; '' leaves it as it is.
            started (Callable): Called with the id of each process.

        Returns:
            dict: The content of the result: metrics, classes, seconds, memory, CLIP.

        Raises:
            UserError: If a command fails, with its message.
        """
        if job.row.script:
            return self._script(job, gpus, started)
        checkpoint, seconds = job.row.checkpoint, {}
        if job.row.train:
            start = time.time()
            trained = [config_path(job.row.train), '--work-dir', job.train_dir, '--resume']
            self._call(job, 'train', trained, gpus, started)
            seconds['train'] = round(time.time() - start, 1)
            checkpoint = last_checkpoint(job)
        record = job.folder / 'record.json'
        record.unlink(missing_ok=True)
        config = config_path(job.row.config)
        tested = [config, *([checkpoint] if checkpoint else []), '--work-dir', job.folder / 'test']
        if self.feature_bank and (bank := bank_of(self.feature_bank, config, {**job.row.options, **self.options})):
            tested += ['--feature-bank', bank]
        self._call(job, 'test', [*tested, '--record', record], gpus, started)
        found = read_json(record)
        if not found.get('metrics'):
            raise UserError(f'the test of {job.title} scored nothing, because no image has a mask: put the masks where '
                            f'the config expects them (docs/data.md), and run it again')
        return {**found, 'processes': self.processes, 'tested_checkpoint': str(checkpoint),
                'seconds': {**seconds, 'test': found['seconds']}}

    def log(self, job: Job) -> Path:
        """Return the log file of a job."""
        return job.folder / 'log.txt'

    def stop(self) -> None:
        """End all processes."""
        for process in self._running:
            with suppress(OSError):
                process.terminate()

    def _script(self, job: Job, gpus: str, started: Callable[[int], None]) -> dict[str, Any]:
        start = time.time()
        command = [sys.executable, ROOT / job.row.script, '--work-dir', job.folder / 'runs', '--docs', self.docs]
        self._start(job, command, gpus, started)
        table = self.docs / f'{Path(job.row.script).parent.name}_{Path(job.row.script).stem}.csv'  # toy_ablation.csv
        with open(table, newline='') as file:
            runs = list(csv.DictReader(file))
        return dict(metrics={}, classes=[], runs=runs, seconds=dict(script=round(time.time() - start, 1)))

    def _call(self, job: Job, tool: str, arguments: Sequence, gpus: str, started: Callable[[int], None]) -> None:
        """Run a tool with the settings of the job."""
        needs = {key: last_checkpoint(need) for key, need in job.needs.items()}
        seed = {} if job.seed is None else {'randomness.seed': job.seed}
        options = {**job.row.options, **seed, **needs, **self.options}
        launch = [sys.executable]
        if self.processes > 1:
            launch += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={self.processes}']
            arguments = [*arguments, '--launcher', 'pytorch']
        command = [*launch, ROOT / 'tools' / f'{tool}.py', *arguments, *['--skip-data-check'] * self.skip_data_check]
        if options:
            command += ['--cfg-options', *(f'{key}={as_text(value)}' for key, value in options.items())]
        self._start(job, command, gpus, started)

    def _start(self, job: Job, command: Sequence, gpus: str, started: Callable[[int], None]) -> None:
        """Run a command to its end; raise UserError with its message if it fails."""
        environment = {**os.environ, **job.row.env, **({'CUDA_VISIBLE_DEVICES': gpus} if gpus else {})}
        words = [str(word) for word in command]
        job.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log(job), 'a', encoding='utf-8') as log:
            print(f'\n$ {" ".join(words)}', file=log, flush=True)
            begin = log.tell()
            process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env=environment)
            self._running.append(process)
            try:
                started(process.pid)
                code = process.wait()
            finally:
                self._running.remove(process)
                with suppress(OSError):
                    process.kill()  # only if it has not ended
        if code:
            raise UserError(failure(self.log(job), begin, code))


def failure(log: Path, begin: int, code: int) -> str:
    """Return the message of a failed command from its part of the log."""
    with open(log, 'rb') as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode('utf-8', 'replace').splitlines() if line.strip()]
    if _is_full(log.parent, lines):
        return f'the disk of {log.parent} is full: {FREE}'
    ends = f'signal {-code} ended the process' if code < 0 else f'the process ended with code {code}'
    sentence = next((line.removeprefix('error: ') for line in lines if line.startswith('error: ')), None)
    return sentence or f'{ends} ({lines[-1] if lines else "no message"}): read {log}'


def _is_full(folder: Path, lines: Sequence[str]) -> bool:
    """Return True if a command says so, or nothing more can be written: its last words did not fit then."""
    if any(words in line for words in _FULL for line in lines):
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
    except OSError:
        return True
    return False


def last_checkpoint(job: Job) -> str:
    """Return the last checkpoint of a job's training, or the one of its row.

    Raises:
        UserError: If it is gone.
    """
    if job.row.checkpoint:
        return job.row.checkpoint
    found, _ = find_complete_checkpoint(job.train_dir)
    if not found or '://' not in found and not Path(found).is_file():
        raise UserError(f'the checkpoint of {job.title} is gone from {job.train_dir}: move {job.result} away, so that '
                        'it trains again')
    return found


def as_text(value: Any) -> str:
    """Write a value as ``--cfg-options`` reads it."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    inner = ','.join(map(as_text, value))
    return f'[{inner}]' if isinstance(value, list) else f'({inner})'
