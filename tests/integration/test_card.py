"""A model's card as a page: what stands there is what the model says, whatever its names are."""

import json
from html.parser import HTMLParser
from pathlib import Path

import onnx
from commands import engine

from engine.model.document import KEY


class Page(HTMLParser):
    """The rows of all tables, as texts of their cells."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def test_a_card_shows_accuracies_classes_and_bands(model_path: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(model_path))
    (entry,) = (one for one in proto.metadata_props if one.key == KEY)
    document = json.loads(entry.value)
    document["classes"][0]["name"] = '<script>alert("水")</script> & Äcker'
    rows = [("dem", 0.05, None), ("optical+sar+dem", 0.625, 1234567), ("sar", 0.5, 20)]
    document["accuracy"] = [
        {"scenario": name, "split": "validation", "miou": miou, "overall_accuracy": 0.75, "pixels": pixels}
        for name, miou, pixels in rows
    ]
    document["accuracy"][0]["classes"] = [0.375, 0.05, None, 0.0, 1.0, 0.5]
    document["accuracy"][2] |= {
        "classes": [0.25, 0.75, None, None, None, 1.0],
        "class_intervals": [None, [0.5, 0.875], None, None, None, None],
        "miou_interval": [0.25, 0.625],
        "overall_accuracy_interval": [0.7, 0.8],
        "blocks": 12,
        "chosen": True,
    }
    entry.value = json.dumps(document)
    onnx.save(proto, str(tmp_path / "odd.onnx"))
    done = engine("inspect", tmp_path / "odd.onnx", "--html", tmp_path / "card.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    page = Page()
    page.feed(text)
    assert ["1", "", '<script>alert("水")</script> & Äcker'] in page.rows
    known = [row for row in page.rows if row[-1].startswith("validation")]
    assert [[*row[:3], *row[4:]] for row in known] == [
        ["optical + sar + dem", "0.62", "", "0.75", "", "1,234,567", "", "validation"],
        ["sar", "0.50", "0.25–0.62", "0.75", "0.70–0.80", "20", "12", "validation (chosen on it)"],
        ["dem", "0.05", "", "0.75", "", "", "", "validation"],
    ]
    guess = f"{1 / (2 * len(document['classes']) - 1):.2f}"
    assert [row[3].strip() for row in known] == ["", "", f"hardly better than guessing ({guess})"]
    start = page.rows.index(["class", "sar", "dem"])
    assert page.rows[start + 1 : start + 8] == [
        ['<script>alert("水")</script> & Äcker', "0.25", "0.38"],
        ["forest", "0.750.50–0.88", "0.05*"],
        ["cropland", "", ""],
        ["grassland", "", "0.00*"],
        ["built-up", "", "1.00"],
        ["bare", "1.00", "0.50"],
        ["value", "", "class"],
    ]
    bands = [band["name"] for sensor in document["modalities"] for band in sensor["bands"]]
    assert [row[1] for row in page.rows if len(row) == 7][1:] == bands


def test_only_a_model_has_a_card(scenes: Path, tmp_path: Path) -> None:
    done = engine("inspect", scenes / "second/dem.tif", "--html", tmp_path / "card.html")
    assert done.returncode == 2
    assert "dem.tif" in done.stderr
    assert not (tmp_path / "card.html").exists()
