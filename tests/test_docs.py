"""The docs do what they say: links lead somewhere, commands parse, and what needs no data of a user's is run."""
import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from unittest import mock

import mmseg
import numpy as np
import open_clip
import pytest
from fixtures.docs import DOCS, PAGES, ROOT, anchors, blocks, commands, links
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

from mmseg_mvp import app, host
from mmseg_mvp.utils.shipped import find_config_file
from mmseg_mvp_cli import COMMANDS

# The command of this checkout, not of the package that is installed.
COMMAND = 'mmseg-mvp() { python -m mmseg_mvp "$@"; }\n'
MIM = Path(mmseg.__file__).parent / '.mim'
# What MMSegmentation's converters import and our environments lack.
STRANGERS = ('detail', 'cityscapesscripts', 'cityscapesscripts.preparation',
             'cityscapesscripts.preparation.json2labelImg')
RUN = [page for page in DOCS if any(block.runs for block in blocks(page))
       and page.stem in ('get_started', 'segment', 'export', 'own_data', 'concepts')]
FEW = ('train_cfg.max_iters=4 train_cfg.val_interval=4 default_hooks.checkpoint.interval=4 '
       'val_dataloader.dataset.indices=8')


def named(page):
    return page.stem


def written(page):
    """Files that a page has its reader write."""
    return {block.file for block in blocks(page)} - {''}


@pytest.fixture(params=PAGES, ids=named)
def page(request):
    return request.param


def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_files_that_are_named_exist(page):
    paths = set(re.findall(r'(?<![\w{}*/.-])(?:configs|tools|benchmarks|docs|mmseg_mvp|tests|requirements)'
                           r'/[\w/.-]+\.(?:py|sh|txt|md|csv|png)', page.read_text()))
    missing = {path for path in paths - written(page) if not (ROOT / path).exists() and not (MIM / path).exists()}
    assert not missing


def test_the_index_lists_every_page():
    index = ROOT / 'docs' / 'index.md'
    assert {link.partition('#')[0] for link in links(index)} >= {page.name for page in DOCS} - {index.name}
    assert 'docs/index.md' in links(ROOT / 'README.md')


class Parsed(Exception):
    """Carries the arguments out of a script that has parsed them."""


def arguments(script, words, environment):
    """Run a script up to the point where its arguments are parsed; one that parses none must be called without any.

    Args:
        script (Path): The script.
        words (list[str]): Its command line.
        environment (dict[str, str]): Variables that are set for it.

    Returns:
        Namespace: What it parsed; a flag or a number of arguments that it does not take ends it instead.
    """
    if not re.search(r'parse_args|harness\.arguments', script.read_text()):
        assert not words, f'{script} takes no arguments'
        return Namespace()
    parse = ArgumentParser.parse_args

    def stop(self, *args, **kwargs):
        raise Parsed(parse(self, *args, **kwargs))

    with (mock.patch.object(ArgumentParser, 'parse_args', stop), mock.patch.object(sys, 'argv', [str(script), *words]),
          mock.patch.object(sys, 'path', [str(script.parent), *sys.path]), mock.patch.dict(os.environ, environment),
          mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in STRANGERS})):
        try:
            runpy.run_path(str(script), run_name='__main__')
        except Parsed as parsed:
            return parsed.args[0]
    raise AssertionError(f'{script} ran without parsing its arguments')


def check_config(parsed: Namespace, environment):
    """The config loads, and the settings of the command line have a place in it."""
    with mock.patch.dict(os.environ, environment):
        cfg = app.read_config(parsed.config)
        app.merge_options(cfg, parsed.cfg_options)
        original = Config.fromfile(find_config_file(parsed.config))
    assert cfg.model
    for key in parsed.cfg_options:
        inner = original
        for part in key.split('.')[:-1]:
            inner = inner[int(part) if part.isdigit() else part]
        assert isinstance(inner, dict), key


