"""Brings the plugin's translation files up to date with its texts: ``python3 scripts/translations.py [LANGUAGE...]``.

Texts are what stands in ``_tr("...")``, ``QCoreApplication.translate("Context", "...")``, and ``Said("...")`` of the
engine. Translations that exist are kept; what is new stands there untranslated; what is gone goes. A language that is
named and new gets a file.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

ROOT = Path(__file__).resolve().parent.parent
PLUGIN, ENGINE = ROOT / "qgis_plugin", ROOT / "engine"
Texts = dict[tuple[str, str], None]


def texts() -> Texts:
    """Context and text of all that the plugin says, in order."""
    found: Texts = {}
    for path in sorted(PLUGIN.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        calls.sort(key=lambda node: (node.lineno, node.col_offset))
        translate = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "translate"]
        context = ""
        for call in translate:
            context = _text(call.args[0])
            if isinstance(call.args[1], ast.Constant):
                found[context, _text(call.args[1])] = None
        for call in calls:
            if isinstance(call.func, ast.Name) and call.func.id == "_tr":
                found[context, _text(call.args[0])] = None
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Said":
                found["Engine", _text(node.args[0])] = None
    return found


def _text(node: ast.expr) -> str:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        raise TypeError(f"line {node.lineno}: a text to translate must stand there as it is, not be put together")
    return node.value


def read(path: Path) -> dict[tuple[str, str], str]:
    """The translations of a file."""
    found = {}
    for context in Xml.parse(path).getroot().iter("context"):  # noqa: S314 (our own files)
        for message in context.iter("message"):
            found[context.findtext("name", ""), message.findtext("source", "")] = message.findtext("translation", "")
    return found


def write(path: Path, language: str, translations: dict[tuple[str, str], str]) -> None:
    """Writes a file with all texts."""
    root = Xml.Element("TS", version="2.1", language=language)
    contexts: dict[str, Xml.Element] = {}
    for context, source in texts():
        if context not in contexts:
            contexts[context] = Xml.SubElement(root, "context")
            Xml.SubElement(contexts[context], "name").text = context
        message = Xml.SubElement(contexts[context], "message")
        Xml.SubElement(message, "source").text = source
        translated = translations.get((context, source), "")
        element = Xml.SubElement(message, "translation", {} if translated else {"type": "unfinished"})
        element.text = translated
    Xml.indent(root)
    content = Xml.tostring(root, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{content}\n', encoding="utf-8")


def main() -> None:
    """Updates every file."""
    folder = PLUGIN / "i18n"
    languages = sorted({path.stem.rpartition("_")[2] for path in folder.glob("*.ts")} | set(sys.argv[1:]))
    for language in languages:
        path = folder / f"robust_landcover_{language}.ts"
        known = read(path) if path.exists() else {}
        write(path, language, known)
        done = sum(bool(known.get(key)) for key in texts())
        print(f"{path.name}: {done} of {len(texts())} translated")


if __name__ == "__main__":
    main()
