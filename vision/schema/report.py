"""`models` and `plot` of params.yaml: what the report is of, and how it looks."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from vision.base.params import check_name
from vision.base.sections import Section, check_section
from vision.schema.averages import AverageParams


class PlotParams(Section):
    dpi: int = Field(ge=50, le=400)
    most_confused: int = Field(ge=1)


class ModelsParams(Section):
    baselines: list[str]
    finetune: list[str]
    # see `list_averages`; older results have none
    averages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate: list[str]  # all of these again, in the order of the report

    @model_validator(mode="after")
    def _check_members(self) -> "ModelsParams":
        before = [*self.baselines, *self.finetune]
        for name, average in self.list_averages():
            for member in (average.first, average.second):
                if member not in before:
                    raise ValueError(
                        f"averages.{name} names {member!r}, not one of {', '.join(before)}: name "
                        f"one that comes before, or leave {name} out, here and in evaluate"
                    )
            before.append(name)
        return self

    @model_validator(mode="after")
    def _check_evaluate(self) -> "ModelsParams":
        names = [*self.baselines, *self.finetune, *self.averages]
        listed = [check_name(name) for name in names]
        if not listed or len(listed) != len(set(listed)):
            raise ValueError(f"list each model once, and at least one; not {listed}")
        if sorted(listed) != sorted(self.evaluate):
            raise ValueError(f"evaluate must list {listed}, in any order, not {self.evaluate}")
        return self

    def list_trained(self, name: str) -> list[str]:
        """Return the trained models that one is the mean of, each once; or itself."""
        average = dict(self.list_averages()).get(name)
        if average is None:
            return [name]
        members = map(self.list_trained, (average.first, average.second))
        return list(dict.fromkeys(each for names in members for each in names))

    def list_averages(self) -> Iterator[tuple[str, AverageParams]]:
        """Yield the models that are the mean of two others, by name."""
        for name, values in self.averages.items():
            yield name, check_section(f"models.averages.{name}", values, AverageParams)
