"The drawing of 11_pipeline: what a run does, from a folder to an index and a report."
from collections.abc import Iterator

from canvas import Drawing

stages = [
    ("folder", ("sub-folders", "say who is who"), ""),
    ("plan", ("what is there,", "what it costs"), "plan_run"),
    ("run", ("train, measure,", "choose"), "execute_plan"),
    ("results", ("network, index,", "threshold"), ""),
    ("report", ("one HTML file", "to keep"), "write_report"),
]


def pipeline_flow() -> Drawing:
    "Five boxes, with the function that leads into each."
    drawing = Drawing(
        760, 206, "From a folder to a report",
        "Five boxes in a row: folder, plan, run, results, report. A loop above the run says that a second call goes "
        "on where the first one stopped.",
    )
    each = 150.0
    for number, (name, lines, function) in enumerate(stages):
        x = 8 + number * each
        is_file = not function
        drawing.rect(x, 78, 128, 78, fill="ground" if is_file else "panel", color="anchor" if is_file else "line")
        drawing.text(x + 64, 100, name, 15, bold=True)
        for row, line in enumerate(lines):
            drawing.text(x + 64, 122 + 18 * row, line, 13, "soft")
        if function:
            drawing.text(x + 64, 180, function, 13, "accent", mono=True)
        if number:
            drawing.arrow(x - 21, 117, x - 3, 117)
    run = 8 + 2 * each
    drawing.path([(run + 92, 78), (run + 92, 48), (run + 36, 48), (run + 36, 66)], "soft", 1.8)
    drawing.arrow(run + 36, 56, run + 36, 77)
    drawing.text(run + 64, 34, "called again: goes on where it stopped", 13, "soft")
    return drawing


def drawings() -> Iterator[tuple[str, Drawing]]:
    "Yield the drawing of this page."
    yield "pipeline_flow", pipeline_flow()
