"""A recipe's losses are its formulas, and it moves the network it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import DISCRIMINATORS
from TomoRayCore.nets.rt_srts import Segmented
from TomoRayCore.nets.sdct_discriminator import Rebuilt
from TomoRayTraining.config import Config, DataConfig, LossConfig, ModelConfig
from TomoRayTraining.losses import ADVERSARIES, mse_loss, voxel_terms
from TomoRayTraining.perceptual import axial_slices
from TomoRayTraining.recipes import RECIPES, recipe
from TomoRayTraining.recipes.gan import GanRecipe
from TomoRayTraining.recipes.implicit import ImplicitRecipe
from TomoRayTraining.recipes.slices import enlarged, random_window
from TomoRayTraining.recipes.xrecon import base_views


class Constant(nn.Module):
    """A generator that always gives the same volume, its only parameter."""

    def __init__(self, volume: Tensor) -> None:
        super().__init__()
        self.volume = nn.Parameter(volume)

    def forward(self, images: Tensor, view_matrices: Tensor) -> Tensor:
        return self.volume


def batch(size: int = 8) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    target = torch.rand(1, 1, size, size, size, generator=random)
    mask = torch.ones_like(target)
    mask[:, :, :2] = 0
    return {
        "images": torch.rand(1, 2, size, size, generator=random),
        "view_matrices": torch.zeros(1, 2, 3, 4),
        "target": target,
        "mask": mask,
    }


def test_regression_weighs_its_terms():
    config = Config("x", loss=LossConfig(mse=3, l1=5, projection=7))
    data = batch()
    prediction = data["target"].flip(2) + 0.1
    (update,) = RECIPES["regression"](Constant(prediction), config).updates(data)
    terms = voxel_terms(prediction, data["target"], data["mask"])
    assert update.network == "generator"
    assert update.terms.keys() == {"mse", "l1", "projection"}
    expected = 3 * terms["mse"] + 5 * terms["l1"] + 7 * terms["projection"]
    torch.testing.assert_close(update.loss, expected)


class Verdict(nn.Module):
    """A discriminator of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, -0.25]))

    def forward(self, volume: Tensor, images: Tensor) -> Tensor:
        return self.scale[0] * volume.mean() + self.scale[1] * images.mean()


@pytest.fixture
def adversary():
    DISCRIMINATORS["verdict"] = Verdict
    yield
    del DISCRIMINATORS["verdict"]


def test_gan_losses_are_the_published_formulas(adversary):
    loss = LossConfig(mse=10, l1=0, projection=10, adversarial=0.1)
    config = Config("x", model=ModelConfig(discriminator="verdict"), loss=loss)
    data = batch()
    prediction = data["target"].flip(3)
    gan = GanRecipe(Constant(prediction), config)
    updates = gan.updates(data)
    first = next(updates)
    masked = prediction * data["mask"] + data["target"] * (1 - data["mask"])
    logit = 0.5 * masked.mean() - 0.25 * data["images"].mean()
    terms = voxel_terms(prediction, data["target"], data["mask"])
    expected = 0.1 * (logit - 1) ** 2 + 10 * terms["mse"] + 10 * terms["projection"]
    assert first.network == "generator"
    torch.testing.assert_close(first.loss, expected)
    first.loss.backward()
    assert gan.discriminator.scale.grad is None  # the generator's step leaves the adversary alone
    assert gan.generator.volume.grad.abs().sum() > 0
    gan.generator.zero_grad()
    second = next(updates)
    real = 0.5 * data["target"].mean() - 0.25 * data["images"].mean()
    assert second.network == "discriminator"
    torch.testing.assert_close(second.loss, 0.1 * ((real - 1) ** 2 + logit**2))
    second.loss.backward()
    assert gan.discriminator.scale.grad.abs().sum() > 0
    assert gan.generator.volume.grad is None
    assert next(updates, None) is None


