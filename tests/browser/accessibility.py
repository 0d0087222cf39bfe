"""What axe-core finds wrong with a part of a page."""

from importlib.resources import files

AXE = files("axe_playwright_python") / "axe.min.js"
WEIGHTY = ("serious", "critical")


def violations(page, selector: str = ".lrx") -> list[str]:
    """Serious and critical violations inside `selector`, one line each; empty when there are none."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("selector => axe.run(selector).then(({violations}) => violations)", selector)
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in WEIGHTY
        for node in violation["nodes"]
    ]
