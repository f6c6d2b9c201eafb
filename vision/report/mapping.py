"""The map of the test images, as the best model sees them: alike ones lie side by side."""

from vision.evaluation.gallery import Sheet, make_sheet
from vision.report.blocks import Block, Map, Picture, Section, Text
from vision.report.charts import chart_map
from vision.report.runs import Results

SHEET = "map of images"  # name of the sheet; no recipe can be called so
HOW = (
    "Each point is a test image, placed by what the model's last layer is given for it: t-SNE (van "
    "der Maaten and Hinton, 2008). Images that are close are alike to the model; the distance "
    "between groups, their size and the axes mean nothing."
)


def build_map(results: Results) -> Section:
    best, n = results.best, len(results.best.places)
    of = "all" if n == len(results.images.test_labels) else f"{n:,} of the"
    picture = Picture(
        file="map.png",
        caption=f"Map of {of} test images by {best.label}, alike ones side by side",
        alt="Points, by class where there are few classes; crosses where the prediction is wrong.",
        marks=results.mark(best),
    )
    chart: list[Block] = [Map(picture, chart_map(results), SHEET), Text(HOW)]
    return Section("Map of the images", chart)


def draw_map_sheet(results: Results) -> Sheet:
    """Return the images of the map, in the order of its points."""
    positions = results.mapped.positions.tolist()
    describe = results.describe(results.best)
    return make_sheet(results.images.read_test, {(0, 0): positions}, describe)