def test_commands_parse(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in blocks(page):
        for environment, words in commands(block.code) if block.language == 'bash' else ():
            words = [word.replace('$converters', str(MIM / 'tools/dataset_converters')) for word in words]
            if words[:1] == ['mmseg-mvp']:
                words = ['python', f'tools/{COMMANDS[words[1]]}', *words[2:]]
            if words[:1] == ['python'] and words[1].endswith('.py') and words[1] not in written(page):
                parsed = arguments(Path(words[1]), words[2:], environment)
                if 'cfg_options' in parsed and 'config' in parsed and parsed.config not in written(page):
                    check_config(parsed, environment)
            elif words[:1] == ['bash']:
                assert Path(words[1]).is_file() and (not words[2:] or Path(words[2]).is_file())


def test_commands_in_sentences_parse(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    prose = re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for text in re.findall(r'`mmseg-mvp (\w+ [^`]+)`', prose):
        (_, (command, *words)), = commands(text)
        parsed = arguments(ROOT / 'tools' / COMMANDS[command], words, {})
        if 'config' in parsed and parsed.config:
            assert app.read_config(parsed.config).model


def test_python_compiles(page):
    for block in blocks(page):
        if block.language == 'python':
            compile(block.code, page.name, 'exec')


def test_installs_are_what_ci_and_the_host_check_say():
    install = '\n'.join(block.code for block in blocks(ROOT / 'docs' / 'get_started.md'))
    for script, line in (('../README.md', host.INSTALL), ('lane', host.INSTALL_UPSTREAM)):  # CI runs README's blocks
        ci = (ROOT / '.ci' / script).read_text().replace(' --quiet', '')
        for command in line.split(' && '):
            assert command in install and command in ci, command


def test_tables_of_config_keys_are_those_of_the_classes():
    page = (ROOT / 'docs' / 'mvp_seg.md').read_text()
    components = {'model.backbone': 'CLIPImageEncoder', 'model.decode_head': 'MultiPromptTextHead',
                  'LearnedPrompts': 'LearnedPrompts', 'GPR': 'GPR'}
    for title, component in components.items():
        table = re.search(rf'\| key of `{title}` \|.*?\n\n', page, re.DOTALL)[0]
        parameters = inspect.signature(MODELS.get(component)).parameters
        rows = [re.findall(r'`([^`]+)`|(\d[\d.]*)', row.split('|')[1] + row.split('|')[2])
                for row in table.splitlines()[2:] if row]
        keys = [[code or number for code, number in row] for row in rows]
        documented = [key for row in keys for key in row if key in parameters]
        for row in keys:
            assert row[0] in parameters, row
            default = parameters[row[0]].default
            if len([key for key in row if key in parameters]) == 1 and len(row) == 2 and not isinstance(default, dict):
                assert eval(row[1]) == default, row
        left_out = set(parameters) - {*documented, 'clip', 'init_cfg', 'kwargs', 'tower', 'tau'}  # tau: a former name
        assert not left_out, f'{component}: {left_out}'


def test_clips_that_are_named_exist():
    models = set(open_clip.list_models())
    for page in DOCS:
        for name in re.findall(r'clip\.model=([\w-]+)', page.read_text()):
            assert name in models, (page.name, name)


def test_model_zoo_lists_every_config_once_and_claims_nothing():
    text = (ROOT / 'docs' / 'model_zoo.md').read_text()
    for method in ('maskclip', 'dense', 'training_free', 'mvp_seg', 'mvp_seg_plus', 'lseg'):
        for config in (ROOT / 'configs' / method).glob('*.py'):
            assert config.stem.startswith('toy') or f'`{config.name}`' in text, config
    rows = [row.split('|')[1:-1] for row in text.splitlines() if row.startswith('|')]
    ours = [row[-4] for row in rows if row[-1].strip() not in ('commit', '---') and len(row) < 10]
    assert len(ours) > 100 and not any(cell.strip() for cell in ours)


@pytest.mark.parametrize('script, picture', [('way_of_data.py', 'way_of_data.png'), ('by_names.py', 'by_names.png')])
def test_pictures_are_drawn_by_their_scripts(script, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with mock.patch.object(sys, 'argv', [script, str(tmp_path / picture)]):
        runpy.run_path(str(ROOT / 'docs' / script), run_name='__main__')
    drawn, shipped = (Image.open(path).convert('RGB') for path in (tmp_path / picture, ROOT / 'docs/images' / picture))
    assert drawn.size == shipped.size
    difference = np.abs(np.asarray(drawn, float) - np.asarray(shipped, float)).mean()
    assert difference < 8 and np.asarray(drawn).std() > 20  # fonts differ between machines, the drawing does not


def shortened(code):
    """A block with few iterations and few images, by settings that the docs name or MMSegmentation documents."""
    code = re.sub(r'iter_\d+\.pth', 'iter_4.pth', code)
    code = re.sub(r'tools/adapt\.py|mmseg-mvp adapt', r'\g<0> --steps 4', code)
    code = re.sub(r"\('train', \d+\), \('(\w+)', \d+\)", r"('train', 16), ('\1', 8)", code)
    lines = []
    for line in code.splitlines():
        for tool, few in (('train', FEW), ('test', 'test_dataloader.dataset.indices=8')):
            if f'tools/{tool}.py' in line or f'mmseg-mvp {tool} ' in line:
                line += few if line.endswith(' ') else f' {few}' if '--cfg-options' in line else f' --cfg-options {few}'
        lines.append(line)
    return '\n'.join(lines)


@pytest.fixture
def checkout(tmp_path):
    """A folder to work in as in a checkout: the package, the tools and a copy of the configs."""
    for name in ('mmseg_mvp', 'mmseg_mvp_cli.py', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
    return tmp_path


def run(block, folder):
    """Run a block, or write the file that it is."""
    if block.file:
        (folder / block.file).write_text(shortened(block.code))
        return ''
    program = ['bash', '-euc'] if block.language == 'bash' else [sys.executable, '-c']
    environment = dict(os.environ, PYTHONPATH=str(folder), PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    code = COMMAND * (block.language == 'bash') + shortened(block.code)
    result = subprocess.run([*program, code], cwd=folder, env=environment, capture_output=True,
                            text=True)
    assert result.returncode == 0, f'{block.code}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}'
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize('page', RUN, ids=named)
def test_what_needs_no_data_runs(page, checkout):
    outputs = [run(block, checkout) for block in blocks(page)
               if block.runs and (block.language in ('bash', 'python') or block.file)]
    assert outputs
    code = ''.join(block.code for block in blocks(page) if block.runs)
    for written_file in re.findall(r"save(?:_mask)?\('(\S+)'\)", code):
        assert (checkout / written_file).is_file(), written_file
    for config in checkout.glob('work_dirs/*/*/*.py'):
        assert Config.fromfile(config, import_custom_modules=False).model, config
    tests = sum(len(re.findall('tools/test.py|mmseg-mvp test', block.code)) for block in blocks(page)
                if block.runs and block.language == 'bash')
    assert sum(len(re.findall(r'Iter\(test\).*mIoU: ', output)) for output in outputs) == tests
    for folder in re.findall(r'--show-dir (\S+)', code):
        assert len(list((checkout / folder).glob('*.png'))) == 8
