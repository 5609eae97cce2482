"""Diffusion against closed forms, and the denoiser of bone suppression."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import TRANSLATORS, build, parameter_count
from TomoRayCore.nets.bone_suppression import BoneSuppression
from TomoRayCore.nets.diffusion import (
    NoiseSchedule,
    cosine_schedule,
    denoising_loss,
    sample_ddim,
    sample_ddpm,
    sample_released,
)
from TomoRayCore.nets.diffusion_unet import DenoisingUNet

SMALL = {
    "width": 0.0625,
    "channels": [64, 128, 256],
    "residual_blocks": 1,
    "attention": [False, True, True],
}


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def films(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed))


@cache
def small() -> BoneSuppression:
    torch.manual_seed(5)
    return build("bone-suppression", {**SMALL, "sampling_steps": 4}, TRANSLATORS).eval()


class Oracle:
    """The exact denoiser of images that are independent normal pixels (mean, spread)."""

    def __init__(self, mean: Tensor, spread: float, schedule: NoiseSchedule) -> None:
        self.mean, self.spread, self.schedule = mean, spread, schedule

    def __call__(self, noisy: Tensor, condition: Tensor, time: Tensor, view: Tensor) -> Tensor:
        kept = self.schedule.kept[time].view(-1, 1, 1, 1)
        variance = kept * self.spread**2 + 1 - kept
        return (1 - kept).sqrt() * (noisy - kept.sqrt() * self.mean) / variance


# -------------------------------------------------------------------------------------- schedule


@pytest.mark.parametrize("steps", [10, 1000])
def test_the_cosine_schedule_is_the_published_formula_up_to_its_cap(steps):
    def level(t: int) -> float:
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    kept = cosine_schedule(steps).kept
    assert len(kept) == steps
    for t in (0, steps // 3, steps - 2):
        assert kept[t] == pytest.approx(level(t + 1) / level(0), rel=1e-9)
    assert kept[-1] == pytest.approx(kept[-2].item() * 0.001, rel=1e-9)


def test_noise_keeps_unit_variance_at_every_step():
    schedule = cosine_schedule(100)
    image, noise = torch.randn(2, 100, 1, 40, 40, generator=seeded())
    noisy = schedule.add_noise(image, noise, torch.arange(100))
    assert torch.allclose(noisy.var(dim=(1, 2, 3)), torch.ones(100), atol=0.15)
    assert torch.corrcoef(torch.stack([noisy[0].flatten(), image[0].flatten()]))[0, 1] > 0.99
    assert torch.corrcoef(torch.stack([noisy[-1].flatten(), noise[-1].flatten()]))[0, 1] > 0.99


def test_the_clean_image_comes_back_from_its_noise():
    schedule = cosine_schedule(50)
    image, noise = 2 * films(1, 1, 4, 4).double() - 1, torch.randn(1, 1, 4, 4).double()
    for step in (0, 20, 48):
        noisy = schedule.add_noise(image, noise, torch.tensor([step]))
        assert torch.allclose(schedule.clean_image(noisy, noise, step), image, atol=1e-8)
        assert torch.allclose(schedule.noise_of(noisy, image, step), noise, atol=1e-8)


# ------------------------------------------------------------------------------------------ loss


def test_the_loss_of_a_denoiser_that_says_zero_is_the_variance_of_the_noise():
    loss = denoising_loss(
        lambda noisy, *_: torch.zeros_like(noisy), films(8, 1, 64, 64), films(8, 1, 64, 64),
        torch.zeros(8, dtype=torch.long), cosine_schedule(), seeded(),
    )  # fmt: skip
    assert float(loss) == pytest.approx(1.0, abs=0.02)


def test_the_loss_of_the_exact_denoiser_is_what_cannot_be_known():
    """Of noise seen through normal images: its variance given the noisy image."""
    schedule = NoiseSchedule(torch.tensor([0.5], dtype=torch.float64))
    target = 0.4 * torch.randn(16, 1, 64, 64, generator=seeded(2)).double()
    loss = denoising_loss(
        Oracle(torch.zeros(1), 0.4, schedule), target, target,
        torch.zeros(16, dtype=torch.long), schedule, seeded(),
    )  # fmt: skip
    assert float(loss) == pytest.approx(0.5 * 0.16 / (0.5 * 0.16 + 0.5), rel=0.03)


def seen_by_the_denoiser(scheme: str) -> dict[str, Tensor]:
    seen = {}

    def denoiser(noisy: Tensor, condition: Tensor, time: Tensor, view: Tensor) -> Tensor:
        seen.update(noisy=noisy, condition=condition, time=time, view=view)
        return torch.zeros_like(noisy)

    denoising_loss(
        denoiser, films(4, 1, 8, 8), films(4, 1, 8, 8, seed=2), torch.tensor([0, 1, 0, 1]),
        cosine_schedule(), seeded(), scheme,
    )  # fmt: skip
    return seen


def test_the_paper_shows_the_clean_radiograph_and_the_released_code_a_noisy_one():
    condition = films(4, 1, 8, 8, seed=2)
    assert torch.equal(seen_by_the_denoiser("paper")["condition"], condition)
    released = seen_by_the_denoiser("released")
    assert not torch.allclose(released["condition"], condition, atol=0.1)
    # Its noise has the image's step, but is not the image's noise.
    kept = cosine_schedule().kept[released["time"]].view(-1, 1, 1, 1)
    of_condition = (released["condition"] - kept.sqrt() * condition) / (1 - kept).sqrt()
    of_image = (released["noisy"] - kept.sqrt() * films(4, 1, 8, 8)) / (1 - kept).sqrt()
    assert of_condition.std() == pytest.approx(1.0, abs=0.15)
    assert (
        abs(torch.corrcoef(torch.stack([of_condition.flatten(), of_image.flatten()]))[0, 1]) < 0.2
    )


def test_the_released_gradient_is_the_plain_one_times_the_loss():
    def gradient(scheme: str, condition: Tensor) -> tuple[float, float]:
        bias = torch.tensor(0.3, requires_grad=True)
        loss = denoising_loss(
            lambda noisy, *_: bias * noisy, films(2, 1, 8, 8), condition,
            torch.zeros(2, dtype=torch.long), cosine_schedule(), seeded(), scheme,
        )  # fmt: skip
        loss.backward()
        return loss.item(), bias.grad.item()

    plain, slope = gradient("paper", films(2, 1, 8, 8))
    squared, scaled = gradient("released", films(2, 1, 8, 8))
    assert squared == pytest.approx(plain**2, rel=1e-5)
    assert scaled == pytest.approx(plain * slope, rel=1e-5)


# -------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_ddim_finds_a_certain_image_in_any_number_of_steps(steps):
    schedule = cosine_schedule(50)
    image = (1.8 * films(1, 1, 6, 6) - 0.9).double()
    condition, view = torch.zeros(2, 1, 6, 6).double(), torch.zeros(2, dtype=torch.long)
    found = sample_ddim(Oracle(image, 0.0, schedule), condition, view, schedule, steps)
    assert torch.allclose(found, image.expand(2, -1, -1, -1), atol=1e-6)


def test_ddpm_finds_a_certain_image():
    schedule = cosine_schedule(50)
    image = (1.8 * films(1, 1, 6, 6) - 0.9).double()
    condition, view = torch.zeros(1, 1, 6, 6).double(), torch.zeros(1, dtype=torch.long)
    found = sample_ddpm(Oracle(image, 0.0, schedule), condition, view, schedule)
    assert torch.allclose(found, image, atol=1e-6)


def test_the_released_code_goes_on_with_the_clean_image_of_each_step():
    schedule, seen = cosine_schedule(6), []
    oracle = Oracle(torch.tensor(0.1, dtype=torch.float64), 0.3, schedule)

    def denoiser(noisy: Tensor, condition: Tensor, time: Tensor, view: Tensor) -> Tensor:
        seen.append(noisy)
        return oracle(noisy, condition, time, view)

    condition, view = torch.zeros(1, 1, 8, 8).double(), torch.zeros(1, dtype=torch.long)
    found = sample_released(denoiser, condition, view, schedule, steps=6)
    for number, (before, after) in enumerate(zip(seen, [*seen[1:], found], strict=True)):
        step = 5 - number
        noise = oracle(before, condition, torch.tensor([step]), view)
        kept = schedule.kept[step]
        clean = (before - (1 - kept).sqrt() * noise) / kept.sqrt()
        assert torch.allclose(after, clean.clamp(-1, 1), atol=1e-9)
    assert len(seen) == 6


def test_a_network_samples_by_its_scheme():
    torch.manual_seed(9)
    paper = BoneSuppression(**SMALL, steps=8, sampling_steps=3)
    released = BoneSuppression(**SMALL, steps=8, sampling_steps=3, scheme="released")
    released.load_state_dict(paper.state_dict())
    shown, view = films(1, 2, 16, 16), torch.tensor([0, 1])
    signed = 2 * shown.reshape(2, 1, 16, 16) - 1
    with torch.no_grad():
        for net, sample in ((paper, sample_ddim), (released, sample_released)):
            expected = sample(net.denoiser, signed, view, net.schedule, 3, 0)
            assert torch.equal(net(shown), (expected.reshape(shown.shape) + 1) / 2)
    assert not torch.allclose(paper(shown), released(shown), atol=1e-3)


@pytest.mark.parametrize("sample", [sample_ddim, sample_ddpm])
def test_samples_of_normal_images_have_their_mean_and_spread(sample):
    schedule = cosine_schedule(300)
    oracle = Oracle(torch.tensor(0.2, dtype=torch.float64), 0.15, schedule)
    condition, view = torch.zeros(1, 1, 100, 100).double(), torch.zeros(1, dtype=torch.long)
    extra = {"steps": 300} if sample is sample_ddim else {}
    found = sample(oracle, condition, view, schedule, **extra)
    assert float(found.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(found.std()) == pytest.approx(0.15, rel=0.05)


@pytest.mark.parametrize("sample", [sample_ddim, sample_ddpm])
def test_a_seed_gives_the_same_image_and_another_seed_another(sample):
    schedule = cosine_schedule(20)
    oracle = Oracle(torch.zeros(1), 0.3, schedule)
    condition, view = torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.long)
    extra = {"steps": 20} if sample is sample_ddim else {}
    once, again = (sample(oracle, condition, view, schedule, seed=3, **extra) for _ in range(2))
    other = sample(oracle, condition, view, schedule, seed=4, **extra)
    assert torch.equal(once, again)
    assert not torch.allclose(once, other, atol=0.01)


@pytest.mark.parametrize(("sample", "expected"), [(sample_ddim, 5), (sample_ddpm, 20)])
def test_every_evaluation_of_the_denoiser_is_reported(sample, expected):
    schedule, told, asked = cosine_schedule(20), [], []

    def denoiser(noisy: Tensor, condition: Tensor, time: Tensor, view: Tensor) -> Tensor:
        asked.append(int(time[0]))
        return noisy

    extra = {"steps": 5} if sample is sample_ddim else {}
    condition, view = torch.zeros(1, 1, 4, 4), torch.zeros(1, dtype=torch.long)
    sample(denoiser, condition, view, schedule, report=lambda *n: told.append(n), **extra)
    assert told == [(n + 1, expected) for n in range(expected)]
    assert asked[0] == 19
    assert asked[-1] == 0
    assert asked == sorted(asked, reverse=True)
    assert len(asked) == expected


# -------------------------------------------------------------------------------------- denoiser


def test_the_denoiser_has_the_published_levels():
    with torch.device("meta"):
        net = DenoisingUNet()
    assert parameter_count(net) == 220_237_697
    levels = [64, 128, 256, 512, 768]
    widths = [step.before[2].out_channels for step in net.down if hasattr(step, "before")]
    assert widths == [c for c in levels for _ in range(3)]
    attending = [
        step.before[2].out_channels
        for step in net.down
        if hasattr(step, "attention") and not isinstance(step.attention, nn.Identity)
    ]
    assert attending == [c for c in levels[1:] for _ in range(3)]
    assert sum(hasattr(layer, "before") for layer in net.up) == 5 * 4


def test_the_denoiser_uses_noise_radiograph_time_and_view():
    net = small().denoiser
    usual = [films(1, 1, 16, 16), films(1, 1, 16, 16, seed=2), torch.tensor([3]), torch.tensor([0])]
    others = [films(1, 1, 16, 16, seed=3)] * 2 + [torch.tensor([700]), torch.tensor([1])]
    with torch.no_grad():
        expected = net(*usual)
        assert expected.shape == (1, 1, 16, 16)
        for place, other in enumerate(others):
            changed = [other if n == place else given for n, given in enumerate(usual)]
            assert (net(*changed) - expected).abs().max() > 1e-4


def test_steps_and_views_belong_to_their_samples():
    net = small().denoiser
    noisy, condition = films(2, 1, 16, 24), films(2, 1, 16, 24, seed=2)
    time, view = torch.tensor([10, 900]), torch.tensor([1, 0])
    with torch.no_grad():
        together = net(noisy, condition, time, view)
        alone = net(noisy[1:], condition[1:], time[1:], view[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5)


def test_a_gradient_of_the_loss_reaches_every_weight():
    torch.manual_seed(6)
    net = BoneSuppression(**SMALL)
    net.loss(films(1, 2, 16, 16), films(1, 2, 16, 16, seed=2), seeded()).backward()
    assert all(p.grad.any() for name, p in net.named_parameters() if name.endswith("weight"))


def test_training_lowers_the_loss_of_one_pair():
    torch.manual_seed(7)
    net = BoneSuppression(**SMALL, steps=10, sampling_steps=1)
    pair = films(1, 2, 16, 16), films(1, 2, 16, 16, seed=2)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(12):
        optimiser.zero_grad()
        loss = net.loss(*pair, seeded(step % 2))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


# ----------------------------------------------------------------------------------- suppression


def test_suppression_is_the_same_each_time_and_stays_in_range():
    once, again = small()(films(2, 2, 16, 16)), small().suppress(films(2, 2, 16, 16))
    assert once.shape == (2, 2, 16, 16)
    assert torch.equal(once, again)
    assert once.min() >= 0
    assert once.max() <= 1
    assert not torch.equal(once, small().suppress(films(2, 2, 16, 16), seed=1))
    assert not torch.equal(once, small().suppress(films(2, 2, 16, 16), sampling_steps=2))


def test_each_film_is_treated_as_its_view():
    """Every sample of a batch has frontal first, whatever the denoiser's batch looks like."""
    net, seen = BoneSuppression(**SMALL, sampling_steps=1), []

    class Listener(nn.Module):
        def forward(self, noisy: Tensor, film: Tensor, time: Tensor, view: Tensor) -> Tensor:
            seen.extend(zip(view.tolist(), film.mean(dim=(1, 2, 3)).tolist(), strict=True))
            return noisy

    net.denoiser = Listener()
    shade = torch.tensor([[0.1, 0.2], [0.3, 0.4]])[..., None, None].expand(2, 2, 8, 8)
    net(shade)
    assert [view for view, _ in seen] == [0, 1, 0, 1]
    assert [mean for _, mean in seen] == pytest.approx([-0.8, -0.6, -0.4, -0.2])


