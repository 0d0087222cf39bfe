import json

from lrexplore.bench.tensors import main


def test_every_way_keeps_what_it_was_given_and_the_table_is_what_the_file_says(tmp_path, capsys):
    path = tmp_path / "found.json"
    arguments = ["--model", "resnet20", "--image-size", "16", "--batch-size", "2", "--step-batch-size", "2"]
    assert main([*arguments, "--repeats", "1", "--ratio", "0.3", "--cp", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    ours = {row["way"]: row for row in found["fits"] if not row["way"].startswith(("tensorly", "its"))}
    assert list(ours) == ["spatial pair", "tucker", "tt", "cp"]
    for row in ours.values():
        assert row["parameter_ratio"] <= 0.3 and 0 < row["error"] <= row["largest_error"] < 1
    assert {"unfactorized", "tucker", "tt", "spatial pair"} <= set(found["prediction_ms"])
    assert set(found["decay_shares"]) == {"tucker", "tt", "cp"}
    printed = capsys.readouterr().out
    assert all(f"{row['error']:>9.4f}" in printed for row in ours.values())
