import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from tests.conftest import make_image_set
from vision.base.errors import ParamsError, TrainingError
from vision.base.sections import check_section
from vision.models.networks import ModelSpec, build_model
from vision.schema.recipes import TrainParams
from vision.training.loop import (
    Epoch,
    Fit,
    Trainer,
    average_weights,
    find_best,
    fit,
    measure_macro_f1,
)
from vision.training.recipes import LayerPlan, describe_model

TRAIN, VAL = make_image_set(12), make_image_set(4, seed=1)
PLAIN = {"epochs": 2, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1}


def run(**changes: Any) -> tuple[Fit, ModelSpec]:
    params = TrainParams.model_validate(PLAIN | changes)
    spec = describe_model("two-layer-fc", params, TRAIN, hidden_units=16)
    torch.manual_seed(0)
    return fit(build_model(spec), spec, TRAIN, VAL, params, seed=0), spec


def test_a_loss_that_is_finite_until_the_last_step_fails_in_validation() -> None:
    with pytest.raises(TrainingError, match=r"the validation loss is nan in epoch 1: .* 1e\+30"):
        run(epochs=1, batch_size=len(TRAIN), learning_rate=1e30)


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


def test_images_that_the_device_holds_give_equal_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"flip": True, "crop_padding_px": 1, "cutmix": 1.0}
    plain, _ = run(**options)
    monkeypatch.setattr("vision.training.loop.can_hold", lambda *_: True)
    held, _ = run(**options)
    assert held.history == plain.history


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


@pytest.mark.parametrize(("by", "epoch"), [("accuracy", 2), ("macro_f1", 3), ("loss", 1)])
def test_the_best_epoch_is_that_of_the_figure_that_a_recipe_chooses_by(by: str, epoch: int) -> None:
    figures = [(0.1, 0.5, 0.3), (0.2, 0.75, 0.4), (0.3, 0.6, 0.5)]  # loss, accuracy, macro F1
    history = [Epoch(k + 1, 1.0, 1.0, *each) for k, each in enumerate(figures)]
    assert find_best(history, by).epoch == epoch


def test_macro_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 60))
    labels[labels == 3] = 2  # a class that is predicted and not there
    there = np.unique(labels)
    expected = f1_score(labels, predicted, labels=there, average="macro")
    found = measure_macro_f1(torch.from_numpy(predicted), torch.from_numpy(labels))
    assert found == pytest.approx(expected)


def test_macro_f1_stands_in_the_history_where_it_is_chosen_by() -> None:
    result, _ = run(select_by="macro_f1")
    assert all(epoch.val_macro_f1 is not None for epoch in result.history)
    assert run()[0].history[0].val_macro_f1 is None


def test_a_training_that_no_longer_improves_ends() -> None:
    result, _ = run(epochs=20, patience=2)
    assert result.best.val_accuracy == 1.0
    assert len(result.history) == result.best.epoch + 2
    assert len(run(epochs=6)[0].history) == 6


def test_pieces_of_a_batch_give_what_the_batch_does() -> None:
    options = {"label_smoothing": 0.1, "balance": "loss"}
    (whole, _), (pieces, _) = run(**options), run(**options, accumulate=3)
    assert pieces.history[-1].train_loss == pytest.approx(whole.history[-1].train_loss)
    for key, value in whole.last_state.items():
        torch.testing.assert_close(value, pieces.last_state[key])


def test_a_clipped_gradient_moves_the_weights_no_further_than_it_may() -> None:
    options = {"epochs": 1, "batch_size": len(TRAIN)}
    params = TrainParams.model_validate(PLAIN | options)
    spec = describe_model("two-layer-fc", params, TRAIN, hidden_units=16)
    torch.manual_seed(0)
    start = build_model(spec).state_dict()

    def move(**changes: Any) -> float:
        state = run(**options, **changes)[0].last_state
        return sum(float((state[key] - start[key]).square().sum()) for key in start) ** 0.5

    assert move(clip_norm=0.01) == pytest.approx(0.1 * 0.01, rel=1e-3)  # rate times norm
    assert move(clip_norm=1e6) == move() > 0.01


@pytest.mark.parametrize("way", ["loss", "sampling"])
def test_rare_classes_count_as_much_as_common_ones(way: str) -> None:
    few = replace(TRAIN, indices=np.flatnonzero((TRAIN.labels > 0) | (np.arange(36) == 0)))
    params = TrainParams.model_validate(PLAIN | {"balance": way})
    spec = describe_model("two-layer-fc", params, few, hidden_units=16)
    trainer = Trainer(build_model(spec), spec, few, params, 0, LayerPlan())
    labels = torch.from_numpy(few.get_labels())
    if way == "sampling":
        drawn = torch.cat([labels[trainer._draw_order()] for _ in range(40)])
        shares = torch.bincount(drawn) / len(drawn)
        assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.07)
    else:
        sums = trainer.class_weights * torch.bincount(labels)
        assert sums.tolist() == pytest.approx([len(few) / 3] * 3)


