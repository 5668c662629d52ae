"""Runs jobs, several at a time: claims them, waits for those they need, and shows how long is left."""
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mmseg_mvp.app.errors import is_full_disk, user_sentence

from .commands import Commands
from .locks import Held, Lock, is_dead
from .records import FREE, begin_session, write_result
from .rows import Job

POLL = 5.  # seconds between two looks for the result of a job in another process


class Runs:
    """Runs jobs; each thread takes the next job that is free.

    Args:
        jobs (Sequence[Job]): Jobs, needed ones first. Those with a result are omitted.
        commands (Commands): Runs the tools.
        slots (Sequence[str]): GPUs of each job that runs at a time, as in ``CUDA_VISIBLE_DEVICES``; '' changes nothing.
        failed (Mapping): Jobs that can't start, by title, with a sentence.
        known (Mapping): Minutes of jobs that are known from earlier results, by title.

    Attributes:
        failed (dict): Sentence of each failed job, by title.
        elsewhere (list): Sentences about jobs that another process runs.
    """

    def __init__(self, jobs: Sequence[Job], commands: Commands, slots: Sequence[str], failed: Mapping[str, str],
                 known: Mapping[str, float]) -> None:
        self.commands, self.slots, self.failed, self.elsewhere = commands, slots, dict(failed), []
        self._pending = [job for job in jobs if not job.result.exists() and job.title not in failed]
        self._minutes = {**{job.title: job.row.minutes for job in self._pending}, **known}
        self._total, self._number, self._active = len(self._pending), 0, {}
        self._mutex, self._stop = threading.Lock(), False

    def run(self) -> None:
        """Run all jobs. An interruption stops their processes; the same command continues."""
        with ThreadPoolExecutor(len(self.slots)) as pool:
            threads = [pool.submit(self._work, slot) for slot in self.slots]
            try:
                while not all(thread.done() for thread in threads):
                    time.sleep(0.1)
            except BaseException:
                self._stop = True
                self.commands.stop()
                raise
        for thread in threads:
            thread.result()

    def _work(self, gpus: str) -> None:
        """Run jobs until none is left."""
        while (found := self._take()) is not None:
            job, lock = found
            start = time.time()
            try:
                self._run(job, lock, gpus, start)
            except Exception as error:
                if (sentence := _sentence(error)) is None:
                    raise
                self._fail(job, sentence)
            finally:
                lock.release()
                with self._mutex:
                    del self._active[job.title]
                    self._minutes[job.title] = (time.time() - start) / 60

    def _take(self) -> tuple[Job, Lock] | None:
        """Return the next free job and its lock; None if no job is left."""
        while not self._stop:
            with self._mutex:
                for job in list(self._pending):
                    if self._is_ready(job):
                        self._pending.remove(job)
                        if (lock := self._claim(job)) is not None:
                            self._active[job.title] = time.time()
                            return job, lock
                if not self._pending:
                    return None
            time.sleep(POLL)
        return None

    def _is_ready(self, job: Job) -> bool:
        """Return True if the jobs that a job needs have results. If one failed, this one fails, too."""
        for need in job.needs.values():
            if need.result.exists():
                continue
            if need.title in self.failed:
                self._pending.remove(job)
                self._fail(job, f'it needs {need.title}, which failed')
            elif need not in self._pending and need.title not in self._active and is_dead(need.lock):
                self._pending.insert(0, need)  # the process that had it has ended
            return False
        return True

    def _claim(self, job: Job) -> Lock | None:
        """Return the lock of a job; None if another process runs it or has finished it."""
        lock = Lock(job.lock)
        try:
            lock.acquire()
        except Held as held:
            self.elsewhere.append(str(held))
            self._say(str(held))
            return None
        except OSError as error:  # a full disk, or a folder of another user
            if (sentence := _sentence(error)) is None:
                raise
            self._fail(job, sentence)
            return None
        if job.result.exists():
            lock.release()
            return None
        return lock

    def _run(self, job: Job, lock: Lock, gpus: str, start: float) -> None:
        with self._mutex:
            self._number += 1
            self._say(f'[{self._number}/{self._total}, {self._left()}] {job.title}: started, log: '
                      f'{self.commands.log(job)}')
        begin_session(job)
        content = self.commands.run(job, gpus, lock.add)
        write_result(job, self.commands.options, content)
        figures = ', '.join(f'{key} {value:.2f}' for key, value in content['metrics'].items() if value is not None)
        images = f', {content["images"]} images' if content.get('images') else ''
        self._say(f'{job.title}: done in {(time.time() - start) / 60:.1f} min{images}{": " * bool(figures)}{figures}')

    def _fail(self, job: Job, sentence: str) -> None:
        if not self._stop:
            self.failed[job.title] = sentence
            self._say(f'{job.title} failed: {sentence}')

    def _left(self) -> str:
        """Say how long all jobs take, at the mean of the known times where one is not known."""
        known = [minutes for minutes in self._minutes.values() if minutes]
        if not known:
            return 'time left unknown'
        mean, now = sum(known) / len(known), time.time()
        waiting = sum(self._minutes.get(job.title) or mean for job in self._pending)
        running = sum(max(0., (self._minutes.get(title) or mean) - (now - start) / 60)
                      for title, start in self._active.items())
        return f'{duration((waiting + running) / len(self.slots))} left'

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)


def _sentence(error: Exception) -> str | None:
    return f'the disk is full ({error}): {FREE}' if is_full_disk(error) else user_sentence(error)


def duration(minutes: float) -> str:
    """Write a duration in minutes, hours or days."""
    if minutes < 100:
        return f'{minutes:.0f} min'
    return f'{minutes / 60:.1f} h' if minutes < 60 * 48 else f'{minutes / 60 / 24:.1f} days'