def test_weights_return_through_a_state_dictionary():
    torch.manual_seed(8)
    other = build("bone-suppression", {**SMALL, "sampling_steps": 4}, TRANSLATORS).eval()
    assert not torch.equal(other(films(1, 2, 16, 16)), small()(films(1, 2, 16, 16)))
    other.load_state_dict(small().state_dict())
    assert torch.equal(other(films(1, 2, 16, 16)), small()(films(1, 2, 16, 16)))


def test_half_precision_stays_near():
    given = (films(1, 1, 16, 16), films(1, 1, 16, 16, seed=2), torch.tensor([3]), torch.tensor([0]))
    with torch.no_grad():
        full = small().denoiser(*given)
        with torch.autocast("cpu", torch.bfloat16):
            half = small().denoiser(*given)
    assert (half.float() - full).abs().mean() < 0.1 * full.std()


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"width": 0}, "ARCHITECTURE_ARGUMENTS"),
        ({"attention": [True]}, "ARCHITECTURE_ARGUMENTS"),
        ({"residual_blocks": 0}, "ARCHITECTURE_ARGUMENTS"),
        ({"steps": 1}, "ARCHITECTURE_ARGUMENTS"),
        ({"sampling_steps": 1001}, "ARCHITECTURE_ARGUMENTS"),
        ({"scheme": "mine"}, "BAD_CONFIG"),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(wrong, code):
    with pytest.raises(InputError) as caught:
        build("bone-suppression", {**SMALL, **wrong}, TRANSLATORS)
    assert caught.value.code == code


def test_impossible_images_and_steps_are_refused():
    for shape in [(2, 16, 16), (1, 3, 16, 16), (1, 2, 18, 16)]:
        with pytest.raises(InputError) as caught:
            small()(torch.zeros(shape))
        assert caught.value.code == "BAD_SHAPE"
    with pytest.raises(InputError) as caught:
        small().suppress(films(1, 2, 16, 16), sampling_steps=0)
    assert caught.value.code == "BAD_CONFIG"
    with pytest.raises(ValueError, match="less of the image"):
        NoiseSchedule(torch.tensor([0.1, 0.2]))
