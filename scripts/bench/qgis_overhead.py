"""What a run inside a started QGIS costs over the same run on the command line, in turns; and how fast a cancel is.

Run by QGIS's own Python, with a model and the rasters to map:
``ROBUST_LANDCOVER_PYTHON=.venv/bin/python QT_QPA_PLATFORM=offscreen /usr/bin/python3 scripts/bench/qgis_overhead.py
MODEL.onnx NAME=RASTER...``
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 7


def cancelled(parameters: Mapping[str, object], output: str) -> float:
    """Cancels a run when its first tiles are done; gives the seconds until the engine has ended."""
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    asked: list[float] = []

    def cancel(share: float) -> None:
        if share > 0 and not asked:
            asked.append(time.perf_counter())
            feedback.cancel()

    feedback.progressChanged.connect(cancel)
    with suppress(QgsProcessingException):  # which says that it was cancelled
        processing.run("robustlandcover:segment", {**parameters, "OUTPUT": output}, feedback=feedback)
    ended = time.perf_counter()
    if Path(output).exists() or not asked:
        raise RuntimeError("the map was done before it could be cancelled; take a larger one")
    return ended - asked[0]


def main() -> None:
    """Prints the seconds of each way, and the median of the differences."""
    model, *sources = sys.argv[1:]
    engine = os.environ["ROBUST_LANDCOVER_PYTHON"]
    sys.path.insert(0, str(ROOT / "scripts"))
    sys.path.append("/usr/share/qgis/python/plugins")
    from package_plugin import build
    from qgis.core import QgsApplication

    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    import processing
    from processing.core.Processing import Processing

    Processing.initialize()
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, str(build(Path(folder)).parent))
        import robust_landcover

        plugin = robust_landcover.classFactory(None)
        plugin.initProcessing()
        rows = []
        for number in range(ROUNDS):
            inside, outside = f"{folder}/inside{number}.tif", f"{folder}/outside{number}.tif"
            parameters = {"MODEL": model, "ASSIGNMENT": ";".join(sources), "DEVICE": "cpu", "OUTPUT": inside}
            started = time.perf_counter()
            processing.run("robustlandcover:segment", parameters)
            middle = time.perf_counter()
            subprocess.run(
                [engine, "-I", "-m", "engine.cli", "predict", model, *sources, "-o", outside, "--device", "cpu"],
                check=True,
                capture_output=True,
            )
            ended = time.perf_counter()
            rows.append((middle - started, ended - middle))
            print(f"in QGIS {rows[-1][0]:.2f} s, command line {rows[-1][1]:.2f} s")
        waits = [cancelled(parameters, f"{folder}/cancelled.tif") for _ in range(ROUNDS)]
        plugin.unload()
    print(f"from a cancel to the end of the engine: at most {max(waits):.2f} s")
    print(f"median of the differences {statistics.median(one - other for one, other in rows):+.2f} s")
    os._exit(0)  # QGIS's own end may crash without windows


if __name__ == "__main__":
    main()
