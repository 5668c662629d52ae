"""Class lists of published code read as names and synonyms; files that are no class lists are told."""
import json
import logging
import re

import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.vocabularies import class_names, load_vocabulary

WALL = {'wall': ('wall',), 'building': ('building', 'edifice'), 'door': ('door', 'double door')}
PAIRS = ['wall', 'building, edifice', 'door, double door']
INFO = ('Idx,Ratio,Train,Val,Stuff,Name\n1,0.1576,11664,1172,1,wall\n2,0.1072,6046,612,1,building;edifice\n'
        '3,0.0158,5075,526,0,door;double door\n')


def write(path, text, encoding='utf-8'):
    path.write_bytes((text if isinstance(text, str) else json.dumps(text)).encode(encoding))
    return path


@pytest.mark.parametrize('name, text', [
    ('ade150.json', PAIRS),  # CAT-Seg
    ('coco.json', {name: color for name, color in zip(PAIRS, [[1, 2, 3], None, [4, 5, 6]])}),
    ('a.json', {'wall': 'wall', 'building': 'building; edifice', 'door': 'door, double door'}),
    ('a.json', {'wall': ['wall'], 'building': ['building', 'edifice'], 'door': ['door', 'double door']}),
    ('a.json', {'wall': '#ff0000', 'building, edifice': '#00ff00', 'door, double door': '#0000ff'}),
    ('a.json', {'wall': 'stuff', 'building, edifice': 'stuff', 'door, double door': 'thing'}),
    ('a.json', {'2': 'door, double door', '0': 'wall', '1': 'building, edifice'}),
    ('a.json', {'door, double door': 2, 'wall': 0, 'building, edifice': 1}),
    ('a.json', {'wall': 11664, 'building, edifice': 6046, 'door, double door': 5075}),
    ('a.json', {'0': {'name': 'wall'}, '1': {'name': 'building, edifice'}, '2': {'name': 'door, double door'}}),
    ('index.json', {'0': ['n04546855', 'wall'], '1': ['n02913152', 'building', 'edifice'],
                    '2': ['door', 'double door']}),  # ImageNet
    ('a.json', {'wall': 'wall', 'building': ['building', 'edifice'], 'door': 'door, double door'}),
    ('a.json', [{'name': one, 'color': [0, 0, 0]} for one in PAIRS]),
    ('a.json', [{'Name': one, 'id': 7 - index} for index, one in enumerate(reversed(PAIRS))]),
    ('a.json', [['wall'], ['building', 'edifice'], ['door', 'double door']]),
    ('a.json', {'info': {}, 'categories': [{'id': index, 'name': one} for index, one in enumerate(PAIRS)]}),
    ('a.json', {'door, double door': {'id': 9}, 'wall': {'id': 7}, 'building, edifice': {'id': 8}}),
    ('data.yaml', 'path: ../data\nnc: 3\nnames:\n  0: wall\n  1: building, edifice\n  2: door, double door\n'),  # YOLO
    ('data.yml', 'train: images\nnames: [wall, "building, edifice", "door, double door"]\n'),  # Roboflow
    ('a.YAML', '- wall\n- [building, edifice]\n- {name: "door, double door"}\n'),
    ('labels.txt', PAIRS),
    ('labels.txt', "{0: 'wall',\n 1: 'building, edifice',\n 2: \"door, double door\"}"),
    ('names.txt', "['wall', 'building, edifice', 'door, double door',]"),
    ('cls_ade.txt', '\n'.join(PAIRS)),  # ProxyCLIP
    ('cls_voc21.txt', 'wall\nbuilding; edifice\ndoor; double door'),  # SCLIP
    ('a.txt', 'wall,\nbuilding， edifice\ndoor、double door；\n'),
    ('a.txt', '0: wall\n1: building, edifice\n2: door, double door'),  # COCO-Stuff
    ('a.txt', '(1) wall\n(2) building;edifice\n(3) door;double door'),
    ('a.txt', '1 wall\n2 building;edifice\n3 door;double door'),
    ('a.txt', '2\tdoor, double door\n0\twall\n1\tbuilding, edifice'),
    ('a.txt', 'n04546855 wall\nn02913152 building, edifice\nn03221720 door, double door'),  # ImageNet
    ('a.txt', 'wall 0\nbuilding, edifice 1\ndoor, double door 2'),
    ('ade20k_objectInfo150.txt', INFO),  # lang-seg
    ('objectInfo150.csv', INFO), ('a.tsv', INFO.replace(',', '\t')),
    ('a.csv', 'Id;Name\n1;wall\n2;building, edifice\n3;"door; double door"\n'),
    ('a.csv', 'id,class\n3,"door, double door"\n1,wall\n2,"building, edifice"\n'),
    ('a.csv', 'name\nwall\nbuilding;edifice\ndoor;double door\n'),
    ('a.csv', 'class,label\n0,wall\n1,building;edifice\n2,door;double door\n'),
    ('a.csv', 'wall,0\nbuilding;edifice,1\ndoor;double door,2\n'),
    ('a.csv', 'sep=;\nId;Name\n1;wall\n2;building, edifice\n3;door, double door\n'),  # Excel
    ('a.csv', 'id,name\n3.0,"door, double door"\n1.0,wall\n2.0,"building, edifice"\n'),  # pandas
    ('a.json', [{'name': one, 'id': float(7 - index)} for index, one in enumerate(reversed(PAIRS))]),
    ('a.txt', 'Name\nwall\nbuilding, edifice\ndoor, double door'), ('labels.txt', '__ignore__\n' + '\n'.join(PAIRS)),
])
def test_lists_of_the_field(tmp_path, name, text):
    vocabulary = load_vocabulary(write(tmp_path / name, text))
    assert vocabulary == WALL and list(vocabulary) == list(WALL)