def test_adversaries_are_their_formulas():
    logits = torch.tensor([[-1.5, 0.0], [0.25, 3.0]])
    half, full, entropy = (ADVERSARIES[name] for name in ("lsgan-half", "lsgan", "bce"))
    torch.testing.assert_close(full.fool(logits), ((logits - 1) ** 2).mean())
    torch.testing.assert_close(full.reject(logits), (logits**2).mean())
    torch.testing.assert_close(2 * half.accept(logits), full.accept(logits))
    likely = torch.sigmoid(logits)
    torch.testing.assert_close(entropy.accept(logits), -likely.log().mean())
    torch.testing.assert_close(entropy.reject(logits), -(1 - likely).log().mean())


class Field(nn.Module):
    """An implicit generator whose value is a linear function of the place."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([0.1, -0.2, 0.3]))

    def sample(self, images: Tensor, view_matrices: Tensor, points: Tensor) -> Tensor:
        return (points @ self.slope)[:, None]


def test_random_points_are_compared_with_the_volume_at_the_same_places():
    config = Config("x", loss=LossConfig(mse=1, l1=1), data=DataConfig(points=500))
    data = batch(16)
    centres = (torch.arange(16) + 0.5) / 8 - 1
    z, y, x = torch.meshgrid(centres, centres, centres, indexing="ij")
    linear = 0.1 * x - 0.2 * y + 0.3 * z
    data["target"], data["mask"] = linear[None, None], torch.ones(1, 1, 16, 16, 16)
    (update,) = ImplicitRecipe(Field(), config).updates(data)
    # Only the outermost half voxel, where the volume is held constant, may differ.
    assert update.terms["l1"] < 0.005
    data["target"] = linear[None, None].flip(2)
    (update,) = ImplicitRecipe(Field(), config).updates(data)
    assert update.terms["l1"] > 0.1


def test_a_generator_of_whole_volumes_is_no_implicit_one():
    with pytest.raises(InputError, match="single points"):
        ImplicitRecipe(Constant(torch.zeros(1)), Config("x"))


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no recipe 'magic'") as error:
        recipe("magic")
    assert "regression" in error.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"loss": LossConfig(adversarial=0.1)},
        {"model": ModelConfig(discriminator="patch3d")},
    ],
)
def test_a_recipe_refuses_what_it_would_ignore(change):
    config = replace(Config("x"), **change)
    with pytest.raises(InputError) as error:
        RECIPES["regression"](Constant(torch.zeros(1)), config)
    assert error.value.code == "BAD_CONFIG"


class Deep(Constant):
    """A generator that gives its volume and two supervised ones beside it."""

    def forward_all(self, images: Tensor) -> list[Tensor]:
        return [self.volume, self.volume + 0.1, self.volume - 0.3]


def test_duolift_supervises_all_volumes_alike_and_counts_the_region_again(adversary):
    data = batch()
    data["mask"] = torch.ones_like(data["target"])
    data["region"] = (data["target"] > 0.5).float()
    deep = Deep(data["target"] + 0.2)
    errors = torch.tensor([0.2, 0.3, 0.1])
    plain = Config("x", loss=LossConfig(mse=2, l1=3))
    (update,) = RECIPES["duolift-cnn"](deep, plain).updates(data)
    expected = 2 * (errors**2).mean() + 3 * errors.mean()
    torch.testing.assert_close(update.loss, expected)
    loss = LossConfig(mse=1, l1=1, masked_mse=1, masked_l1=1, adversarial=0.01, adversary="bce")
    config = Config(
        "x",
        model=ModelConfig(discriminator="verdict"),
        loss=loss,
        data=DataConfig(region="skull"),
    )
    update = next(RECIPES["duolift-gan"](deep, config).updates(data))
    share = data["region"].mean()
    torch.testing.assert_close(update.terms["masked_mse"], share * (errors**2).mean())
    torch.testing.assert_close(update.terms["masked_l1"], share * errors.mean())
    logit = 0.5 * deep.volume.mean() - 0.25 * data["images"].mean()
    torch.testing.assert_close(update.terms["adversarial"], -torch.sigmoid(logit).log())
    total = sum(update.terms[n] for n in ("mse", "l1", "masked_mse", "masked_l1"))
    torch.testing.assert_close(update.loss, total + 0.01 * update.terms["adversarial"])


def test_masked_losses_without_a_region_are_refused(adversary):
    config = Config("x", model=ModelConfig(discriminator="verdict"), loss=LossConfig(masked_l1=1))
    with pytest.raises(InputError, match="need a region"):
        RECIPES["duolift-gan"](Deep(torch.zeros(1)), config)


class Sliced(Constant):
    """A generator of slices that are those of a volume it holds."""

    def slices(self, images, view_matrices, axis, indices, window) -> Tensor:
        place = ("axial", "coronal", "sagittal").index(axis)
        chosen = self.volume.index_select(2 + place, torch.tensor(indices))
        return enlarged(chosen.movedim(2 + place, 1), window).expand(-1, -1, 3, -1, -1)


@pytest.mark.parametrize("seed", range(4))
def test_slices_are_compared_with_the_same_slices_of_the_target(seed):
    torch.manual_seed(seed)
    data = batch()
    data["mask"] = torch.ones_like(data["target"])
    config = Config(
        "x",
        loss=LossConfig(l1=1, perceptual=0.5, backbone="random"),
        data=DataConfig(slices=3),
    )
    (update,) = RECIPES["slices"](Sliced(data["target"].clone()), config).updates(data)
    assert update.loss.item() < 1e-12
    (update,) = RECIPES["slices"](Sliced(data["target"] + 0.25), config).updates(data)
    torch.testing.assert_close(update.terms["l1"], torch.tensor(0.25))
    assert update.terms["perceptual"].item() > 0
    torch.testing.assert_close(update.loss, update.terms["l1"] + 0.5 * update.terms["perceptual"])


def test_all_three_channels_of_a_slice_are_looked_at():
    """Channels that err in opposite directions err, as in the published loss."""

    class Coloured(Sliced):
        def slices(self, *arguments) -> Tensor:
            error = torch.tensor([0.2, 0.0, -0.2]).view(1, 1, 3, 1, 1)
            return super().slices(*arguments) + error

    data = batch()
    config = Config("x", loss=LossConfig(l1=1, perceptual=1, backbone="random"))
    (update,) = RECIPES["slices"](Coloured(data["target"].clone()), config).updates(data)
    assert update.terms["l1"].item() == pytest.approx(0.4 / 3, rel=1e-4)
    assert update.terms["perceptual"].item() > 1e-6


class Segmenting(Constant):
    """A generator that is 80 % sure of a given region."""

    def segment(self, images: Tensor) -> Segmented:
        inside = 0.2 + 0.6 * self.region
        return Segmented(self.volume, torch.cat([1 - inside, inside], dim=1), self.volume)


def test_segmentation_is_the_cross_entropy_with_the_region():
    data = batch()
    data["region"] = (data["target"] > 0.5).float()
    generator = Segmenting(data["target"] + 0.5)
    generator.region = data["region"]
    config = Config("x", loss=LossConfig(mse=2, segmentation=3), data=DataConfig(region="skull"))
    (update,) = RECIPES["segmented"](generator, config).updates(data)
    expected = 2 * 0.25 - 3 * torch.tensor(0.8).log()
    torch.testing.assert_close(update.loss, expected)


@pytest.mark.parametrize("name", ["duolift-cnn", "slices", "segmented"])
def test_a_recipe_refuses_a_generator_without_its_method(name):
    with pytest.raises(InputError) as error:
        RECIPES[name](Constant(torch.zeros(1)), Config("x", data=DataConfig(region="air")))
    assert error.value.code == "BAD_CONFIG"


def test_xrecon_sees_a_wrong_slab_from_random_directions(adversary):
    """A slab that is too bright by 1 everywhere adds its chord to most rays of two views."""
    config = Config(
        "x",
        model=ModelConfig("x2ct-biplanar", {"output_size": 32}, "verdict"),
        loss=LossConfig(mse=0, l1=0, projection=1, adversarial=0),
        data=DataConfig(spacing_mm=8.0),
    )
    data = batch(32)
    data["mask"] = torch.ones_like(data["target"])
    wrong = torch.zeros_like(data["target"])
    wrong[:, :, 12:20] = 1
    recipe = RECIPES["xrecon"](Constant(data["target"] + wrong), config)
    losses = []
    for seed in range(2):
        torch.manual_seed(seed)
        update = next(recipe.updates(data))
        update.loss.backward()
        losses.append(update.terms["projection"].item())
    assert losses[0] != losses[1]
    # Seen from the front and the side the chord is the edge over a quarter of the shadow's
    # height, from above a quarter of the edge over all of it; the shadow fills 3/4 of the
    # detector's area at most.
    assert all(0.1 < loss < 0.3 for loss in losses)
    assert recipe.generator.volume.grad.abs().sum() > 0


def test_base_views_look_along_three_axes():
    normals = [view.normal for view in base_views(16).views]
    np.testing.assert_allclose(np.abs(normals), np.eye(3)[[1, 0, 2]], atol=1e-12)
    above = base_views(16).views[2]
    assert above.source_lps[2] > 900


class Pair(Constant):
    """Two volumes from two sets of images."""

    def forward_pair(self, images: Tensor, soft_images: Tensor) -> tuple[Tensor, Tensor]:
        return self.volume * images.mean(), self.volume * soft_images.mean()


def dual_branch(**loss) -> Config:
    weights = {"l1": 0, "mse": 10, "projection": 10, "adversarial": 0.1, **loss}
    return Config(
        "x",
        model=ModelConfig(discriminator="verdict"),
        loss=LossConfig(backbone="random", adversary="lsgan-half", **weights),
        data=DataConfig(soft_images=True),
    )


def test_both_branches_are_tied_by_how_their_projections_look(adversary):
    torch.manual_seed(0)
    data = batch(32)
    data["soft_images"] = 0.5 * data["images"]
    pair = Pair(data["target"].clone())
    recipe = RECIPES["dual-branch"](pair, dual_branch(contrastive=1.0, second_branch=2.0))
    update = next(recipe.updates(data))
    first, second = pair.forward_pair(data["images"], data["soft_images"])
    terms = voxel_terms(first, data["target"], data["mask"])
    distance = recipe._perceptual
    shadows = [distance(first.mean(dim=a), second.mean(dim=a)) for a in (2, 3, 4)]
    torch.testing.assert_close(update.terms["contrastive"], sum(shadows) / 3)
    own = mse_loss(second, data["target"], data["mask"])
    expected = (
        10 * (terms["mse"] + terms["projection"])
        + 0.1 * update.terms["adversarial"]
        + update.terms["contrastive"]
        + 2 * own
    )
    torch.testing.assert_close(update.loss, expected)
    data["soft_images"] = data["images"]
    assert next(recipe.updates(data)).terms["contrastive"].item() < 1e-9


def test_without_its_losses_the_second_branch_is_not_run(adversary):
    data = batch(16)
    recipe = RECIPES["dual-branch"](Constant(data["target"] + 0.1), dual_branch())
    update = next(recipe.updates(data))
    assert update.terms.keys() == {"mse", "projection", "adversarial"}
    with pytest.raises(InputError, match="generator of pairs"):
        RECIPES["dual-branch"](Constant(torch.zeros(1)), dual_branch(contrastive=1.0))


class Rebuilding(Verdict):
    """A discriminator whose decoders are off by known amounts."""

    def rebuild(self, volume: Tensor, images: Tensor, octant: int) -> tuple[Tensor, Rebuilt]:
        half = volume[..., ::2, ::2, ::2]
        return self(volume, images), Rebuilt(half + 0.1, half, half - 0.3, half)


def test_sdct_adds_what_the_discriminator_rebuilds(monkeypatch):
    monkeypatch.setitem(DISCRIMINATORS, "rebuilding", Rebuilding)
    loss = LossConfig(
        mse=10,
        l1=0,
        projection=10,
        adversarial=0.1,
        perceptual=0.01,
        self_supervised=10,
        backbone="random",
    )
    config = Config("x", model=ModelConfig(discriminator="rebuilding"), loss=loss)
    torch.manual_seed(2)
    data = batch(32)
    prediction = data["target"].flip(3)
    recipe = RECIPES["sdct"](Constant(prediction), config)
    first, second = recipe.updates(data)
    filled = prediction * data["mask"] + data["target"] * (1 - data["mask"])
    distance = 32 * recipe._perceptual(axial_slices(filled), axial_slices(data["target"]))
    torch.testing.assert_close(first.terms["perceptual"], distance)  # of 32 slices
    torch.testing.assert_close(
        first.loss,
        10 * (first.terms["mse"] + first.terms["projection"])
        + 0.1 * first.terms["adversarial"]
        + 0.01 * distance,
    )
    torch.testing.assert_close(second.terms["self_supervised"], torch.tensor(10 * 0.1))
    half = data["target"][..., ::2, ::2, ::2]
    looks = sum(
        recipe._perceptual(axial_slices(half + shift), axial_slices(half)) for shift in (0.1, -0.3)
    )
    torch.testing.assert_close(second.terms["perceptual"], 0.01 * 16 * looks)
    torch.testing.assert_close(second.loss, sum(second.terms.values()))


class RebuildingAll(Verdict):
    """A discriminator that rebuilds two lifted images and the volume, each off by as much."""

    def rebuild(self, volume: Tensor, images: Tensor, octant: int) -> tuple[Tensor, Rebuilt]:
        rgb = torch.cat([volume.flip(2), volume.flip(3), volume], dim=1)[..., ::2, ::2, ::2]
        return self(volume, images), Rebuilt(rgb * 0.9, rgb, rgb, rgb)


def test_sdcts_backbone_sees_images_and_volume_as_colours(monkeypatch):
    monkeypatch.setitem(DISCRIMINATORS, "rebuilding", RebuildingAll)
    loss = LossConfig(mse=10, l1=0, adversarial=0.1, perceptual=1, backbone="random")
    config = Config("x", model=ModelConfig(discriminator="rebuilding"), loss=loss)
    torch.manual_seed(2)
    data = batch(32)
    recipe = RECIPES["sdct"](Constant(data["target"].clone()), config)
    _, second = recipe.updates(data)
    volume = data["target"]
    colours = [t[..., ::2, ::2, ::2] for t in (volume.flip(2), volume.flip(3), volume)]
    pictures = torch.cat([axial_slices(colour) for colour in colours], dim=1)
    expected = 16 * recipe._perceptual(0.9 * pictures, pictures)
    torch.testing.assert_close(second.terms["perceptual"], expected)


def test_sdct_refuses_a_discriminator_that_rebuilds_nothing(adversary):
    config = Config("x", model=ModelConfig(discriminator="verdict"))
    with pytest.raises(InputError, match="rebuilds nothing"):
        RECIPES["sdct"](Constant(torch.zeros(1)), config)


def test_an_enlarged_square_is_the_part_that_the_window_names():
    centres = (torch.arange(32) + 0.5) / 16 - 1
    down, along = torch.meshgrid(centres, centres, indexing="ij")
    slices = torch.stack([down, along])[None, :, None]  # (1, 2, 1, 32, 32)
    row, column, half = 0.3, -0.25, 0.5
    seen = enlarged(slices, (row, column, half))
    torch.testing.assert_close(seen[0, 0, 0], row + half * down)
    torch.testing.assert_close(seen[0, 1, 0], column + half * along)


def test_windows_are_random_squares_inside_the_slice_in_their_share_of_steps():
    torch.manual_seed(4)
    windows = [random_window(0.5) for _ in range(400)]
    zoomed = [w for w in windows if w != (0.0, 0.0, 1.0)]
    assert 150 < len(zoomed) < 250
    for row, column, half in zoomed:
        assert 0.25 <= half <= 1
        assert max(abs(row), abs(column)) <= 1 - half + 1e-6
    assert {random_window(0.0) for _ in range(20)} == {(0.0, 0.0, 1.0)}


def test_an_enlarged_prediction_is_compared_with_the_enlarged_target():
    data = batch(16)
    data["mask"] = torch.ones_like(data["target"])
    config = Config("x", loss=LossConfig(l1=1), data=DataConfig(slices=3, zoom_share=1.0))
    (update,) = RECIPES["slices"](Sliced(data["target"] + 0.25), config).updates(data)
    torch.testing.assert_close(update.terms["l1"], torch.tensor(0.25))
