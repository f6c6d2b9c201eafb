import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import make_image_set
from vision.errors import ParamsError, TrainingError
from vision.models import ModelSpec, build_model
from vision.params import check_section
from vision.training import (
    Epoch,
    Fit,
    TrainParams,
    build_optimizer,
    build_schedule,
    describe_model,
    find_best,
    fit,
)

TRAIN, VAL = make_image_set(12), make_image_set(4, seed=1)
PLAIN = {"epochs": 2, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1}


def run(**changes: Any) -> tuple[Fit, ModelSpec]:
    params = TrainParams.model_validate(PLAIN | changes)
    spec = describe_model("two-layer-fc", params, TRAIN, hidden_units=16)
    torch.manual_seed(0)
    return fit(build_model(spec), spec, TRAIN, VAL, params, seed=0), spec


def test_three_colours_are_learnt() -> None:
    result, _ = run(epochs=5)
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4, 5]
    assert result.best.val_accuracy == 1.0
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_equal_seeds_give_equal_weights() -> None:
    options = {"flip": True, "crop_padding_px": 1, "schedule": "one-cycle"}
    (first, _), (second, _) = run(**options), run(**options)
    assert first.history == second.history
    for key, value in first.last_state.items():
        assert torch.equal(value, second.last_state[key])


def test_another_order_of_the_images_gives_other_weights() -> None:
    params = TrainParams.model_validate(PLAIN)
    spec = describe_model("two-layer-fc", params, TRAIN, hidden_units=16)
    states = []
    for seed in (0, 1):
        torch.manual_seed(0)
        states.append(fit(build_model(spec), spec, TRAIN, VAL, params, seed).last_state)
    assert not torch.equal(states[0]["1.weight"], states[1]["1.weight"])


def test_the_best_epoch_is_the_first_of_the_highest_validation_accuracy() -> None:
    accuracies = [0.5, 0.75, 0.6, 0.75]
    history = [Epoch(i + 1, 1.0, 1.0, 1.0, a) for i, a in enumerate(accuracies)]
    assert find_best(history).epoch == 2


def test_the_kept_weights_are_those_of_the_best_epoch() -> None:
    result, spec = run(epochs=4, learning_rate=0.5)
    model = build_model(spec)
    model.load_state_dict(result.best_state)
    images = torch.from_numpy(VAL.images).float() / 255
    x = ((images - torch.tensor(spec.mean)) / torch.tensor(spec.std)).permute(0, 3, 1, 2)
    right = (model(x).argmax(1).numpy() == VAL.labels).mean()
    assert right == pytest.approx(result.best.val_accuracy)


def test_a_loss_that_is_not_finite_ends_training() -> None:
    with pytest.raises(TrainingError, match="lower learning_rate 1e\\+30"):
        run(learning_rate=1e30, epochs=3)


def test_the_first_loss_of_an_untrained_network_is_that_of_guessing() -> None:
    result, _ = run(epochs=1, learning_rate=1e-9)
    assert result.history[0].train_loss == pytest.approx(math.log(3), abs=0.4)


def test_batches_larger_than_the_data_are_one_batch() -> None:
    result, _ = run(batch_size=1000, epochs=1)
    assert len(result.history) == 1


def test_bf16_comes_near_fp32() -> None:
    (low, _), (full, _) = run(precision="bf16"), run()
    assert low.history[-1].val_loss == pytest.approx(full.history[-1].val_loss, abs=0.05)
    assert low.last_state["1.weight"].dtype == torch.float32


def test_sgd_takes_the_step_of_its_formula() -> None:
    params = TrainParams.model_validate(PLAIN | {"learning_rate": 0.5, "weight_decay": 0.1})
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model.weight.grad = torch.full((1, 1), 3.0)
    build_optimizer(model, params).step()
    assert model.weight.item() == pytest.approx(2.0 - 0.5 * (3.0 + 0.1 * 2.0))


def rates(schedule: str, steps: int) -> list[float]:
    params = TrainParams.model_validate(PLAIN | {"schedule": schedule, "learning_rate": 1.0})
    optimizer = build_optimizer(torch.nn.Linear(1, 1), params)
    scheduler = build_schedule(optimizer, params, steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_a_constant_rate_stays() -> None:
    assert rates("constant", 4) == [1.0] * 4


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "lion"}, "r.optimizer is 'lion': input should be 'sgd', 'adam' or 'adamw'"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum and nesterov belong to sgd"),
        ({"nesterov": True}, "nesterov needs a momentum above 0"),
        ({"epochs": 0}, "r.epochs is 0: input should be greater than or equal to 1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check_section("r", PLAIN | changes, TrainParams)
    assert message in str(caught.value)


def test_a_recipe_without_an_input_size_sees_images_as_stored() -> None:
    params = TrainParams.model_validate(PLAIN)
    assert describe_model("resnet18", params, TRAIN).input_px == 8
    larger = TrainParams.model_validate(PLAIN | {"input_px": 16})
    assert describe_model("resnet18", larger, TRAIN).input_px == 16


def test_the_flip_at_test_time_averages_both_views() -> None:
    _, spec = run(epochs=1)
    from vision.inference import predict_logits

    model = build_model(spec)
    mirrored = replace(VAL, images=np.ascontiguousarray(VAL.images[:, :, ::-1]))
    plain = predict_logits(model, spec, VAL, 4, "")
    other = predict_logits(model, spec, mirrored, 4, "")
    both = predict_logits(model, replace(spec, test_flip=True), VAL, 4, "")
    assert np.allclose(both, (plain + other) / 2, atol=1e-6)
