"""Every row of every shipped suite: its config exists, takes the row's settings, and has the parts that it uses."""
import pytest

from mmseg_mvp.app.suites.missing import Checks
from mmseg_mvp.app.suites.rows import ROOT, plan, suite_names
from mmseg_mvp.utils.config import read_config


@pytest.mark.slow
@pytest.mark.parametrize('suite', suite_names())
def test_configs_of_the_rows_exist_and_fit_their_settings(suite, tmp_path, monkeypatch):
    checks = Checks({}, files=False)
    read = {}

    def once(path):
        if path not in read:
            read[path] = read_config(path)
        return read[path].copy()

    monkeypatch.setattr('mmseg_mvp.app.suites.missing.read_config', once)
    for job in plan(suite, '', tmp_path):
        if job.row.script:
            assert (ROOT / job.row.script).is_file()
            continue
        for cfg, loaders in checks._configs(job):
            assert cfg.model and all(cfg.get(loader) for loader in loaders if loader != 'val_dataloader'), job.name
        assert bool(job.row.train) == (suite not in ('maskclip', 'training-free')), job.name


@pytest.mark.parametrize('suite, folders', [
    ('maskclip', ['maskclip']), ('training-free', ['training_free', 'dense']), ('mvp-seg', ['mvp_seg']),
    ('mvp-seg-plus', ['mvp_seg_plus']), ('lseg', ['lseg'])])
def test_suites_have_all_configs_of_their_method(suite, folders, tmp_path):
    used = {str(ROOT / job.row.config) for job in plan(suite, '', tmp_path)}
    for folder in folders:
        for path in (ROOT / 'configs' / folder).glob('*.py'):
            assert path.stem.startswith('toy') or str(path) in used, path


def test_the_toy_suite_has_all_studies(tmp_path):
    scripts = {job.row.script for job in plan('toy', '', tmp_path)}
    studies = {f'tools/toy/{path.name}' for path in (ROOT / 'tools/toy').glob('*.py')
               if 'runs.arguments(' in path.read_text()}
    assert scripts == studies and all(job.row.minutes for job in plan('toy', '', tmp_path))
