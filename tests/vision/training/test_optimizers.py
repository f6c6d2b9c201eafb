import math
from typing import Any

import numpy as np
import pytest
import torch

from vision.base.errors import ParamsError
from vision.base.sections import check_section
from vision.schema.recipes import OptimizerParams
from vision.training.optimizers import build_optimizer, build_schedule, divide_groups

PLAIN = {"optimizer": "sgd", "learning_rate": 0.1}


def group(model: torch.nn.Module) -> list[dict[str, Any]]:
    return [{"params": list(model.parameters())}]


def test_sgd_takes_the_step_of_its_formula() -> None:
    params = OptimizerParams.model_validate(PLAIN | {"learning_rate": 0.5, "weight_decay": 0.1})
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model.weight.grad = torch.full((1, 1), 3.0)
    build_optimizer(group(model), params).step()
    assert model.weight.item() == pytest.approx(2.0 - 0.5 * (3.0 + 0.1 * 2.0))


def test_weights_that_begin_to_train_later_have_no_momentum_yet() -> None:
    """As where a recipe trains the head alone in its first epochs."""
    params = OptimizerParams.model_validate(PLAIN | {"learning_rate": 1.0, "momentum": 0.5})
    early, late = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer([{"params": [early, late]}], params)
    early.grad = torch.ones(1)
    optimizer.step()
    late.grad = torch.ones(1)
    optimizer.step()
    assert early.item() == -(1 + 1.5)
    assert late.item() == -1


def rates(schedule: str, steps: int, **changes: Any) -> list[float]:
    wanted = {"schedule": schedule, "learning_rate": 1.0} | changes
    params = OptimizerParams.model_validate(PLAIN | wanted)
    optimizer = build_optimizer(group(torch.nn.Linear(1, 1)), params)
    scheduler = build_schedule(optimizer, params, steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_a_constant_rate_stays() -> None:
    assert rates("constant", 4) == [1.0] * 4


def test_a_line_falls_from_the_rate_towards_zero() -> None:
    assert rates("linear", 4) == [1.0, 0.75, 0.5, 0.25]


def test_a_cosine_falls_from_the_rate_towards_zero() -> None:
    expected = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert rates("cosine", 4) == pytest.approx(expected)


def test_a_one_cycle_rises_to_the_rate_in_a_quarter_of_the_steps_and_falls() -> None:
    seen = rates("one-cycle", 40)
    assert int(np.argmax(seen)) == 9
    assert max(seen) == pytest.approx(1.0)
    assert seen[0] == pytest.approx(1 / 25)  # torch's OneCycleLR: div_factor
    assert seen[-1] < 1e-4


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_one_cycle_of_a_few_steps_reaches_the_rate(steps: int) -> None:
    """A folder of photos may make a single batch an epoch."""
    seen = rates("one-cycle", steps)
    assert max(seen) == pytest.approx(1.0)
    assert steps < 3 or (seen[0] < 0.1 and seen[-1] < 1e-4)


def test_the_warmup_is_a_share_of_the_steps() -> None:
    assert int(np.argmax(rates("one-cycle", 40, warmup=0.5))) == 19


def test_a_cosine_may_rise_first() -> None:
    fall = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert rates("cosine", 6, warmup=0.34) == pytest.approx([1 / 3, 2 / 3, *fall])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_cosine_of_a_few_steps_reaches_the_rate(steps: int) -> None:
    assert rates("cosine", steps, warmup=0.99)[-1] == 1.0


def test_groups_keep_the_ratio_of_their_rates() -> None:
    params = OptimizerParams.model_validate(PLAIN | {"schedule": "one-cycle"})
    body, head = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    groups = [{"params": list(body.parameters()), "lr": 0.01}, *group(head)]
    optimizer = build_optimizer(groups, params)
    schedule = build_schedule(optimizer, params, 8)
    for _ in range(7):
        low, high = (each["lr"] for each in optimizer.param_groups)
        assert high / low == pytest.approx(10)
        optimizer.step()
        schedule.step()


def test_filters_and_biases_have_rates_of_their_own() -> None:
    """A step takes 0.1 * 0.5 of the weights, also of biases, whose rate is five times as high."""
    rates = {"muon_learning_rate": 2.0, "bias_learning_rate": 0.5, "weight_decay": 0.5}
    params = OptimizerParams.model_validate(PLAIN | {"optimizer": "muon"} | rates)
    body = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3), torch.nn.Conv2d(4, 4, 3, groups=4))
    model = torch.nn.Sequential(body, torch.nn.Linear(4, 2))
    groups = [{"params": [*body.parameters()], "lr": 0.05}, {"params": [*model[1].parameters()]}]
    found = build_optimizer(divide_groups(groups, model, params), params).param_groups
    shapes = [[tuple(weight.shape) for weight in each["params"]] for each in found]
    assert shapes == [[(4, 4, 3, 3)], [(4,), (4,)], [(4, 1, 3, 3)], [(2,)], [(2, 4)]]
    assert [each["lr"] for each in found] == [1.0, 0.25, 0.05, 0.5, 0.1]
    assert [each["weight_decay"] for each in found] == pytest.approx([0, 0.1, 0.5, 0.1, 0.5])
    assert [each.get("muon_momentum") for each in found] == [0.6, None, None, None, None]


def test_a_recipe_without_such_rates_keeps_its_groups() -> None:
    model = torch.nn.Conv2d(4, 4, 3)
    params = OptimizerParams.model_validate(PLAIN)
    (found,) = divide_groups(group(model), model, params)
    assert found == {"params": list(model.parameters())}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "lion"}, "r.optimizer is 'lion': input should be 'sgd', 'adam', 'adamw'"),
        ({"optimizer": "muon"}, "optimizer muon needs a muon_learning_rate"),
        ({"muon_learning_rate": 0.1}, "muon_learning_rate and muon_momentum are not for sgd"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum and nesterov belong to sgd"),
        ({"nesterov": True}, "nesterov needs a momentum above 0"),
        ({"warmup": 0.1}, "warmup belongs to the schedules cosine and one-cycle"),
        ({"warmup": 1.0, "schedule": "cosine"}, "r.warmup is 1.0: input should be less than 1"),
    ],
)
def test_an_optimiser_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check_section("r", PLAIN | changes, OptimizerParams)
    assert message in str(caught.value)
