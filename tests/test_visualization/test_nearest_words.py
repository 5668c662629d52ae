"""Tables of nearest words: Markdown and rows."""
from mmseg_mvp.visualization.nearest_words import markdown_table, table_rows

NEAREST = [[[('a|b', 0.5), ('sky', 0.75)], [('red', 1.), ('*', 2.)]],
           [[('tree', 0.25), ('house-', 0.5)], [('car', 3.), ('boat', 4.12345)]]]
TITLES = ['global prompt', 'prompt 1']


def test_rows_hold_everything_in_order():
    rows = [tuple(row.values()) for row in table_rows(NEAREST, TITLES)]
    assert rows[:3] == [('global prompt', 1, 1, 'a|b', 0.5), ('global prompt', 1, 2, 'sky', 0.75),
                        ('global prompt', 2, 1, 'red', 1.)]
    assert len(rows) == 8 and rows[-1] == ('prompt 1', 2, 2, 'boat', 4.1235)
    assert list(next(table_rows(NEAREST, TITLES))) == ['prompt', 'vector', 'rank', 'word', 'distance']


def test_markdown_has_a_row_for_each_vector_and_no_stray_signs():
    assert markdown_table(NEAREST, TITLES).splitlines() == [
        '| vector | global prompt | prompt 1 |', '|---|---|---|',
        '| v1 | a\\|b (0.500), sky (0.750) | tree (0.250), house- (0.500) |',
        '| v2 | red (1.000), \\* (2.000) | car (3.000), boat (4.123) |']
