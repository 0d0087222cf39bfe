import json

from lrexplore.bench.records import main


def test_a_small_run_is_followed_and_every_number_has_its_unit(tmp_path, capsys):
    assert main(["--steps", "400", "--rounds", "2", "--json", str(tmp_path / "a.json")]) == 0
    measures = json.loads((tmp_path / "a.json").read_text())["measures"]
    assert len(measures) == 9
    assert all(item["value"] > 0 and item["unit"] == "ms" for item in measures)
    assert "mean of 3 live seeds, log x" in capsys.readouterr().out