def test_a_file_keeps_its_name_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'ids.txt', '1\n2\n3\n')
    refused(lambda: load_vocabulary('ids.txt'), "Class list 'ids.txt' has numbers or file names")


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'cp1252'])
@pytest.mark.parametrize('name, text', [('a.txt', 'café\r\ntree\r\n'), ('a.csv', 'id,name\r0,café\r1,tree\r'),
                                        ('A.JSON', '["café", "tree"]')])
def test_encodings(tmp_path, encoding, name, text):
    assert class_names(str(write(tmp_path / name, text, encoding))) == ['café', 'tree']


@pytest.mark.parametrize('text', ['grade 1\ngrade 2\ngrade 3', '2 wheels\n4 wheels\n3 wheels', '3d printer\n2 wheels\n',
                                  'F-16\nBoeing 747\n', 'zone1\nzone2', 'seven, sept\neight, huit'])
def test_numbers_in_names_are_no_ids(tmp_path, text):
    names = [line.split(',')[0] for line in text.splitlines()]
    assert class_names(write(tmp_path / 'a.txt', text)) == names


def test_files_of_any_suffix_and_the_home_folder(tmp_path, monkeypatch):
    write(tmp_path / 'coco.names', 'cat\ndog\n')
    write(tmp_path / 'CLASSES.TXT', 'cat\ndog\n')
    monkeypatch.setenv('HOME', str(tmp_path))
    for source in (str(tmp_path / 'coco.names'), '~/coco.names', '~/CLASSES.TXT'):
        assert class_names(source) == ['cat', 'dog']


@pytest.mark.parametrize('name, text', [
    ('a.json', [{'id': 1, 'name': 'person'}, {'id': 3, 'name': 'stop sign'}]), ('a.txt', '1: person\n3: stop sign'),
    ('a.json', {'1': 'person', '3': 'stop sign'}), ('a.csv', 'id,name\n1,person\n3,stop sign\n')])
def test_missing_ids_are_told(tmp_path, monkeypatch, name, text):
    told = []
    monkeypatch.setattr('mmseg_mvp.vocabularies.columns.print_log', lambda *args: told.append(args))
    assert class_names(write(tmp_path / name, text)) == ['person', 'stop sign']
    (message, _, level), = told
    assert level == logging.WARNING and all(word in message for word in (name, "'stop sign', has the id 3", 'value 1'))


@pytest.mark.parametrize('module, name, text, words', [
    ('columns', 'a.csv', 'id,name\n-1,void\n0,wall\n', "are negative, .* 'wall', has the id 0 and the label value 1"),
    ('columns', 'a.json', [{'id': -1, 'name': 'void'}, {'id': 0, 'name': 'wall'}], 'the id 0 and the label value 1'),
    ('columns', 'a.csv', 'id,name\n0,void\n,wall\n', "1 of the 2 ids .* such as ''.* order of the file"),
    ('columns', 'a.csv', 'name,id,trainId\nvoid,0,255\nwall,1,0\n', "has the ids 'id', 'trainid': 'id' decides"),
    ('literals', 'a.json', {'void': 18, 'wall': 1}, 'not read as ids: the label values follow the order of the keys'),
    ('literals', 'a.json', {'void': ['cat', 'dog'], 'wall': ['sky']}, "CLIP reads the values .*'cat', 'dog'"),
    ('files', 'a.txt', 'class\nvoid\nwall', "first line of .*'class', is not read as a class")])
def test_the_order_of_ambiguous_lists_is_told(tmp_path, monkeypatch, module, name, text, words):
    told = []
    monkeypatch.setattr(f'mmseg_mvp.vocabularies.{module}.print_log', lambda *args: told.append(args[0]))
    assert class_names(write(tmp_path / name, text)) == ['void', 'wall']
    assert len(told) == 1 and re.search(words, told[0]), told


def test_ids_tell_equal_names_apart(tmp_path):
    text = '134: crane\n135: limpkin\n136: crane'
    assert load_vocabulary(write(tmp_path / 'a.txt', text)) == {
        'crane': ('crane',), 'limpkin': ('limpkin',), 'crane (2)': ('crane',)}


