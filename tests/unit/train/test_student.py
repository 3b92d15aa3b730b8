import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="the train floor needs torch: pip install 'millscale[train]'")

from millscale.train.student import LUMA, Student, StudentConfig, brightness, macs, parameters, to_onnx  # noqa: E402
from millscale.train.targets import normalised  # noqa: E402

TINY = StudentConfig(stem=4, widths=(4, 6, 8), outputs=(4, 7, 9))


@pytest.fixture(scope="module")
def student():
    """A tiny student whose batch norms are far from the identity."""
    torch.manual_seed(0)
    student = Student(TINY)
    student.train()
    for _ in range(5):
        student(torch.rand(4, 1, 32, 32) * 3 - 1)
    return student.eval()


@pytest.fixture(scope="module")
def session(student):
    return ort.InferenceSession(to_onnx(student), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (200, 200), (37, 50)])
def test_the_file_computes_what_the_network_computes(student, session, height, width):
    grey = np.random.default_rng(1).integers(0, 256, (2, height, width), dtype=np.uint8)
    found = session.run(None, {"image": normalised(grey)})
    with torch.no_grad():
        wanted = student(brightness(torch.from_numpy(grey)))
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w.numpy(), atol=1e-4)


def test_maps_have_the_strides_they_are_named_after(session):
    maps = session.run(None, {"image": np.zeros((3, 3, 64, 96), np.float32)})
    assert [output.name for output in session.get_outputs()] == ["stride4", "stride8", "stride16"]
    assert [m.shape for m in maps] == [(3, 4, 16, 24), (3, 7, 8, 12), (3, 9, 4, 6)]


def test_only_brightness_is_seen(session):
    std = np.array([0.229, 0.224, 0.225])
    grey = np.random.default_rng(2).normal(size=(1, 1, 32, 32))
    tint = np.array([LUMA[1], -LUMA[0], 0.0])[None, :, None, None] * np.random.default_rng(3).normal(size=grey.shape)
    plain, tinted = (
        session.run(None, {"image": ((grey + colour) / std[None, :, None, None]).astype(np.float32)})
        for colour in (0 * tint, tint)
    )
    for p, t in zip(plain, tinted, strict=True):
        np.testing.assert_allclose(p, t, atol=1e-4)


def test_the_file_has_plain_operations_and_equal_bytes(student):
    model = onnx.load_from_string(to_onnx(student))
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "Add"}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert to_onnx(student) == to_onnx(student)


def test_parameters_are_those_of_the_file(student):
    model = onnx.load_from_string(to_onnx(student))
    assert parameters(student) == sum(int(np.prod(w.dims)) for w in model.graph.initializer)


def test_macs_of_a_countable_network():
    student = Student(StudentConfig(stem=1, widths=(1, 1, 1), outputs=(1, 1, 2))).eval()
    # 3×3 taps: RGB stem at half size, then three convolutions at each of 1/4, 1/8 and 1/16,
    # and a 1×1 convolution to two channels at the last.
    assert macs(student, 32) == 9 * (3 * 16**2 + 3 * (8**2 + 4**2 + 2**2)) + 2 * 2**2
