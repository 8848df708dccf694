"""Maps lie on the scene's grid and equal those of the whole image, and an interrupted prediction resumes."""

from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from scipy.special import entr, expit
from torch.nn import functional

from ml.checkpoint_header import CheckpointHeader
from ml.config import NetConfig, PredictConfig, TrainConfig
from ml.contract import Homogenise, Method
from ml.data import SceneFile
from ml.faults import InputRefused
from ml.geo.windows import Window
from ml.nn.checkpoint import load_checkpoint, save_checkpoint
from ml.nn.normalise import normalise
from ml.nn.prediction.predict import UnlikeParts, computed_here, finish, predict, predict_rows
from ml.nn.unet import UNet, class_index, probability_byte
from ml.progress import Progress, Stopped, Watch
from ml.provenance import signature, software
from ml.radiometry.measure import measure, reference_of
from ml.scenes.source import RasterSource
from tests.ml.nn.conftest import contract_of, fields, write_tiff

CONFIG = PredictConfig(device="cpu")
ROWS, COLS = 350, 135


@pytest.fixture
def scene(tmp_path: Path) -> SceneFile:
    image, _ = fields(5, ROWS, COLS)
    image[:, 20:70, 30:140] = 0
    return SceneFile(name="s", path=write_tiff(tmp_path / "scene.tif", image), nodata=0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint of an untrained net, with BatchNorm statistics and a bias that make both classes frequent."""
    torch.manual_seed(3)
    net = UNet(bands=2, depth=2, width=4)
    with torch.no_grad():
        for _ in range(5):
            net(torch.randn(2, 2, 64, 64))
        net.head.weight *= 5
        net.head.bias -= net.eval()(torch.randn(1, 2, 64, 64)).median()
    contract = contract_of(fields(5, ROWS, COLS)[0], nodata=0)
    header = CheckpointHeader(contract=contract, config=TrainConfig(net=NetConfig(depth=2, width=4)), best_epoch=1)
    save_checkpoint(tmp_path / "model.safetensors", net.state_dict(), header)
    return tmp_path / "model.safetensors"


def whole_image_logits(model: Path, scene: SceneFile) -> tuple[np.ndarray, np.ndarray]:
    """Compute the logits and the validity of the whole scene in one piece, both (rows, cols)."""
    net, header = load_checkpoint(model)
    with RasterSource(scene.path, scene.nodata) as source:
        image, valid = source.read(Window(0, 0, source.rows, source.cols))
    pixels = normalise(torch.from_numpy(image)[None], torch.from_numpy(valid)[None], header.contract.statistics)
    with torch.no_grad():
        logits = net(functional.pad(pixels, (0, -COLS % 4, 0, -ROWS % 4)))
    return logits[0, 0, :ROWS, :COLS].numpy(), valid


def stop_at(row: int) -> Watch:
    def watch(progress: Progress) -> None:
        if progress.stage == "predict" and progress.done >= row:
            raise Stopped

    return watch


def pixels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        pixels: np.ndarray = file.read(1)
    return pixels


def test_the_maps_equal_the_prediction_of_the_whole_image(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    result = predict(model, scene, tmp_path / "out", CONFIG)
    classes, probability = (pixels_of(result.files[name]) for name in ("classes.tif", "probability.tif"))
    logits, valid = whole_image_logits(model, scene)
    certain = valid & (np.abs(logits) > 1e-4)
    assert 0.2 < (logits[valid] > 0).mean() < 0.8, "both classes occur"
    assert (classes[certain] == (logits[certain] > 0)).all()
    assert (classes[~valid] == 255).all()
    assert (probability[~valid] == 255).all()
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert np.abs((probability[valid] + 0.5) / 250 - p[valid]).max() < 0.5 / 250 + 1e-4
    assert ((probability[valid] >= 125) == (classes[valid] == 1)).all()


def test_the_maps_lie_on_the_scenes_grid(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    result = predict(model, scene, tmp_path / "out", CONFIG)
    with rasterio.open(scene.path) as source:
        for name in ("classes.tif", "probability.tif"):
            with rasterio.open(result.files[name]) as map_:
                assert (map_.crs, map_.transform, map_.shape) == (source.crs, source.transform, source.shape)
                assert map_.nodata == 255
                assert map_.dtypes == ("uint8",)
                assert map_.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_areas_in_hectares_agree_with_the_numbers_of_pixels(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    result = predict(model, scene, tmp_path / "out", CONFIG)
    classes = pixels_of(result.files["classes.tif"])
    for value in (0, 1):
        assert result.area_ha[value] == pytest.approx(np.count_nonzero(classes == value) * 0.01, rel=2e-3)
    assert result.observed_ha == pytest.approx(sum(result.area_ha.values()))
    assert result.unobserved_ha == pytest.approx(np.count_nonzero(classes == 255) * 0.01, rel=2e-3)


def test_a_higher_threshold_maps_fewer_pixels(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"threshold": 0.8})
    result = predict(model, scene, tmp_path / "out", config)
    classes, probability = (pixels_of(result.files[name]) for name in ("classes.tif", "probability.tif"))
    valid = classes != 255
    assert ((probability >= 200) == (classes == 1))[valid].all()


def test_the_width_of_the_stripes_has_no_influence(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    one, other = (
        predict(model, scene, tmp_path / str(px), CONFIG.model_copy(update={"stripe_px": px})) for px in (64, 512)
    )
    assert (pixels_of(one.files["classes.tif"]) == pixels_of(other.files["classes.tif"])).mean() > 0.9999


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Give PyTorch two threads, as on a machine with two cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_two_processes_share_a_wide_scene(two_threads: None, model: Path, tmp_path: Path) -> None:
    image, _ = fields(5, 300, 2 * 8 * 24)
    scene = SceneFile(name="s", path=write_tiff(tmp_path / "wide.tif", image), nodata=0)
    shared = predict(model, scene, tmp_path / "shared", CONFIG)
    with pytest.raises(Stopped):
        predict(model, scene, tmp_path / "resumed", CONFIG, stop_at(128))
    assert not active_children()
    resumed = predict(model, scene, tmp_path / "resumed", CONFIG)
    torch.set_num_threads(1)
    alone = predict(model, scene, tmp_path / "alone", CONFIG)
    assert resumed.files["probability.tif"].read_bytes() == shared.files["probability.tif"].read_bytes()
    one, other = (pixels_of(each.files["probability.tif"]).astype(int) for each in (shared, alone))
    assert np.abs(one - other).max() <= 1


def test_a_model_is_used_with_the_views_that_it_was_scored_with(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    net, header = load_checkpoint(model)
    header = header.model_copy(update={"config": header.config.model_copy(update={"views": 8})})
    save_checkpoint(tmp_path / "eight.safetensors", net.state_dict(), header)
    by_model = predict(tmp_path / "eight.safetensors", scene, tmp_path / "by_model", CONFIG)
    chosen = predict(model, scene, tmp_path / "chosen", CONFIG.model_copy(update={"views": 8}))
    one = predict(tmp_path / "eight.safetensors", scene, tmp_path / "one", CONFIG.model_copy(update={"views": 1}))
    assert by_model.software["views"] == "8"
    assert by_model.software == chosen.software == one.software | {"views": "8"}
    maps = [pixels_of(result.files["probability.tif"]) for result in (by_model, chosen, one)]
    assert (maps[0] == maps[1]).all()
    assert (maps[0] != maps[2]).any()


def test_a_stopped_prediction_resumes_after_its_finished_rows(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    undisturbed = predict(model, scene, tmp_path / "undisturbed", CONFIG)
    with pytest.raises(Stopped):
        predict(model, scene, tmp_path / "out", CONFIG, stop_at(128))
    reported: list[Progress] = []
    resumed = predict(model, scene, tmp_path / "out", CONFIG, reported.append)
    done = [progress.done for progress in reported if progress.stage == "predict"]
    assert done[0] > 128, "finished rows are not computed again"
    assert done[-1] == ROWS
    assert resumed.area_ha == undisturbed.area_ha
    for name, path in undisturbed.files.items():
        if path.suffix == ".tif":
            assert (pixels_of(path) == pixels_of(resumed.files[name])).all()


def test_a_map_names_the_software_that_computed_it(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    by_torch = predict(model, scene, tmp_path / "torch", PredictConfig(device="cpu", engine="torch")).software
    assert by_torch["engine"].startswith(f"torch {torch.__version__}")
    assert (by_torch["precision"], by_torch["device"]) == ("float32", "cpu")
    assert by_torch["threads"] == str(torch.get_num_threads())
    assert software().items() <= by_torch.items()
    coarse = PredictConfig(device="cpu", precision="bfloat16")
    assert predict(model, scene, tmp_path / "coarse", coarse).software == {**by_torch, "precision": "bfloat16"}


def test_the_uncertainty_is_the_entropy_of_the_probability(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    net, header = load_checkpoint(model)
    for weights in net.head.parameters():
        weights.mul_(30)  # some pixels are certain then
    save_checkpoint(model, net.state_dict(), header)
    config = CONFIG.model_copy(update={"outputs": ("uncertainty", "tiles")})
    result = predict(model, scene, tmp_path / "out", config)
    assert set(result.files) == {"uncertainty.tif", "web.tif", "uncertainty-web.tif"}
    found = pixels_of(result.files["uncertainty.tif"])
    logits, valid = whole_image_logits(model, scene)
    wide = logits[valid].astype(np.float64)
    entropy = (entr(expit(wide)) + entr(expit(-wide))) / np.log(2)
    assert np.abs((found[valid] + 0.5) / 250 - entropy).max() < 0.5 / 250 + 2e-3
    assert (found[~valid] == 255).all()
    assert np.ptp(found[valid]) > 100
    with rasterio.open(result.files["uncertainty.tif"]) as map_:
        assert (map_.scales, map_.offsets, map_.nodata) == ((0.004,), (0.002,), 255)
    bare = predict(model, scene, tmp_path / "bare", CONFIG.model_copy(update={"outputs": ("uncertainty",)}))
    assert {path.name for path in (tmp_path / "bare").iterdir()} == {"uncertainty.tif"} == set(bare.files)


@pytest.mark.parametrize(
    ("cuts", "changes"),
    [
        ((64, 192), {}),
        ((100, 101, 349), {"views": 8}),
        ((), {}),
        ((64, 192), {"outputs": ("classes", "uncertainty", "tiles")}),
    ],
    ids=str,
)
def test_a_map_in_parts_equals_the_map_in_one_piece(
    model: Path, scene: SceneFile, tmp_path: Path, cuts: tuple[int, ...], changes: dict[str, object]
) -> None:
    config = CONFIG.model_copy(update=changes)
    whole = predict(model, scene, tmp_path / "whole", config)
    edges = (0, *cuts, ROWS)
    reported: list[Progress] = []
    parts = [
        predict_rows(model, scene, tmp_path / str(number), config, range(*edges[number : number + 2]), reported.append)
        for number in range(len(edges) - 1)
    ]
    assert [progress.done for progress in reported if progress.done == progress.total] == np.diff(edges).tolist()
    (tmp_path / "out").mkdir()
    made = finish(parts, model, scene, tmp_path / "out", config)
    assert made.area_ha == whole.area_ha
    assert made.software == whole.software
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(whole.files)
    for name, path in whole.files.items():
        assert path.suffix == ".gpkg" or path.read_bytes() == made.files[name].read_bytes(), name


def test_a_stopped_part_resumes_after_its_finished_rows(model: Path, tmp_path: Path) -> None:
    scene = SceneFile(name="tall", path=write_tiff(tmp_path / "tall.tif", fields(5, 700, COLS)[0]), nodata=0)
    rows = range(90, 650)
    with pytest.raises(Stopped):
        predict_rows(model, scene, tmp_path / "out", CONFIG, rows, stop_at(100))
    reported: list[Progress] = []
    resumed = predict_rows(model, scene, tmp_path / "out", CONFIG, rows, reported.append)
    assert reported[0].done > 100
    undisturbed = predict_rows(model, scene, tmp_path / "undisturbed", CONFIG, rows)
    assert resumed.path.read_bytes() == undisturbed.path.read_bytes()


def test_a_missing_part_is_an_error(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    part = predict_rows(model, scene, tmp_path, CONFIG, range(100))
    with pytest.raises(ValueError, match="have 100 rows, the scene has 350"):
        finish([part], model, scene, tmp_path, CONFIG)


def test_parts_that_were_computed_in_unlike_ways_are_not_joined(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    coarse = CONFIG.model_copy(update={"precision": "bfloat16"})
    parts = [
        predict_rows(model, scene, tmp_path / str(rows.start), config, rows)
        for rows, config in ((range(100), CONFIG), (range(100, ROWS), coarse))
    ]
    with pytest.raises(UnlikeParts):
        finish(parts, model, scene, tmp_path, CONFIG)
    assert signature(computed_here(model, COLS, CONFIG)) == parts[0].signature
    assert signature(computed_here(model, COLS, coarse)) == parts[1].signature


@pytest.mark.parametrize(
    "changes", [{"threshold": 0.9}, {"views": 8}, {"precision": "bfloat16"}, {"outputs": ("uncertainty",)}], ids=str
)
def test_strips_of_another_prediction_are_not_used_for_this_one(
    model: Path, scene: SceneFile, tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(Stopped):
        predict(model, scene, tmp_path / "out", CONFIG, stop_at(128))
    reported: list[Progress] = []
    predict(model, scene, tmp_path / "out", CONFIG.model_copy(update=changes), reported.append)
    assert reported[0].done == 128


def test_only_the_requested_files_are_left(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    result = predict(model, scene, tmp_path / "few", CONFIG.model_copy(update={"outputs": ("probability",)}))
    assert {path.name for path in (tmp_path / "few").iterdir()} == {"probability.tif"} == set(result.files)
    assert set(result.area_ha) == {0, 1}
    result = predict(model, scene, tmp_path / "all", CONFIG)
    names = {"classes.tif", "classes.qml", "probability.tif", "polygons.geojson", "polygons.gpkg", "web.tif"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == names == set(result.files)


def test_a_scene_that_breaks_the_contract_is_refused_with_all_differences(model: Path, tmp_path: Path) -> None:
    other = write_tiff(tmp_path / "other.tif", np.ones((3, 20, 20), dtype=np.float32))
    with pytest.raises(InputRefused) as caught:
        predict(model, SceneFile(name="other", path=other), tmp_path / "out", CONFIG)
    assert [fault.code for fault in caught.value.faults] == ["wrong_bands", "wrong_dtype"]
    assert not (tmp_path / "out").exists()


def test_a_net_whose_output_is_not_finite_maps_nothing(model: Path, scene: SceneFile, tmp_path: Path) -> None:
    net, header = load_checkpoint(model)
    large = {name: net.state_dict()[name] * 1e38 for name in ("stem.4.weight", "head.weight")}  # and still finite
    save_checkpoint(model, net.state_dict() | large, header)
    with pytest.raises(InputRefused, match="not finite around row 0") as refused:
        predict(model, scene, tmp_path / "out", CONFIG)
    assert [fault.code for fault in refused.value.faults] == ["net_overflow"]
    assert not list((tmp_path / "out").glob("*.tif"))


def test_a_byte_is_at_least_125_exactly_where_the_probability_is_at_least_a_half() -> None:
    assert probability_byte(torch.tensor([[-1e-30, 0, 1e-30]])).tolist() == [124, 125, 125]
    assert probability_byte(torch.tensor([[-100.0, 100.0]])).tolist() == [0, 249]
    logits = np.linspace(-8, 8, 10_001, dtype=np.float32)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert (
        probability_byte(torch.from_numpy(logits)[None]).numpy() == np.minimum(249, np.floor(p * 250))
    ).mean() > 0.999


@pytest.mark.parametrize("method", ["robust", "histogram", "wallis"])
def test_homogenised_prediction_has_no_seams_and_removes_a_colour_cast(
    model: Path, scene: SceneFile, tmp_path: Path, method: Method
) -> None:
    with RasterSource(scene.path, scene.nodata) as source:
        reference = reference_of([measure(source, method)])
        image, valid = source.read(Window(0, 0, ROWS, COLS))
    net, header = load_checkpoint(model)
    homogenise = Homogenise(method=method, reference=reference)
    contract = header.contract.model_copy(update={"homogenise": homogenise})
    save_checkpoint(tmp_path / "h", net.state_dict(), header.model_copy(update={"contract": contract}))
    cast = np.where(valid, 0.6 * image + 40, 0).round().astype(np.uint8)
    spoilt = SceneFile(name="cast", path=write_tiff(tmp_path / "cast.tif", cast), nodata=0)
    maps = {
        px: pixels_of(
            predict(tmp_path / "h", spoilt, tmp_path / str(px), PredictConfig(stripe_px=px)).files["classes.tif"]
        )
        for px in (64, 1024)
    }
    assert np.array_equal(maps[64], maps[1024]), "tiling is exact with homogenisation too"
    if method != "wallis":  # Wallis also changes a scene without a colour cast
        plain = pixels_of(predict(model, scene, tmp_path / "plain", CONFIG).files["classes.tif"])
        assert (maps[64] == plain)[valid].mean() > 0.9
        without = pixels_of(predict(model, spoilt, tmp_path / "without", CONFIG).files["classes.tif"])
        assert (without == plain)[valid].mean() < (maps[64] == plain)[valid].mean()


def test_with_many_classes_the_most_probable_one_is_mapped_with_its_probability() -> None:
    logits = torch.tensor([[0.2, 0.1], [0.7, 0.1], [0.1, 0.8]]).log()
    assert class_index(logits).tolist() == [1, 2]
    assert np.allclose((probability_byte(logits) + 0.5) / 250, [0.7, 0.8], atol=1 / 250)
