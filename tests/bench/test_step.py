import json

import pytest

from lrexplore.bench.step import main


def test_every_variant_is_measured_each_way_and_said_how_many_layers_took_which(tmp_path, capsys):
    path = tmp_path / "found.json"
    arguments = ["--model", "resnet20", "--image-size", "8", "--batch-size", "2", "--repeats", "1", "--threads", "1"]
    arguments += ["--rank-scale", "0.3", "--rank-multiple", "4", "--execution", "factors", "product", "fastest"]
    assert main([*arguments, "--json", str(path)]) == 0
    reference, *rows = json.loads(path.read_text())["rows"]
    assert reference["scheme"] is None and reference["num_layers"] == 0
    assert [(row["scheme"], row["execution"]) for row in rows] == [
        (scheme, execution) for scheme in ("channel", "spatial") for execution in ("factors", "product", "fastest")
    ]
    for row in rows:
        least, most = {"factors": (0, 0), "product": (row["num_layers"],) * 2}.get(
            row["execution"], (0, row["num_layers"])
        )
        assert row["num_layers"] > 0 and least <= row["num_by_product"] <= most
        assert row["images_per_s"] == pytest.approx(2000 / row["step_ms"])
    assert {row["flop_ratio"] for row in rows[:3]} == {rows[0]["flop_ratio"]}
    assert capsys.readouterr().out.count("resnet20") == 7
