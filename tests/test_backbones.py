"""Every family of timm's backbones gives embeddings, or one sentence that says what to do."""
import warnings
from collections.abc import Iterator

import pytest
import timm
import torch
from packaging.version import Version

from siamese_nbdev.checks import InputError
from siamese_nbdev.model import SiameseNet

# The smallest member of each module of timm 1.0.31; `too_large` have more than 100 million weights.
smallest = """
beit_base_patch16_224 halonet_h1 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32
test_convnext cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny
deit_tiny_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
test_efficientnet efficientvim_m1 efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0
fastvit_t8 focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny
hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small
levit_128s lowformer_b0 test_mambaout test_coatnet poolformerv2_s12 gmlp_ti16_224 mobilenetv3_small_050
mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_parfac_gap nasnetalarge nest_tiny
nextvit_small test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 repghostnet_050
repvit_m1 res2next50 resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s
shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window16_256
swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small visformer_tiny test_vit
vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224
ese_vovnet19b_slim_dw legacy_xception xception41p xcit_nano_12_p8_224
""".split()
too_large = {"deepseek_vit", "gemma4_vit", "vgg"}
# More kinds that share a module with one of them.
others = """
botnet26t_256 caformer_s18 deit_tiny_distilled_patch16_224 eva02_tiny_patch14_224 levit_conv_128s
maxvit_tiny_tf_224 mixer_s32_224 pit_ti_distilled_224 repvgg_a0 resmlp_12_224 swin_s3_tiny_224 twins_pcpvt_small
vit_small_patch14_dinov2 vit_tiny_patch16_224 vit_medium_patch16_gap_240
""".split()
sizes = [(128, 64), (224, 224)]
knows_branches = Version(timm.__version__) >= Version("1.0.31")  # met otherwise before


def module_of(name: str) -> str:
    "Return the module of timm that defines a backbone."
    return timm.models.model_entrypoint(name).__module__.split(".")[-1]


def count_weights(name: str) -> int:
    "Count the weights of a backbone without making them."
    with torch.device("meta"):
        return sum(weight.numel() for weight in timm.create_model(name).parameters())


def new_members() -> Iterator[str]:
    "Find one small backbone of each family that another version of timm adds."
    for module in set(timm.list_modules()) - set(map(module_of, smallest)) - too_large:
        counts = {name: count_weights(name) for name in timm.list_models(module=module)}
        name = min(counts, key=counts.__getitem__, default=None)
        if name is not None and counts[name] <= 100_000_000:
            yield name


def walk(name: str, size: tuple[int, int], *, train: bool = False) -> str:
    "Embed two images and check what comes; return the shape of the map, or the sentence of the refusal."
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = SiameseNet(name, pretrained=False, image_size=size).eval()
    except InputError as error:
        return check_sentence(str(error), name, size)
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        embeddings = model(images)
        feature_map = model.feature_map(images)
    assert embeddings.shape == (2, model.embedding_size) and embeddings.isfinite().all()
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2), rtol=0, atol=1e-4)
    assert feature_map.ndim == 4 and feature_map.shape[:2] == embeddings.shape
    if train:
        model.train()(images).square()[:, 0].sum().backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    kept = any("keeps its last stride" in str(warning.message) for warning in said)
    assert kept or model.config["last_stride"] == 1
    places = "no places" if not model.layout.has_places else "%d x %d places" % feature_map.shape[2:]
    return f"{model.embedding_size} channels, {places}" + (", last stride kept" if kept else "")


def check_sentence(sentence: str, name: str, size: tuple[int, int]) -> str:
    "Check that a refusal is one sentence: what was expected, what came, what to do."
    assert sentence.startswith(f"Expected a backbone that takes images of {size[0]} x {size[1]}, got {name} (")
    assert "\n" not in sentence and len(sentence) < 450
    advice = sentence.rsplit("; ", 1)[1]
    assert advice.endswith(" works") or "any size" in advice
    return sentence


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("test_resnet", "96 channels, 8 x 4 places"),
        ("dla46x_c", "256 channels, 4 x 2 places, last stride kept"),
        ("test_mambaout", "64 channels, 8 x 4 places"),
        ("test_vit", "64 channels, 8 x 4 places"),
        ("levit_128s", "384 channels, 2 x 1 places, last stride kept"),
        ("pit_ti_distilled_224", "256 channels, no places, last stride kept"),
        ("gmlp_ti16_224", "128 channels, 8 x 4 places"),
        ("coat_tiny", "152 channels, 4 x 2 places, last stride kept"),
        ("crossvit_tiny_240", "192 channels, 14 x 14 places" + (", last stride kept" if knows_branches else "")),
    ],
)
def test_kinds(name, found):
    assert walk(name, (128, 64)) == found


@pytest.mark.filterwarnings("ignore:.* keeps its last stride")
def test_branches_that_go_on_side_by_side_are_not_cut():
    reason = "whose branches go on side by side, got 1" if knows_branches else "because timm cannot cut it, got 1"
    with pytest.raises(InputError, match=reason):
        SiameseNet("hrnet_w18_small", pretrained=False, image_size=(128, 64), stage=1)


@pytest.mark.slow
@pytest.mark.parametrize("size", sizes, ids=str)
@pytest.mark.parametrize("name", [*smallest, *others])
def test_families(name, size):
    walk(name, size, train=size == sizes[0])


@pytest.mark.slow
def test_families_of_another_timm():
    for name in new_members():
        walk(name, sizes[0], train=True)


if __name__ == "__main__":  # the table of the page
    for name in [*smallest, *others]:
        for size in sizes:
            print(f"{name} {size[0]} x {size[1]}: {walk(name, size, train=size == sizes[0])}", flush=True)