def test_mixed_images_are_learnt_and_go_on_bit_for_bit() -> None:
    options = {"mixup": 0.4, "cutmix": 1.0, "epochs": 5}
    result, _ = run(**options)
    assert result.best.val_accuracy == 1.0
    again, _ = run(**options)
    assert again.history == result.history


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


def test_the_loss_in_training_is_that_without_label_smoothing() -> None:
    still = {"epochs": 1, "batch_size": len(TRAIN), "learning_rate": 1e-9}
    (smoothed, _), (plain, _) = run(label_smoothing=0.5, **still), run(**still)
    assert smoothed.history[0].train_loss == plain.history[0].train_loss


def test_batches_larger_than_the_data_are_one_batch() -> None:
    result, _ = run(batch_size=1000, epochs=1)
    assert len(result.history) == 1


def test_bf16_comes_near_fp32() -> None:
    (low, _), (full, _) = run(precision="bf16"), run()
    assert low.history[-1].val_loss == pytest.approx(full.history[-1].val_loss, abs=0.05)
    assert low.last_state["1.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "r.epochs is 0: input should be greater than or equal to 1"),
        ({"test_views_share": 0.25}, "test_views_share needs further views: test_flip or"),
        ({"px_by_epoch": [8, 8, 8]}, "px_by_epoch names 3 sizes for 2 epochs"),
        ({"px_by_epoch": [8, 4]}, "px_by_epoch.1 is 4: input should be greater than or equal to 8"),
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
    from vision.models.inference import predict_logits

    model = build_model(spec)
    mirrored = replace(VAL, images=np.ascontiguousarray(VAL.images[:, :, ::-1]))
    plain = predict_logits(model, spec, VAL, 4, "")
    other = predict_logits(model, spec, mirrored, 4, "")
    both = predict_logits(model, replace(spec, test_flip=True), VAL, 4, "")
    assert np.allclose(both, (plain + other) / 2, atol=1e-6)


def test_shifts_at_test_time_average_three_views() -> None:
    _, spec = run(epochs=1)
    from vision.models.inference import predict_logits

    model = build_model(spec)
    padded = np.pad(VAL.images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    views = [VAL.images, padded[:, 2:, 2:], padded[:, :-2, :-2]]
    expected = [predict_logits(model, spec, replace(VAL, images=each), 4, "") for each in views]
    shifted = predict_logits(model, replace(spec, test_shift_px=1), VAL, 4, "")
    assert np.allclose(shifted, np.mean(expected, axis=0), atol=1e-6)
    assert not np.allclose(shifted, expected[0], atol=1e-3)


def test_unsure_images_alone_are_judged_by_further_views() -> None:
    result, spec = run(epochs=1, test_shift_px=1, test_views_share=0.5)
    from vision.models.inference import predict_logits

    model = build_model(spec)
    model.load_state_dict(result.best_state)
    one = predict_logits(model, replace(spec, test_shift_px=0), VAL, 4, "")
    three = predict_logits(model, spec, VAL, 4, "")
    unsure = torch.from_numpy(one).softmax(1).amax(1).numpy() < result.views_below
    assert unsure.sum() == len(VAL) // 2
    found = predict_logits(model, replace(spec, test_views_below=result.views_below), VAL, 4, "")
    assert np.allclose(found, np.where(unsure[:, None], three, one), atol=1e-6)
    assert not np.allclose(one, three, atol=1e-3)


def test_epochs_are_judged_by_one_view() -> None:
    plain, _ = run()
    several, spec = run(test_flip=True, test_shift_px=1)
    assert (spec.test_flip, spec.test_shift_px) == (True, 1)
    assert several.history == plain.history


def test_an_average_of_weights_is_what_is_judged_and_kept() -> None:
    """With a decay near 1 the average hardly leaves the first step's weights."""
    plain, _ = run(epochs=3)
    slow, _ = run(epochs=3, ema_decay=0.999)
    none, _ = run(epochs=3, ema_decay=1e-9)
    assert slow.history[-1].train_loss == plain.history[-1].train_loss
    assert slow.history[-1].val_loss > plain.history[-1].val_loss
    assert none.history[-1].val_loss == pytest.approx(plain.history[-1].val_loss, rel=1e-5)


def test_an_average_of_weights_follows_its_formula() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = average_weights(model, decay=0.75)
    for weight in (4.0, 8.0, 0.0):  # the first is copied
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(0.75 * (0.75 * 4 + 0.25 * 8) + 0.25 * 0)


def test_each_epoch_sees_the_size_that_it_is_given() -> None:
    sizes: list[int] = []

    class Watching(LayerPlan):
        def set_mode(self, model: torch.nn.Module, epoch: int) -> None:
            model.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))

    params = TrainParams.model_validate(PLAIN | {"px_by_epoch": [16, 24], "batch_size": 36})
    spec = describe_model("resnet18", params, TRAIN)
    fit(build_model(spec), spec, TRAIN, VAL, params, 0, Watching())
    assert sizes == [16, 8, 24, 24, 8, 8]  # a batch and its validation, then with two hooks
