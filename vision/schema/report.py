"""`models` and `plot` of params.yaml: what the report is of, and how it looks."""

from pydantic import Field, model_validator

from vision.base.params import check_name
from vision.base.sections import Section


class PlotParams(Section):
    dpi: int = Field(ge=50, le=400)
    most_confused: int = Field(ge=1)


class ModelsParams(Section):
    baselines: list[str]
    finetune: list[str]
    evaluate: list[str]  # both lists again, in the order of the report

    @model_validator(mode="after")
    def _check_evaluate(self) -> "ModelsParams":
        trained = [check_name(name) for name in [*self.baselines, *self.finetune]]
        if not trained or len(trained) != len(set(trained)):
            raise ValueError(f"list each model once, and at least one; not {trained}")
        if sorted(trained) != sorted(self.evaluate):
            raise ValueError(f"evaluate must list {trained}, in any order, not {self.evaluate}")
        return self
