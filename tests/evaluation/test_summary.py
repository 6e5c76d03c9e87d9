import numpy as np
from astropy.table import MaskedColumn, Table

from galclass import load_pretrained, summary
from galclass.evaluation.metrics import HEADLINE
from galclass.evaluation.summary import to_markdown


def test_summary_has_the_metrics_of_each_class_and_of_all_galaxies(measured):
    table = summary(measured.path)
    metrics = measured.metrics
    assert table["class"].tolist() == [*(str(c) for c in range(1, 11)), "all"]
    assert table["name"].tolist() == [*measured.class_names, ""]
    for key in ("precision", "recall", "f1"):
        values = [row[key] for row in metrics["classes"]]
        expected = 100 * np.array([*values, metrics["accuracy"]], float)
        np.testing.assert_allclose(table[key].filled(np.nan), expected)
    supports = [row["support"] for row in metrics["classes"]]
    assert table["galaxies"].tolist() == [*supports, metrics["galaxies"]]
    assert [key for key in table.meta if key in HEADLINE] == list(HEADLINE)
    for key in ("accuracy", "accuracy_interval", "macro_f1_interval", "brier"):
        assert table.meta[key] == metrics[key]
    assert table.meta["origin"] == str(measured.origin)


def test_metrics_that_a_run_lacks_are_missing_in_its_summary(copied):
    metrics = copied.metrics
    del metrics["macro_f1"]
    for row in metrics["classes"]:
        del row["f1"]
    copied.write_metrics(metrics)
    table = summary(copied)
    assert table.meta["macro_f1"] is None
    assert table["f1"].mask.tolist() == [True] * 10 + [False]


def test_undefined_values_are_masked_in_text_html_and_markdown():
    table = summary(load_pretrained())  # No galaxy is predicted as class 6.
    row = "6    Disk, Edge-on, Boxy Bulge        --    0.0  0.0        2"
    assert row in "\n".join(table.pformat())
    assert "nan" not in table._repr_html_()
    assert "| 6 | Disk, Edge-on, Boxy Bulge | - | 0.0 | 0.0 | 2 |" in to_markdown(table)


def test_markdown_has_units_and_formats_and_shows_names_as_they_are():
    table = Table({"name": ["a|b_*c*\n`d`", "e"], "n": [1234, 5]})
    table["n"].format = ",d"
    table["share"] = MaskedColumn([1.25, 0], mask=[False, True], unit="%", format=".1f")
    assert to_markdown(table).splitlines() == [
        "| name | n | share (%) |",
        "| --- | --- | --- |",
        r"| a\|b\_\*c\* \`d\` | 1,234 | 1.2 |",
        "| e | 5 | - |",
    ]
