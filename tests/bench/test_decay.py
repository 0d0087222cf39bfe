import json

from lrexplore.bench.decay import main


def test_the_share_of_the_decay_is_the_ratio_of_what_was_measured(tmp_path, capsys):
    path = tmp_path / "found.json"
    arguments = ["--model", "resnet20", "--image-size", "8", "--batch-size", "2", "--repeats", "1"]
    assert main([*arguments, "--threads", "1", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["scheme"] for row in rows] == ["channel", "spatial"]
    for row in rows:
        assert row["share"] == row["decay_s"] / row["step_s"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["channel", "spatial"]