@pytest.mark.parametrize('name, text, words', [
    ('a.txt', '"wall"\n"sky"', 'quote'), ('a.txt', "'wall',\n'sky',", 'quote'), ('a.txt', '- wall\n- sky', 'bullet'),
    ('a.txt', 'nc: 2\nnames: [wall, sky]', 'bracket'), ('a.txt', 'wall|building\nsky|air', 'bar'),
    ('a.tsv', 'wall\tmur\nsky\tciel', 'tab'), ('a.txt', 'wall\n<a href="x">sky</a>', 'bracket'),
    ('a.txt', '1\n2\n3\n', 'numbers'), ('a.txt', '0 0 0\n128 64 128\n', 'numbers'), ('a.json', [1, 2], 'Entry 1'),
    ('a.json', '3', 'int'), ('a.json', '"cat"', 'str'), ('a.json', 'null', 'NoneType'), ('a.json', '[cat', 'JSON'),
    ('a.json', [{'id': 3}], "'id': 3"), ('a.json', ['cat', None], 'Entry 2'), ('a.json', [], 'No class'),
    ('a.json', {}, 'No class'), ('a.json', '{"crane": 1, "crane": 2}', "'crane'"),
    ('a.json', {'1': 2, '2': 3}, 'Entry 1'),
    ('model.json', {'embed_dim': 512, 'text_cfg': {'width': 512}}, 'dict, int'),
    ('a.yaml', '0: crane\n1: cat\n0: dog\n', "key '0' stands more than once"), ('a.yaml', 'wall: [', 'YAML'),
    ('a.yaml', '- cat\n- no\n', 'Entry 2'), ('a.yaml', '!!python/object/apply:os.getcwd []', 'YAML'),
    ('a.yaml', 'train: images\nnc: 3\n', 'several types'), ('a.yaml', '3', 'int'), ('a.yaml', '', 'NoneType'),
    ('a.json', {'images': [{'id': 1}], 'annotations': []}, 'list of annotations'),  # COCO without categories
    ('a.json', '[' * 10000, 'JSON'), ('a.json', '', 'JSON'), ('a.json', ['1', '2'], 'numbers'),
    ('a.txt', '', 'No class'), ('a.csv', '', 'No class'), ('a.csv', 'id,name\n', 'No class'),
    ('a.txt', 'wall building sky floor tree ceiling road bed window grass cabinet', 'one class per line'),
    ('a.txt', 'wall, building, sky', 'one class per line'), ('a.txt', 'wall\n' + 'x' * 2000, '2000 letters'),
    ('a.txt', '64 128 64\tAnimal\n192 0 128\tArch\n0 128 192\tBicyclist', 'beside the names'),
    ('a.txt', 'wall,120,120,120\nsky,6,230,230\ntree,4,200,3', 'beside the names'),
    ('a.csv', '1,0.15,11664,wall\n2,0.10,6046,sky\n3,0.08,8265,tree', 'beside the names'),
    ('a.csv', 'Idx,Object\n1,wall\n2,sky\n3,tree', 'beside the names'),
    ('a.csv', 'id,name\n1,wall, stone\n', 'Row 2'), ('a.csv', 'id,name\n1\n', 'Row 2'),
    ('a.csv', 'id,name\n1,\n', 'empty'),
    ('a.txt', '2007_000033\n2007_000042\n', 'file names'), ('a.txt', 'a/b.jpg\na/c.jpg\n', 'file names'),
    ('a.txt', 'COCO_val2014_000000000042\nCOCO_val2014_000000000073', 'file names'),
    ('a.txt', '\n<!DOCTYPE html>\n<html><body>wall</body></html>', 'HTML'), ('a.json', '<html>', 'HTML'),
    ('a.txt', '<?xml version="1.0"?><svg/>', 'HTML'), ('a.txt', '{\\rtf1 wall}', 'JSON'),
])
def test_files_that_are_no_lists_of_names(tmp_path, name, text, words):
    refused(lambda: load_vocabulary(write(tmp_path / name, text)), name, words)


def test_values_that_clip_reads_are_told(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr('mmseg_mvp.vocabularies.literals.print_log', lambda *args: told.append(args[0]))
    text = {'wall-concrete': 'concrete wall', 'sky': 'sky'}
    assert load_vocabulary(write(tmp_path / 'a.json', text))['wall-concrete'] == ('concrete wall',)
    assert len(told) == 1 and "'concrete wall'" in told[0]


def test_hostile_lists_are_refused_quickly(tmp_path):
    lines = ['0: ' + 'a ' * 10**5 + ' ' * 10**5, '1' + ' ' * 10**5 + '1', 'a' + ' ' * 10**5 + 'b =c']
    refused(lambda: load_vocabulary(write(tmp_path / 'a.txt', '\n'.join(lines))), 'letters')
    refused(lambda: load_vocabulary(write(tmp_path / 'a.json', '{"names":' * 900 + '[1]' + '}' * 900)), 'Entry 1')


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'PDF'])
def test_pictures(tmp_path, kind):
    Image.radial_gradient('L').save(tmp_path / 'a.txt', kind)
    refused(lambda: load_vocabulary(tmp_path / 'a.txt'), 'a.txt', 'not a text file')
